"""Where runs are kept: one SQLite file, one row per run, written the moment the run ends.

Each run is a transaction of its own in write-ahead mode: a process that is killed loses at most the run in flight, and
others can read meanwhile. The row holds the whole record as JSON; its other columns serve the look-ups. A run that the
file cannot take (a full disk, a writer that does not end) is written beside it or else to the folder for temporary
files, and goes into the file with the next one that can be written. A row that is no run is passed by and told in
`odd_rows`. Not covered: changing or deleting a run; a later run of the same job stands beside the earlier one, and
`find` returns the later.
"""

import hashlib
import json
import os
import sqlite3
import stat
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from seqcost.errors import BadTarget, SeqcostWarning, one_line
from seqcost.here import store_path
from seqcost.records.environment import Environment
from seqcost.records.export import write_csv, write_parquet
from seqcost.records.job import Job
from seqcost.records.reference import Best
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


class Store:
    """Measured runs; `with Store() as store:`. Of one thread: open another for another."""

    def __init__(self, path: str | os.PathLike[str] | None = None):
        self.path = Path(path) if path is not None else store_path()
        if str(self.path) == ":memory:":
            raise BadTarget("the store :memory: was given, which keeps nothing; give the path of a file.")
        self.odd_rows: dict[int, str] = {}  # rows that were passed by, and why
        self._waiting: list[Run] = []  # could be written nowhere yet
        self._reads_only = self.path.exists() and not all(os.access(p, os.W_OK) for p in (self.path, self.path.parent))
        with self._one_sentence():
            self._connection = self._reader() if self._reads_only else self._writer()
        try:
            with self._one_sentence():
                self._prepare()
            self._write_waiting()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Every run was written when it was added; warns of those that could be written nowhere."""
        try:
            self._write_waiting()
        finally:
            self._connection.close()
        if self._waiting:
            warnings.warn(
                f"{len(self._waiting)} measured runs could be written neither to {self.path} nor beside it: they are "
                "in this answer alone.",
                SeqcostWarning,
                stacklevel=2,
            )

    def add(self, run: Run) -> None:
        """Write one run: it is on the disk when this returns, beside the store (with a warning) where need be."""
        self._waiting.append(run)
        self._write_waiting()

    def _write_waiting(self) -> None:
        """Into the file whatever was held back, here or by an earlier process; else beside it."""
        spares = [] if self._reads_only else [spare for spare in self._spares() if _is_ours(spare)]
        if not self._waiting and not spares:
            return
        try:
            self._insert([run for spare in spares for run in _spared(spare)], self._waiting)
        except sqlite3.Error as error:
            if self._waiting:
                self._write_beside(error)
            return
        self._waiting.clear()
        for spare in spares:
            spare.unlink(missing_ok=True)

    def _insert(self, spared: Sequence[Run], new: Sequence[Run]) -> None:
        """All of them or none."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for run, once in [*((run, True) for run in spared), *((run, False) for run in new)]:
                # Whoever wrote spared ones before may have been stopped before they were cleared away.
                known = (run.job.key, json.dumps(run.to_dict())) if once else ("", "")
                self._connection.execute(
                    "INSERT INTO runs (job_key, fingerprint, status, document) SELECT ?, ?, ?, ? "
                    "WHERE NOT EXISTS (SELECT 1 FROM runs WHERE job_key = ? AND document = ?)",
                    (run.job.key, run.environment.fingerprint, run.status, json.dumps(run.to_dict()), *known),
                )
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _write_beside(self, why: sqlite3.Error) -> None:
        # An empty line first: one that a full disk has cut must not swallow the next.
        lines = "".join(f"\n{json.dumps(run.to_dict())}\n" for run in self._waiting)
        for spare in self._spares():
            try:
                with spare.open("a", encoding="utf-8") as file:
                    file.write(lines)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError:
                continue
            warnings.warn(
                f"{self.path} cannot be written ({why}): the run is kept in {spare} and goes into the store when that "
                "can be written again.",
                SeqcostWarning,
                stacklevel=4,
            )
            self._waiting.clear()
            return

    def _spares(self) -> tuple[Path, Path]:
        """Where runs go that the file cannot take: beside it; in the folder for temporary files, by the file's path."""
        whose = hashlib.sha256(str(self.path.absolute()).encode()).hexdigest()[:16]
        elsewhere = Path(tempfile.gettempdir()) / f"seqcost-{os.getuid()}-{whose}.waiting.jsonl"
        return self.path.with_name(f"{self.path.name}.waiting.jsonl"), elsewhere

    def find(self, job: Job, environment: Environment) -> Run | None:
        """Latest run of the job on this very environment that ended as it would again: ok, timeout or memory."""
        with self._one_sentence():
            found = self._connection.execute(
                "SELECT id, document FROM runs WHERE job_key = ? AND fingerprint = ? AND status != 'failed' "
                "ORDER BY id DESC",
                (job.key, environment.fingerprint),
            )
            return next(self._read(found), None)

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
            rows = self._connection.execute(
                f"SELECT id, document FROM runs {where} ORDER BY id", [*conditions.values()]
            )
            yield from self._read(rows)

    def best_reference(self, environment: Environment, threads: int) -> Best | None:
        """The shortest that the reference kernels took on this machine with so many threads and this PyTorch.

        None where nothing is known. Other versions of seqcost count: the kernels are PyTorch's.
        """
        shortest = ", ".join(
            f"min(json_extract(document, '$.reference.{name}[{i}]'))" for name in ("product_s", "add_s") for i in (0, 1)
        )
        facts = {
            "environment.machine_id": environment.machine_id,
            "environment.torch_version": environment.torch_version,
        }
        same = " AND ".join(f"json_extract(document, '$.{path}') = ?" for path in (*facts, "job.threads"))
        # Inside a CASE: a row that is no JSON would end the look-up, and the order of a plain AND is not kept.
        with self._one_sentence():
            found = self._connection.execute(
                f"SELECT {shortest} FROM runs WHERE CASE WHEN json_valid(document) THEN {same} END",
                (environment.machine_id, environment.torch_version, threads),
            ).fetchone()
        times = [time_s for time_s in found if isinstance(time_s, float) and time_s > 0]
        return Best(min(times[:2]), min(times[2:])) if len(times) == len(found) else None

    def _read(self, rows: Iterable[tuple[int, str]]) -> Iterator[Run]:
        for number, document in rows:
            try:
                run = _run_of(document)
            except ValueError as error:
                self.odd_rows[number] = one_line(error, most=120)
            else:
                yield run

    def export_csv(self, path: str | os.PathLike[str]) -> None:
        """Write all runs as a flat table, whole or not at all."""
        write_csv(self.runs(), Path(path))

    def export_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write all runs as a flat table with types, whole or not at all; needs pyarrow."""
        write_parquet(self.runs(), Path(path))

    def _writer(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)

    def _reader(self) -> sqlite3.Connection:
        """Of a file, or in a folder, that may not be written: no lock and no journal can be made beside it."""
        journal = self.path.with_name(f"{self.path.name}-wal")
        if journal.exists() and journal.stat().st_size:
            raise BadTarget(
                f"{self.path} may not be written and has runs in {journal.name}, which cannot be read so: copy both "
                "to a folder that can be written."
            )
        address = self.path.absolute().as_uri()
        return sqlite3.connect(f"{address}?immutable=1", uri=True, isolation_level=None)

    def _prepare(self) -> None:
        if self._is_empty():
            if self._reads_only:
                raise BadTarget(f"{self.path} has no runs and may not be written; give a store that has, or can be.")
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
        if self._reads_only:
            return
        self._pragma("synchronous = FULL")  # one write per run: safe against a power cut costs nothing that shows

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


def _run_of(document: str) -> Run:
    """The run of a row; ValueError says why it is none."""
    try:
        return Run.from_dict(json.loads(document))
    except KeyError as error:
        raise ValueError(f"it lacks {error}") from None
    except (TypeError, AttributeError) as error:  # another shape; a field that this version does not know
        raise ValueError(one_line(error)) from None


def _is_ours(spare: Path) -> bool:
    """A file of our own: others may write to the folder for temporary files."""
    try:
        found = spare.stat(follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid()


def _spared(spare: Path) -> Iterator[Run]:
    """The whole lines of a file of runs; the last one may be cut, where its writer was stopped."""
    for line in spare.read_text("utf-8", errors="replace").splitlines():
        with suppress(ValueError):
            yield _run_of(line)
