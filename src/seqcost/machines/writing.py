"""A profile to TOML, as `reading` takes it: the same machine comes back, to the last digit.

The little of TOML that a profile needs is written here: numbers and sources one to a line, a series as a table of
text. The packages that write TOML lay every number of an array on a line of its own.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from seqcost.machines import checks
from seqcost.machines.machine import Machine
from seqcost.machines.values import Learnt, Series, Value, Worth
from seqcost.writing import write_text

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_Source = tuple[Worth, str, str]


def write(machine: Machine, path: str | Path) -> None:
    """Write the profile, whole or not at all.

    Raises BadTarget where it cannot be written.
    """
    write_text(Path(path), to_toml(machine))


def to_toml(machine: Machine) -> str:
    """The profile as text."""
    found = [value for _, value in machine.values()]
    sources: dict[_Source, str] = {}
    for source in (*map(_source_of_value, found), *map(_source_of_series, machine.series)):
        sources.setdefault(source, f"s{len(sources) + 1}")
    return "\n".join([*_head(machine), *_values(machine, sources), *_tables(machine, sources)]) + "\n"


def _head(machine: Machine) -> Iterator[str]:
    for name in ("name", "title", "device", "edition"):
        yield f"{name} = {_text(getattr(machine, name))}"
    if machine.aliases:
        yield f"aliases = {_plain(list(machine.aliases))}"
    if machine.threads is not None:
        yield f"threads = {machine.threads}"


def _values(machine: Machine, sources: Mapping[_Source, str]) -> Iterator[str]:
    """Each on a line under a dotted key; a table's lines stand together."""
    section = None
    for place, value in machine.values():
        first = place.partition(".")[0]
        if first != section and first not in checks.SINGLE:
            yield ""
        section = first
        yield f"{_key(_parts(place))} = {_value(value, sources)}"
    for dtype, learnt in machine.learnt.items():
        yield from (f"learnt.{dtype}.{name} = {_plain(fact)}" for name, fact in _facts(learnt))


def _facts(learnt: Learnt) -> Iterator[tuple[str, object]]:
    """What is no value: how many runs taught it, and how far it is off."""
    yield from ((name, getattr(learnt, name)) for name in ("num_runs", "num_targets", "before", "after"))


def _tables(machine: Machine, sources: Mapping[_Source, str]) -> Iterator[str]:
    for (kind, text, date), name in sources.items():
        yield f"\n[sources.{name}]\nkind = {_text(kind)}\ntext = {_text(text)}\ndate = {_text(date)}"
    if machine.environment:
        yield "\n[environment]"
        facts = [(name, fact) for name, fact in machine.environment.items() if fact is not None]
        yield from (f"{_key([name])} = {_plain(fact)}" for name, fact in facts)
    if machine.error:
        yield "\n[error]"
        yield from (f"{_key([name])} = [{', '.join(map(_number, found))}]" for name, found in machine.error.items())
    for series in machine.series:
        yield from _series(series, sources)


def _series(series: Series, sources: Mapping[_Source, str]) -> Iterator[str]:
    yield "\n[[series]]"
    for name in ("kernel", "operator", "direction", "dtype"):
        yield f"{name} = {_text(getattr(series, name))}"
    if series.pool:
        yield f"pool = {series.pool}"
    yield from (f"{flag} = true" for flag in ("again", "causal", "tf32") if getattr(series, flag))
    yield f"source = {_text(sources[_source_of_series(series)])}"
    yield "points = '''"
    columns = zip(series.flops, series.bytes, series.seconds, series.low, series.high, strict=True)
    for sizes, amounts in zip(series.sizes, columns, strict=True):
        yield " ".join([*map(str, sizes), *map(_number, amounts)])
    yield "'''"


def _source_of_value(value: Value) -> _Source:
    return value.kind, value.source, value.date


def _source_of_series(series: Series) -> _Source:
    return Worth.MEASURED, series.source, series.date


def _value(value: Value, sources: Mapping[_Source, str]) -> str:
    error = "" if value.error is None else f", error = {_number(value.error)}"
    source = _text(sources[_source_of_value(value)])
    return f"{{ amount = {_number(value.amount)}, unit = {_text(value.unit)}, source = {source}{error} }}"


def _parts(place: str) -> list[str]:
    """The keys of a place; an operator's name may have points in it: "host.nn.Linear.plain"."""
    first, _, rest = place.partition(".")
    if first == "learnt":
        return place.split(".")
    if first not in ("caches", "host"):
        return [first, rest] if rest else [first]
    middle, _, last = rest.rpartition(".")
    return [first, middle, last]


def _key(parts: list[str]) -> str:
    return ".".join(part if _BARE.fullmatch(part) else _text(part) for part in parts)


def _number(amount: float) -> str:
    """The shortest text that reads back as the same number."""
    if amount == int(amount) and abs(amount) < 10**15:
        return str(int(amount))
    text = f"{amount:.6g}"
    return text if float(text) == amount else repr(float(amount))


def _plain(fact: object) -> str:
    if isinstance(fact, str):
        return _text(fact)
    if isinstance(fact, bool):
        return str(fact).lower()
    if isinstance(fact, list | tuple):
        return f"[{', '.join(map(_plain, fact))}]"
    assert isinstance(fact, int | float), "a fact of an environment is text, a number, a flag or a list of such"
    return repr(fact)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML's signs are JSON's, and this one
