"""Where runs are kept: one SQLite file, one row a run, written the moment the run ends.

Each run is a transaction of its own in write-ahead mode: a process that is killed loses at most the run in flight, and
others can read meanwhile. The row holds the whole record as JSON; its other columns serve the look-ups. Not covered:
changing or deleting a run; a later run of the same job stands beside the earlier one, and `find` returns the later.
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import platformdirs

from seqcost.errors import BadTarget
from seqcost.records.environment import Environment
from seqcost.records.export import write_csv, write_parquet
from seqcost.records.job import Job
from seqcost.records.run import Run

APPLICATION_ID = 0x53716374  # "Sqct" in the file's header: a SQLite file of another program is left alone
VERSION = 1
BUSY_S = 30.0  # how long to wait for another writer

SCHEMA = """
CREATE TABLE store (version INTEGER NOT NULL);
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    job_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status TEXT NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX runs_by_job ON runs (job_key, fingerprint);
"""


def default_path() -> Path:
    """$SEQCOST_STORE, else runs.sqlite in the user's data folder of this platform."""
    given = os.environ.get("SEQCOST_STORE")
    return Path(given) if given else platformdirs.user_data_path("seqcost", appauthor=False) / "runs.sqlite"


class Store:
    """Measured runs; `with Store() as store:`. Of one thread: open another for another."""

    def __init__(self, path: str | os.PathLike[str] | None = None):
        self.path = Path(path) if path is not None else default_path()
        with self._one_sentence():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)
        try:
            with self._one_sentence():
                self._prepare()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is pending: every run was written when it was added."""
        self._connection.close()

    def add(self, run: Run) -> None:
        """Write one run; it is on the disk when this returns."""
        values = (run.job.key, run.environment.fingerprint, run.status, json.dumps(run.to_dict()))
        with self._one_sentence():
            self._connection.execute(
                "INSERT INTO runs (job_key, fingerprint, status, document) VALUES (?, ?, ?, ?)", values
            )

    def find(self, job: Job, environment: Environment) -> Run | None:
        """Latest run of the job on this very environment that ended as it would again: ok, timeout or memory."""
        with self._one_sentence():
            found = self._connection.execute(
                "SELECT document FROM runs WHERE job_key = ? AND fingerprint = ? AND status != 'failed' "
                "ORDER BY id DESC LIMIT 1",
                (job.key, environment.fingerprint),
            ).fetchone()
        return Run.from_dict(json.loads(found[0])) if found else None

    def runs(
        self, *, job: Job | None = None, environment: Environment | None = None, status: str | None = None
    ) -> Iterator[Run]:
        """Runs in the order in which they were added; each condition given must hold."""
        wanted = {
            "job_key": job and job.key,
            "fingerprint": environment and environment.fingerprint,
            "status": status,
        }
        conditions = {f"{column} = ?": value for column, value in wanted.items() if value is not None}
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        with self._one_sentence():
            rows = self._connection.execute(f"SELECT document FROM runs {where} ORDER BY id", [*conditions.values()])
            for (document,) in rows:
                yield Run.from_dict(json.loads(document))

    def export_csv(self, path: str | os.PathLike[str]) -> None:
        """Write all runs as a flat table, whole or not at all."""
        write_csv(self.runs(), Path(path))

    def export_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write all runs as a flat table with types, whole or not at all; needs pyarrow."""
        write_parquet(self.runs(), Path(path))

    def _prepare(self) -> None:
        if self._is_empty():
            self._write_ahead()
            self._create()
        if self._pragma("application_id") != APPLICATION_ID:
            raise BadTarget(f"{self.path} is a SQLite file but not a store of seqcost: give another path.")
        (version,) = self._connection.execute("SELECT version FROM store").fetchone()
        if version != VERSION:
            raise BadTarget(
                f"{self.path} is a store of version {version} and this seqcost reads version {VERSION}: "
                "use the seqcost that wrote it, or give another path."
            )
        self._pragma("synchronous = FULL")  # one write a run: safe against a power cut costs nothing that shows

    def _write_ahead(self) -> None:
        end_s = time.monotonic() + BUSY_S
        while True:
            try:
                self._pragma("journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                # alone of all statements this one does not wait while another process creates the same store
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end_s:
                    raise
            time.sleep(0.01)

    def _is_empty(self) -> bool:
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return bool(tables == 0) and self._pragma("application_id") == 0

    def _create(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        if self._is_empty():  # no other process was first
            for statement in SCHEMA.split(";"):
                self._connection.execute(statement)
            self._connection.execute("INSERT INTO store VALUES (?)", (VERSION,))
            self._pragma(f"application_id = {APPLICATION_ID}")
        self._connection.execute("COMMIT")

    def _pragma(self, text: str) -> object:
        answer = self._connection.execute(f"PRAGMA {text}").fetchone()
        return answer[0] if answer else None

    @contextmanager
    def _one_sentence(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise BadTarget(
                f"cannot use {self.path} as a store of runs ({error}): give a path that can be written, "
                "here or in SEQCOST_STORE."
            ) from error
