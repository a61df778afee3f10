"""Remedies tried: each applied, its peak and its work at one size, and the largest size that it makes fit."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from seqcost.errors import BadMachine, MissingExtra, SeqcostError
from seqcost.plan import Choice, front
from seqcost.progress import tell
from seqcost.questions.answers.trials import Trials, Tried
from seqcost.questions.fitting.clock import Clock
from seqcost.questions.fitting.deadline import Deadline
from seqcost.questions.fitting.remedies import ANOTHER, GROUPS, NoRemedy, Remedy, combined, remedies
from seqcost.questions.fitting.setup import Look, Setup
from seqcost.questions.fitting.solver import Solver

_MOST_PARTS = 5  # that are tried together
_MOST_COMBINATIONS = 8


def trials(
    solver: Solver, at: int, limit: int, *, accelerator: bool, clock: Clock | None, limit_s: float | None = None
) -> Trials:
    """Every remedy by itself and some of them together, at the size `at`; no time where there is no clock."""
    bench = _Bench(solver, at, limit, clock, limit_s)
    left_out: list[tuple[str, str]] = []
    alone: dict[Remedy, Tried] = {}
    for remedy in remedies(accelerator=accelerator):
        tell(f"trying {remedy.name}")
        try:
            alone[remedy] = bench.solved((remedy,), bench.tried((remedy,)))
        except NoRemedy as reason:
            left_out.append((remedy.name, str(reason)))
        except MissingExtra:
            left_out.append((remedy.name, "only a trace can tell, which needs PyTorch"))
        except SeqcostError as error:
            left_out.append((remedy.name, str(error).rstrip(".")))
    found: dict[tuple[Remedy, ...], Tried] = {(remedy,): tried for remedy, tried in alone.items()}
    for parts in _together(alone, bench.own.peak_bytes):
        tell(f"trying {' and '.join(part.name for part in parts)}")
        try:
            found[parts] = bench.tried(parts)
        except (NoRemedy, SeqcostError):  # they do not go together
            continue
    ranked = sorted(found, key=lambda parts: (len(parts) > 1, *_reach(found[parts])))
    kept = bench.front([found[parts] for parts in ranked])
    for i, parts in enumerate(ranked):
        if len(parts) > 1 and i in kept:
            found[parts] = bench.solved(parts, found[parts])
    return Trials(
        at=at,
        own_peak_bytes=bench.own.peak_bytes,
        own_seconds=bench.own_seconds,
        tried=tuple(found[parts] for parts in ranked),
        left_out=tuple(left_out),
        front=kept,
    )


def _reach(tried: Tried) -> tuple[bool, int, int]:
    """For sorting: the furthest first, then what needs least."""
    return not tried.unbounded, -(tried.size or 0), tried.peak_bytes


class _Bench:
    """The target as it is, at one size, and what is tried beside it."""

    def __init__(self, solver: Solver, at: int, limit: int, clock: Clock | None, limit_s: float | None) -> None:
        self._setup, self._find, self._at, self._limit = solver.setup, solver.find, at, limit
        self._clock, self._limit_s, self._quick = clock, limit_s, solver.is_quick(at)
        self.own = solver.look(at)
        self.own_seconds, _ = self._seconds(self.own, solver.at(at))
        self._solvers: dict[tuple[Remedy, ...], Solver] = {}

    def tried(self, parts: tuple[Remedy, ...]) -> Tried:
        """Peak and work."""
        setup = combined(self._setup, parts)
        quick = self._quick
        if setup.subject is not self._setup.subject:
            quick = Solver(setup, self._find).is_quick(self._at)
        solver = self._solvers[parts] = Solver(setup, self._find, quick=quick, near=self._at)
        look, own = solver.look(self._at), self.own
        groups, config = [part.group for part in parts], setup.subject.config
        seconds, untimed = self._seconds(look, solver.at(self._at))
        return Tried(
            names=tuple(part.name for part in parts),
            group=max(groups, key=GROUPS.index),
            rung=look.rung,
            peak_bytes=look.peak_bytes,
            flops_ratio=look.flops / max(1, own.flops),
            bytes_ratio=look.bytes_moved / max(1, own.bytes_moved),
            launches_ratio=look.launches / max(1, own.launches),
            seconds=seconds,
            untimed=untimed,
            params=int(config.params().total()) if ANOTHER in groups and config is not None else None,
        )

    def _seconds(self, look: Look, setup: Setup) -> tuple[float | None, str | None]:
        """The middle of the prediction; None where there is no clock, or, with the reason, where it cannot tell."""
        if self._clock is None:
            return None, None
        try:
            return self._clock.seconds(look, setup).mid, None
        except BadMachine as reason:
            return None, str(reason)

    def solved(self, parts: tuple[Remedy, ...], tried: Tried) -> Tried:
        """With the largest size that fits."""
        solver = self._solvers[parts]
        found = solver.largest(self._limit)
        if self._limit_s is not None and self._clock is not None:
            found = Deadline(solver, self._clock, self._limit_s).cut(found)
        unbounded = found.next_size is None and found.size is not None and solver.longest is None
        return replace(tried, size=None if unbounded else found.size, unbounded=unbounded)

    def front(self, found: Sequence[Tried]) -> tuple[int, ...]:
        """Of those that keep the model: by predicted time, without one by work, the more of FLOPs and bytes moved."""
        timed = self.own_seconds is not None
        choices = [Choice(name="-1", need=self.own.peak_bytes, cost=self.own_seconds or 1.0)]
        for i, one in enumerate(found):
            cost = one.seconds if timed else max(one.flops_ratio, one.bytes_ratio)
            if one.group != ANOTHER and cost is not None:  # what nobody can time has no place among the others
                choices.append(Choice(name=str(i), need=one.peak_bytes, cost=cost))
        return tuple(int(choice.name) for choice in front(choices))


def _together(alone: dict[Remedy, Tried], own_peak_bytes: int) -> list[tuple[Remedy, ...]]:
    """Which to try together: of those that keep the model and help, the best of each slot: by twos, by threes, all."""
    best: dict[str, Remedy] = {}
    for remedy, tried in alone.items():
        if remedy.group == ANOTHER or tried.peak_bytes >= own_peak_bytes:
            continue
        if remedy.slot not in best or tried.peak_bytes < alone[best[remedy.slot]].peak_bytes:
            best[remedy.slot] = remedy
    order = list(alone)
    ranked = sorted(best.values(), key=lambda remedy: alone[remedy].peak_bytes)[:_MOST_PARTS]
    several = [parts for n in range(2, len(ranked)) for parts in combinations(ranked, n)][: _MOST_COMBINATIONS - 1]
    return [tuple(sorted(parts, key=order.index)) for parts in (*several, tuple(ranked)) if len(parts) > 1]
