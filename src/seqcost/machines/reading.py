"""A profile from TOML: every key is known, every value of its type, each number with a source that the file has.

    name = "h100"
    title = "NVIDIA H100 SXM"
    device = "gpu"
    edition = "2023-03-21"
    memory = { amount = 80e9, unit = "B", source = "sheet" }
    peaks.bfloat16 = { amount = 989.4e12, unit = "FLOP/s", source = "sheet" }

    [sources.sheet]
    kind = "datasheet"
    text = "NVIDIA H100 Tensor Core GPU data sheet, https://..."
    date = "2023-03"

A series has its points as lines of text, since thousands of numbers are read six times as fast so: sizes, then FLOPs,
bytes, seconds and their quartiles.
"""

import tomllib
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from seqcost.errors import BadMachine, one_line, shortened
from seqcost.foreign import harmless
from seqcost.machines import checks
from seqcost.machines.machine import Machine
from seqcost.machines.values import Cache, Learnt, Series, Value, Worth

MOST_BYTES = 16 * 2**20  # of a profile: tens of times the largest of ours
COLUMNS = 5  # of a point after its sizes

_T = TypeVar("_T")
_Table = Mapping[str, Any]
_Sources = Mapping[str, tuple[Worth, str, str]]
_Reader = Callable[[str, object, _Sources], Any]

_NEEDED = {"name", "title", "device", "edition", "memory", "sources"}
_VALUE = ({"amount", "unit", "source"}, {"error"})
_SOURCE = ({"kind", "text", "date"}, set[str]())
_LEARNT = ({"spread", "num_runs", "num_targets", "before", "after"}, {"parts", "phases"})
_SERIES = ({"kernel", "operator", "direction", "dtype", "source", "points"}, {"pool", "again", "causal", "tf32"})


def read(path: str | Path) -> Machine:
    """The machine of a profile.

    Raises BadMachine: the file cannot be read, is no TOML, or has a value that cannot be.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BadMachine(
                f"{path} has {path.stat().st_size:,} bytes; a profile of a machine has at most {MOST_BYTES:,}."
            )
        text = path.read_text("utf-8")
    except OSError as error:
        raise BadMachine(f"{path} cannot be read ({error.strerror}); give the TOML file of a machine.") from None
    except UnicodeDecodeError as error:
        raise BadMachine(f"{path} is not UTF-8 (byte {error.start}); give the TOML file of a machine.") from None
    try:
        return parse(text)
    except BadMachine as error:
        raise BadMachine(f"{path}: {error}") from None


def parse(text: str) -> Machine:
    """The same from the text of a file."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadMachine(
            f"it is not TOML ({one_line(error)}); see docs/machines.md for what a profile holds."
        ) from None
    except RecursionError:
        raise BadMachine("it is nested too deeply; see docs/machines.md for what a profile holds.") from None
    _check_keys("", document, _NEEDED, set(_FIELDS))
    sources = {
        name: _source(f"sources.{name}", table) for name, table in _table("sources", document["sources"]).items()
    }
    fields = {name: given for name, given in document.items() if name != "sources"}
    return Machine(**{name: _FIELDS[name](name, given, sources) for name, given in fields.items()})


def _source(place: str, given: object) -> tuple[Worth, str, str]:
    table = _table(place, given)
    _check_keys(place, table, *_SOURCE)
    kind = _text(f"{place}.kind", table["kind"])
    if kind not in [*Worth]:
        raise _bad(f"{place}.kind", kind, f"choose from {', '.join(Worth)}")
    date = _date(f"{place}.date", table["date"])
    checks.check_date(f"{place}.date", date)
    return Worth(kind), _text(f"{place}.text", table["text"]), date


def _value(place: str, given: object, sources: _Sources) -> Value:
    table = _table(place, given)
    _check_keys(place, table, *_VALUE)
    kind, source, date = _named(place, table["source"], sources)
    return Value(
        amount=_number(f"{place}.amount", table["amount"]),
        unit=_text(f"{place}.unit", table["unit"]),
        kind=kind,
        source=source,
        date=date,
        error=_number(f"{place}.error", table["error"]) if "error" in table else None,
    )


def _cache(place: str, name: str, given: object, sources: _Sources) -> Cache:
    table = _table(place, given)
    _check_keys(place, table, {"size"}, {"bandwidth"})
    found = {part: _value(f"{place}.{part}", value, sources) for part, value in table.items()}
    return Cache(name=name, **found)


def _series(place: str, given: object, sources: _Sources) -> Series:
    table = _table(place, given)
    _check_keys(place, table, *_SERIES)
    kind, source, date = _named(place, table["source"], sources)
    if kind is not Worth.MEASURED:
        raise BadMachine(f"{place}: its source is {kind}; the times of a kernel are measured.")
    points = [line.split() for line in _text(f"{place}.points", table["points"]).splitlines() if line.strip()]
    try:
        sizes = tuple(tuple(map(int, point[:-COLUMNS])) for point in points)
        flops, amounts, seconds, low, high = zip(*(map(float, point[-COLUMNS:]) for point in points), strict=True)
    except ValueError:
        raise BadMachine(
            f"{place}.points: a line is not sizes, FLOPs, bytes, seconds and their two quartiles."
        ) from None
    if not all(sizes):
        raise BadMachine(f"{place}.points: a line has no sizes before its five numbers.")
    return Series(
        kernel=_text(f"{place}.kernel", table["kernel"]),
        operator=_text(f"{place}.operator", table["operator"]),
        direction=_text(f"{place}.direction", table["direction"]),
        dtype=_text(f"{place}.dtype", table["dtype"]),
        pool=_whole(f"{place}.pool", table.get("pool", 0)),
        **{flag: _flag(f"{place}.{flag}", table[flag]) for flag in ("again", "causal", "tf32") if flag in table},
        date=date,
        source=source,
        sizes=sizes,
        flops=flops,
        bytes=amounts,
        seconds=seconds,
        low=low,
        high=high,
    )


def _values(place: str, given: object, sources: _Sources) -> dict[str, Value]:
    return {word: _value(f"{place}.{word}", found, sources) for word, found in _table(place, given).items()}


def _host(place: str, given: object, sources: _Sources) -> dict[str, dict[str, Value]]:
    return {name: _values(f"{place}.{name}", table, sources) for name, table in _table(place, given).items()}


def _caches(place: str, given: object, sources: _Sources) -> tuple[Cache, ...]:
    return tuple(_cache(f"{place}.{name}", name, table, sources) for name, table in _table(place, given).items())


def _every_series(place: str, given: object, sources: _Sources) -> tuple[Series, ...]:
    return tuple(_series(f"{place} {number}", table, sources) for number, table in enumerate(_list(place, given), 1))


def _learnt(place: str, given: object, sources: _Sources) -> dict[str, Learnt]:
    return {dtype: _lesson(f"{place}.{dtype}", found, sources) for dtype, found in _table(place, given).items()}


def _lesson(place: str, given: object, sources: _Sources) -> Learnt:
    table = _table(place, given)
    _check_keys(place, table, *_LEARNT)
    fields: dict[str, Any] = {
        **{name: _values(f"{place}.{name}", table.get(name, {}), sources) for name in ("parts", "phases")},
        "spread": _value(f"{place}.spread", table["spread"], sources),
        **{name: _whole(f"{place}.{name}", table[name]) for name in ("num_runs", "num_targets")},
        **{name: _numbers(f"{place}.{name}", table[name]) for name in ("before", "after")},
    }
    return Learnt(**fields)


def _error(place: str, given: object) -> dict[str, tuple[float, ...]]:
    return {name: _numbers(f"{place}.{name}", found) for name, found in _table(place, given).items()}


def _numbers(place: str, given: object) -> tuple[float, ...]:
    return tuple(_number(place, part) for part in _list(place, given))


def _named(place: str, given: object, sources: _Sources) -> tuple[Worth, str, str]:
    name = _text(f"{place}.source", given)
    if name not in sources:
        raise _bad(
            f"{place}.source", name, f"choose from the tables in sources: {', '.join(sources) or 'there are none'}"
        )
    return sources[name]


def _check_keys(place: str, table: _Table, needed: set[str], known: set[str]) -> None:
    where = f"{place}: " if place else ""
    missing = sorted(needed - table.keys())
    if missing:
        raise BadMachine(f"{where}{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing.")
    for key in table:
        if key not in needed | known:
            raise BadMachine(f"{where}unknown key {shortened(key)}; choose from {', '.join(sorted(needed | known))}.")


def _table(place: str, given: object) -> dict[str, Any]:
    return _of_type(place, given, dict, "a table")


def _list(place: str, given: object) -> list[Any]:
    return _of_type(place, given, list, "a list")


def _text(place: str, given: object) -> str:
    return _of_type(place, given, str, "text")


def _texts(place: str, given: object) -> tuple[str, ...]:
    return tuple(_text(place, found) for found in _list(place, given))


def _flag(place: str, given: object) -> bool:
    return _of_type(place, given, bool, "true or false")


def _whole(place: str, given: object) -> int:
    if isinstance(given, bool):
        raise _bad(place, given, "a whole number is allowed")
    return _of_type(place, given, int, "a whole number")


def _number(place: str, given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise _bad(place, given, "a number is allowed")
    try:
        return float(given)
    except OverflowError:
        raise _bad(place, given, "a number of at most 10^308 is allowed") from None


def _date(place: str, given: object) -> str:
    return given.isoformat() if isinstance(given, date) else _text(place, given)  # TOML has dates of its own


def _of_type(place: str, given: object, kind: type[_T], allowed: str) -> _T:
    if not isinstance(given, kind):
        raise _bad(place, given, f"{allowed} is allowed")
    return given


def _bad(place: str, given: object, allowed: str) -> BadMachine:
    return BadMachine(f"{harmless(place)}: {shortened(given)} was given; {allowed}.")


def _plainly(of: Callable[[str, object], Any]) -> _Reader:
    return lambda place, given, _: of(place, given)


# What stands at the top of a profile, and how it is read.
_FIELDS: dict[str, _Reader] = {
    **dict.fromkeys(("name", "title", "device"), _plainly(_text)),
    "edition": _plainly(_date),
    "aliases": _plainly(_texts),
    "threads": _plainly(_whole),
    **dict.fromkeys(checks.SINGLE, _value),
    **dict.fromkeys(checks.TABLES, _values),
    "caches": _caches,
    "host": _host,
    "series": _every_series,
    "environment": _plainly(_table),
    "error": _plainly(_error),
    "learnt": _learnt,
}
