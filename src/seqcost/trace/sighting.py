"""One booked run at one length, as plain numbers; and a run at a length nobody saw, made from those that were."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch

from seqcost.algebra import Polynomial, lift
from seqcost.trace.ledger import Entry, Key, Ledger
from seqcost.trace.memory import Memory
from seqcost.trace.paths import Paths
from seqcost.trace.program import Program
from seqcost.trace.trees import tensors_in

COLUMNS = ("calls", "contraction", "pointwise", "moved_bytes")  # a line's amounts, which are sums over its calls
TOTALS = ("flops", "pointwise", "bytes_moved", "saved_bytes", "depth", "peak_bytes")


@dataclass(frozen=True)
class Sighting:
    """What was seen at one length."""

    entries: Mapping[Key, Entry]
    saved: Mapping[str, int]
    depth: int
    peak_bytes: int | None
    state_bytes: int | None
    params: int

    @property
    def num_calls(self) -> int:
        """Operators executed."""
        return sum(entry.calls for entry in self.entries.values())

    def total(self, name: str) -> int | None:
        """One of TOTALS."""
        if name == "saved_bytes":
            return sum(self.saved.values())
        if name in ("depth", "peak_bytes"):
            return getattr(self, name)
        column = {"flops": "contraction", "pointwise": "pointwise", "bytes_moved": "moved_bytes"}[name]
        return sum(getattr(entry, column) for entry in self.entries.values())


def see(program: Program, paths: Paths) -> Sighting:
    """Run a program once under the ledger."""
    memory = Memory()
    ledger = Ledger(paths, memory, program.resident_tensors())
    state_bytes = None
    with ledger.booking([*program.module.parameters(), *program.module.buffers()]):
        if program.phase in ("prefill", "decode"):
            with torch.no_grad():
                state = program.result()[1]
            state_bytes = sum(t.numel() * t.element_size() for t in tensors_in(state))
            del state
        else:
            program.run()
    return Sighting(
        entries=ledger.entries,
        saved=ledger.saved,
        depth=ledger.depth,
        peak_bytes=memory.peak_bytes,
        state_bytes=state_bytes,
        params=sum(p.numel() for p in program.module.parameters()),
    )


def extrapolate(seen: Mapping[int, Sighting], T: int) -> Sighting | None:
    """The run at T if every line of the runs seen is a polynomial in the length, else None."""
    longest = seen[max(seen)]
    try:
        entries = {
            key: _entry_at(T, [(n, s.entries.get(key, Entry())) for n, s in seen.items()]) for key in longest.entries
        }
        return Sighting(
            entries=entries,
            saved={path: _at(T, {n: s.saved.get(path, 0) for n, s in seen.items()}) for path in longest.saved},
            depth=_at(T, {n: s.depth for n, s in seen.items()}),
            peak_bytes=_worst_moment(T, seen),
            state_bytes=None if longest.state_bytes is None else _at(T, {n: s.state_bytes for n, s in seen.items()}),
            params=longest.params,
        )
    except _NoPolynomialError:
        return None


def _entry_at(T: int, seen: list[tuple[int, Entry]]) -> Entry:
    entry = Entry(known=all(e.known for _, e in seen))
    for column in COLUMNS:
        setattr(entry, column, _at(T, {n: getattr(e, column) for n, e in seen}))
    return entry


def _worst_moment(T: int, seen: Mapping[int, Sighting]) -> int | None:
    # The peak of a long run may lie at another operator than that of a short one, so the moments are followed apart:
    # each call by itself, or the worst of all calls where the loop over time makes their number grow.
    worst = 0
    for key in seen[max(seen)].entries:
        moments = {n: sighting.entries[key].alive_bytes for n, sighting in seen.items() if key in sighting.entries}
        if len({len(alive) for alive in moments.values()}) > 1:
            moments = {n: [max(alive)] for n, alive in moments.items()}
        for index in range(len(next(iter(moments.values())))):
            try:
                worst = max(worst, _at(T, {n: alive[index] for n, alive in moments.items()}))
            except _NoPolynomialError:
                return None
    return worst


class _NoPolynomialError(Exception):
    """No polynomial passes through the values that were seen."""


def _at(T: int, values: Mapping[int, Any]) -> int:
    found = lift(lambda n: values[n], sorted(values))
    value = found(T) if isinstance(found, Polynomial) else Fraction(1, 2)
    if value.denominator != 1:
        raise _NoPolynomialError
    return int(value)
