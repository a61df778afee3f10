"""What runs on record have in common beside their predictions: few factors, drawn to 1, and how far the rest strays.

Measured time ≈ phase × Σ part × seconds of the part, in the logarithm, where parts are kernels by what they do, calls
and fresh memory, and phases are forward, train and decode. Each factor's logarithm has a normal prior around 0, and
each run an error as whole models have; so few runs move a factor little. All runs of a target in a phase count as one,
since they err together. A run far off what the others say (another program, something broken) pulls no more than one
at `FAR` errors does.

What was learnt is judged without the target that is judged: all factors are fitted anew to the other targets. Not
covered: kernels one by one, which is what a calibration is for.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from seqcost.machines import Learnt, Value, Worth
from seqcost.machines.checks import PARTS, PHASES
from seqcost.prediction.interval import NINETY
from seqcost.prediction.learnt import CALLS, CLASSES
from seqcost.records.statistics import quantile

SOURCE = "seqcost calibrate --from-records"
FEWEST_TARGETS = 4  # below, what they have in common cannot be told from what one of them is
PRIOR = 0.3  # of a factor's logarithm, one standard deviation
FAR = 1.5  # errors of a model, beyond which a run pulls as one at that distance
SPREAD_AS = 4  # targets that the spread known before counts as, beside those that were seen
HELPS = 0.95  # of the error before: more than that is no help
ROUNDS = 50  # of a fit, which converges in some ten


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One job that ran, beside what the kernels of the profile say of it."""

    target: str
    phase: str
    measured_s: float
    parts: Mapping[str, float]  # seconds, by checks.PARTS
    predicted_s: float
    spread: float  # of the prediction without that of whole models

    @property
    def group(self) -> tuple[str, str]:
        """Those that err together."""
        return self.target, CLASSES[self.phase]


@dataclass(frozen=True)
class Errors:
    """How far predictions are off, each of a target that was held out."""

    median: float
    p90: float
    held: float  # share of runs within their 90 % interval

    @classmethod
    def of(cls, ratios: Sequence[float], spreads: Sequence[float]) -> "Errors":
        """From predicted / measured of each run, and the spread of each prediction."""
        off = [abs(ratio - 1) for ratio in ratios]
        held = [abs(math.log(ratio)) <= NINETY * spread for ratio, spread in zip(ratios, spreads, strict=True)]
        return cls(quantile(off, 0.5), quantile(off, 0.9), sum(held) / len(held))

    def to_dict(self) -> dict[str, float]:
        """Plain data."""
        return {"median": self.median, "p90": self.p90, "held": self.held}


@dataclass(frozen=True)
class Fit:
    """Factors of some evidence; `spread` is that of whole models as it was known before."""

    evidence: tuple[Evidence, ...]
    waits: bool  # whether parts add up (a CPU), else the longer of device and host counts
    spread: float

    @cached_property
    def factors(self) -> dict[str, float]:
        """By part and by phase; 1 of what no run has."""
        return dict(zip((*PARTS, *PHASES), (float(one) for one in np.exp(self._logarithms())), strict=True))

    def predicted(self, one: Evidence) -> float:
        """Seconds of a run with these factors."""
        seconds, _ = self._model([one], np.log([*self.factors.values()]))
        return float(seconds[0])

    def _logarithms(self) -> np.ndarray:
        known = {group: sum(one.group == group for one in self.evidence) for group in {e.group for e in self.evidence}}
        worth = np.array([1.0 / known[one.group] for one in self.evidence])
        measured = np.log([one.measured_s for one in self.evidence])
        found = np.zeros(len(PARTS) + len(PHASES))
        prior = np.eye(len(found)) / PRIOR**2
        for _ in range(ROUNDS):
            seconds, slopes = self._model(self.evidence, found)
            away = measured - np.log(seconds)
            weights = worth * np.minimum(1.0, FAR * self.spread / np.maximum(np.abs(away), 1e-12)) / self.spread**2
            weighted = slopes * weights[:, None]
            step = np.linalg.solve(weighted.T @ slopes + prior, weighted.T @ away - prior @ found)
            found = found + step
            if float(np.abs(step).max()) < 1e-9:
                break
        return found

    def _model(self, evidence: Sequence[Evidence], logarithms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Seconds of each run, and how their logarithms change with those of the factors."""
        own = np.array([[one.parts[part] for part in PARTS] for one in evidence])
        scaled = own * np.exp(logarithms[: len(PARTS)])
        if not self.waits:
            host = PARTS.index(CALLS)
            bound_by_host = (scaled[:, host] > np.delete(scaled, host, axis=1).sum(axis=1))[:, None]
            scaled = scaled * (bound_by_host == (np.arange(len(PARTS)) == host))
        whole = scaled.sum(axis=1)
        phases = np.array([[CLASSES[one.phase] == phase for phase in PHASES] for one in evidence], dtype=float)
        seconds = whole * np.exp(phases @ logarithms[len(PARTS) :])
        return seconds, np.hstack([scaled / whole[:, None], phases])


@dataclass(frozen=True)
class Lesson:
    """What was learnt, and whether it brings a target nearer that was not looked at."""

    learnt: Learnt
    before: Errors
    after: Errors
    helps: bool


def learn(evidence: Sequence[Evidence], *, waits: bool, spread: float, date: str, source: str = SOURCE) -> Lesson:
    """Factors and spread from runs of at least `FEWEST_TARGETS` targets.

    `spread` is how far whole models stray as far as that is known without these runs.
    """
    runs = tuple(evidence)
    targets = list(dict.fromkeys(one.target for one in runs))
    assert len(targets) >= FEWEST_TARGETS, "asked before"
    held_out: dict[int, float] = {}
    for target in targets:
        fit = Fit(tuple(one for one in runs if one.target != target), waits, spread)
        held_out |= {i: fit.predicted(one) for i, one in enumerate(runs) if one.target == target}
    ratios = [held_out[i] / one.measured_s for i, one in enumerate(runs)]
    of_others = {
        target: _spread([(r, one) for r, one in zip(ratios, runs, strict=True) if one.target != target], spread)
        for target in targets
    }
    old = [one.predicted_s / one.measured_s for one in runs]
    before = Errors.of(old, [math.hypot(one.spread, spread) for one in runs])
    after = Errors.of(ratios, [math.hypot(one.spread, of_others[one.target]) for one in runs])
    factors = Fit(runs, waits, spread).factors

    def value(amount: float) -> Value:
        return Value(amount=round(amount, 4), unit="1", kind=Worth.MEASURED, source=source, date=date)

    learnt = Learnt(
        parts={part: value(factors[part]) for part in PARTS if any(one.parts[part] for one in runs)},
        phases={phase: value(factors[phase]) for phase in PHASES if any(one.group[1] == phase for one in runs)},
        spread=value(_spread(list(zip(ratios, runs, strict=True)), spread)),
        num_runs=len(runs),
        num_targets=len(targets),
        before=(round(before.median, 4), round(before.p90, 4)),
        after=(round(after.median, 4), round(after.p90, 4)),
    )
    return Lesson(learnt, before, after, helps=_typical(ratios, runs) < HELPS * _typical(old, runs))


def _typical(ratios: Sequence[float], runs: Sequence[Evidence]) -> float:
    """The mean of |ln ratio|, in which each target counts once in a phase."""
    by_group: dict[tuple[str, str], list[float]] = {}
    for ratio, one in zip(ratios, runs, strict=True):
        by_group.setdefault(one.group, []).append(abs(math.log(ratio)))
    means = [sum(found) / len(found) for found in by_group.values()]
    return sum(means) / len(means)


def _spread(found: Sequence[tuple[float, Evidence]], known: float) -> float:
    """How far whole models stray, so that nine tenths of these runs lie in their intervals.

    What each run needs beyond the spread of its parts, at the 90th percentile, a target's runs together as one; drawn
    to what was known before, which counts as some targets.
    """
    needed = [
        (math.sqrt(max(0.0, (math.log(ratio) / NINETY) ** 2 - one.spread**2)), one.target) for ratio, one in found
    ]
    sizes = {target: sum(other == target for _, other in needed) for _, target in needed}
    seen, share = 0.0, 0.0
    for amount, target in sorted(needed):
        seen, share = amount, share + 1 / (sizes[target] * len(sizes))
        if share >= 0.9:
            break
    return math.sqrt((len(sizes) * seen**2 + SPREAD_AS * known**2) / (len(sizes) + SPREAD_AS))
