"""What must hold of a machine, however it was made: one table of places and units, one of words.

Every function here raises BadMachine, with one sentence that names the place: what was given, what is allowed. What a
file lacks or has too much is told by `reading`.
"""

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from seqcost.algebra.work import Direction, Kernel
from seqcost.errors import BadMachine, shortened
from seqcost.machines.values import Cache, Learnt, Series, Value

DEVICES = ("cpu", "gpu", "tpu")
FORMATS = ("float64", "float32", "tf32", "bfloat16", "float16", "fp8", "int8", "fp4", "int4")  # that have peaks
CACHES = ("L1", "L2", "L3")
LINKS = (
    "to_device",  # from the host's memory, pinned
    "from_device",  # to it
    "to_device_pageable",  # from memory that the system may move
    "from_device_pageable",
    "peers",  # to all other devices of its kind together
)
# Of a run's time: kernels by what they do, the calls around them, fresh memory; see prediction.learnt.
PARTS = (
    "products", "attention", "convolutions", "recurrences", "streams", "copies", "rows", "calls", "fresh",
)  # fmt: skip
PHASES = ("forward", "train", "decode")
WAYS = ("plain", "recording", "backward")  # a call without gradients, one that records them, the way back alone
ROUNDING = (
    "block",  # every request is a multiple of it
    "small_request",  # up to this a request lies in a small segment
    "small_segment",
    "large_request",  # from this on it has a segment of its own
    "large_segment",  # of the requests between
    "large_step",  # a segment of its own is a multiple of it
    "unsplit",  # a rest of at most so much stays with the block
)

# place -> unit; what may be nought is so marked.
SINGLE = {
    "memory": "B", "bandwidth": "B/s", "launch": "s", "dispatch": "s", "fresh": "s/B", "stray": "1",
    "again": "1", "inner": "1",
    "context_bytes": "B",
}  # fmt: skip
TABLES = {"peaks": "FLOP/s", "links": "B/s", "rounding": "B", "workspaces": "B", "libraries": "B"}
CACHE = {"size": "B", "bandwidth": "B/s"}
HOST = "s"
LEARNT = "1"
MAY_BE_NOUGHT = ("workspaces", "libraries", "context_bytes", "fresh", "stray", "host")
# table -> the words that it may have; others have any.
WORDS = {"peaks": FORMATS, "links": LINKS, "rounding": ROUNDING}

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01])(T[0-9:]+(Z|[+-]\d\d:\d\d)?)?)?)?")


def check_identity(name: str, device: str, edition: str, threads: int | None) -> None:
    """What a profile is asked for by."""
    if not _NAME.fullmatch(name):
        raise _bad("name", name, "small letters, digits, points and hyphens are allowed")
    _check_word("device", device, DEVICES)
    check_date("edition", edition)
    if threads is not None and threads < 1:
        raise _bad("threads", threads, "a whole number of at least 1 is allowed")


def check_words(table: str, words: Iterable[str]) -> None:
    """The names in a table of `WORDS`."""
    for word in words:
        _check_word(f"a name in {table}", word, WORDS[table])


def check_caches(caches: Sequence[Cache]) -> None:
    """Each level once."""
    for cache in caches:
        _check_word("a cache", cache.name, CACHES)
    if len({cache.name for cache in caches}) < len(caches):
        raise BadMachine("caches: one level stands there twice; each once is allowed.")


def check_host(host: Mapping[str, Mapping[str, Value]]) -> None:
    """The ways of a call."""
    for operator, ways in host.items():
        for way in ways:
            _check_word(f"a way of host.{operator}", way, WAYS)


def check_error(error: Mapping[str, Sequence[float]]) -> None:
    """Median and 90th percentile, of one kernel or of all."""
    for kernel, found in error.items():
        _check_word("a name in error", kernel, ("all", *Kernel))
        _check_two(f"error.{kernel}", found)


def check_learnt(learnt: Mapping[str, Learnt]) -> None:
    """Formats, parts and phases that there are; how many runs, and two errors."""
    for dtype, found in learnt.items():
        _check_word("a name in learnt", dtype, FORMATS)
        for table, words in (("parts", PARTS), ("phases", PHASES)):
            for word in getattr(found, table):
                _check_word(f"a name in learnt.{dtype}.{table}", word, words)
        if not 1 <= found.num_targets <= found.num_runs:
            given = f"{found.num_targets} of {found.num_runs}"
            raise _bad(f"learnt.{dtype}: targets of runs", given, "at least 1, and no more than runs, are allowed")
        for name in ("before", "after"):
            _check_two(f"learnt.{dtype}.{name}", getattr(found, name))


def unit_of(place: str) -> str:
    """The unit that a place asks for.

    >>> unit_of("peaks.bfloat16"), unit_of("caches.L2.size"), unit_of("peaks.int8")
    ('FLOP/s', 'B', 'OP/s')
    """
    first, _, last = place.partition(".")
    if first == "caches":
        return CACHE[last.rpartition(".")[2]]
    if first == "peaks" and last.startswith("int"):
        return "OP/s"
    if first == "learnt":
        return LEARNT
    return HOST if first == "host" else SINGLE.get(first) or TABLES[first]


def check_date(place: str, date: str) -> None:
    """Nothing of a date in ISO 8601: a year, a month, a day or a moment."""
    if not _DATE.fullmatch(date):
        raise _bad(place, date, "a date as 2026-11-27, 2026-11 or 2026 is allowed")


def check_value(place: str, value: Value) -> None:
    """One number: its unit, its range, its source."""
    nought = place.partition(".")[0] in MAY_BE_NOUGHT
    if value.unit != unit_of(place):
        raise _bad(f"{place}.unit", value.unit, f"{unit_of(place)} is its unit")
    if not math.isfinite(value.amount) or value.amount < 0 or (value.amount == 0 and not nought):
        raise _bad(
            f"{place}.amount", value.amount, f"a finite number {'of at least' if nought else 'above'} 0 is allowed"
        )
    if value.error is not None and not (math.isfinite(value.error) and value.error >= 0):
        raise _bad(f"{place}.error", value.error, "a finite number of at least 0 is allowed")
    if not value.source.strip():
        raise BadMachine(f"{place}: its source is empty; say where the number is from.")
    check_date(f"{place}.date", value.date)


def check_series(place: str, series: Series) -> None:
    """Columns of one length, and times in order."""
    _check_word(f"{place}: kernel", series.kernel, [*Kernel])
    _check_word(f"{place}: direction", series.direction, [*Direction])
    check_date(f"{place}: date", series.date)
    columns = [series.flops, series.bytes, series.seconds, series.low, series.high]
    if not len(series) or any(len(column) != len(series) for column in columns):
        given = ", ".join(str(len(column)) for column in (series.sizes, *columns))
        raise BadMachine(f"{place}: its columns are of {given} points; as many in each, and at least one, are allowed.")
    if len({len(sizes) for sizes in series.sizes}) > 1 or not all(size > 0 for sizes in series.sizes for size in sizes):
        raise BadMachine(f"{place}: its sizes are not whole numbers above 0, as many at each point.")
    if series.pool < 0:
        raise _bad(f"{place}: pool", series.pool, "a whole number of bytes of at least 0 is allowed")
    for name, column in zip(("flops", "bytes"), columns, strict=False):
        for amount in column:
            if not math.isfinite(amount) or amount < 0:
                raise _bad(f"{place}: {name}", amount, "a finite number of at least 0 is allowed")
    for low, middle, high in zip(series.low, series.seconds, series.high, strict=True):
        if not (0 < low <= middle <= high and math.isfinite(high)):
            raise _bad(
                f"{place}: low, seconds, high", (low, middle, high), "finite, above 0 and in this order is allowed"
            )


def _check_two(place: str, found: Sequence[float]) -> None:
    if len(found) != 2 or not all(math.isfinite(part) and part >= 0 for part in found):
        raise _bad(place, found, "two numbers of at least 0, median and p90, are allowed")


def _check_word(place: str, word: str, allowed: Collection[str]) -> None:
    if word not in allowed:
        raise _bad(place, word, f"choose from {', '.join(allowed)}")


def _bad(place: str, given: object, allowed: str) -> BadMachine:
    return BadMachine(f"{place}: {shortened(given)} was given; {allowed}.")
