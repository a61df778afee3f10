"""What is asked of real runs, checked before any starts: how often, within which limits, over which text."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqcost.errors import BadSize, BadTarget, shortened
from seqcost.questions.asked.arguments import a_path, flag
from seqcost.questions.asked.lengths import whole
from seqcost.records.pooling import PROCESSES

if TYPE_CHECKING:
    from seqcost.measure import Limits

LONGEST_RUN = 2**31  # tokens of a batch that a real run is started for
MOST_PROCESSES = 1000
MOST_RETRIES = 100


@dataclass(frozen=True, kw_only=True)
class Runs:
    """How jobs are run. None is the default of whoever runs them."""

    processes: int = PROCESSES
    retries: int | None = None
    threads: int | None = None
    limits: "Limits | None" = None
    store: str | os.PathLike[str] | None = None
    text: str | os.PathLike[str] | None = None
    again: bool = False

    @classmethod
    def of(
        cls,
        *,
        processes: Any = PROCESSES,
        retries: Any = None,
        threads: Any = None,
        limits: Any = None,
        store: Any = None,
        text: Any = None,
        again: Any = False,
    ) -> "Runs":
        """From the arguments of a question.

        Raises BadSize or BadTarget for what is not allowed.
        """
        if limits is not None and not _are_limits(limits):
            raise BadTarget(f"limits = {shortened(limits)} was given; seqcost.measure.Limits are allowed.")
        return cls(
            processes=_at_most(MOST_PROCESSES, whole(processes, "processes"), "processes"),
            retries=None if retries is None else from_zero(retries, "retries", most=MOST_RETRIES),
            threads=None if threads is None else _at_most(os.cpu_count() or 1, whole(threads, "threads"), "threads"),
            limits=limits,
            store=None if store is None else a_path(store, "store"),
            text=None if text is None else a_path(text, "text"),
            again=flag(again, "again"),
        )

    @property
    def cores(self) -> int:
        """Threads that a job runs on: those asked for, else all cores that this process may use."""
        return self.threads or (
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        )


def check_tokens(lengths: Sequence[int], batch: int, otherwise: str) -> None:
    """Refuse what no machine runs; `otherwise` says what to do."""
    longest = max(lengths) * batch
    if longest > LONGEST_RUN:
        raise BadSize(
            f"a run over {longest:,} tokens was asked for; runs take at most {LONGEST_RUN:,}: give shorter --lengths"
            f"{otherwise}."
        )


def text_digest(path: str | os.PathLike[str], vocabularies: Mapping[str, int | None]) -> str:
    """SHA-256 of a text, after checking that it is one and that every model can read bytes."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise BadTarget(f"the text {path} cannot be read ({error.strerror}); give the path of a text file.") from None
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadTarget(
            f"the text {path} is not UTF-8 (byte {error.start} is {content[error.start]:#04x}); convert it first."
        ) from None
    if not content:
        raise BadTarget(f"the text {path} is empty; give one with at least one character.")
    for name, vocabulary in vocabularies.items():
        if vocabulary is None or vocabulary < 256:
            raise BadSize(
                f"{name} has a vocabulary of {vocabulary}; a text is read as bytes: set vocab to 256 or more."
            )
    return hashlib.sha256(content).hexdigest()


def _are_limits(given: Any) -> bool:
    from seqcost.measure import Limits

    return isinstance(given, Limits)


def from_zero(given: Any, what: str, *, most: int) -> int:
    """A whole number of which none is allowed, too, unlike a length."""
    if isinstance(given, str | int) and not isinstance(given, bool) and str(given).strip() == "0":
        return 0
    try:
        return _at_most(most, whole(given, what), what)
    except BadSize:
        raise BadSize(f"{what} = {shortened(given)} was given; a whole number from 0 to {most} is allowed.") from None


def _at_most(most: int, given: int, what: str) -> int:
    if given > most:
        raise BadSize(f"{what} {given:,} was given; at most {most:,} is allowed.")
    return given
