"""Measured points of one kernel, and the time that they give at sizes which nobody measured.

The recipe of measured tables: utilisation = least time / measured time; the time at other sizes is their least time
over a utilisation blended from the nearest points in the logarithm of each axis. The blend is a plane through the
nearest points, the nearer the heavier, held within what they show, so that a trend between points is followed. An exact
hit is returned as it is; outside of what was measured the plane is flat, and said so.

Along a single axis, which streaming operators have, time itself is interpolated: it is a start plus so much an element,
and a knee between two points (a working set leaves a cache) lies between them.

The least time has a floor of its own for each kernel, what its smallest launch takes, so that utilisation stays smooth
down to small sizes. Not covered: knees between points of several axes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np

from seqcost.machines import Series

SMALL_S = 30e-6  # a launch that takes no longer is mostly dispatch
STEPPED = "recurrence"  # whose first size is a number of steps
FLAT = 0.05  # how strongly the plane is kept from tilting where points are few
BEYOND = 0.2  # how far (natural logarithm) the plane may leave what the nearest points show
HIT = 1e-9


class Basis(StrEnum):
    """What a time rests on."""

    MEASURED = "measured"
    INTERPOLATED = "interpolated"
    EXTRAPOLATED = "extrapolated"
    PRIOR = "prior"


@dataclass(frozen=True, slots=True)
class Found:
    """Seconds at a query, what they rest on, and how far the nearest measured point is (natural logarithm)."""

    seconds: float
    basis: Basis
    distance: float


Sizes = Sequence[float]
Roofline = Callable[[float, float], float]  # FLOPs and bytes of a launch → the least seconds that they take

# What of the sizes of a launch decides how well it uses the machine, by kernel; `work.Kernel` has their order.
_AXES: Mapping[str, Callable[[Sizes], Sizes]] = {
    "attention": lambda z: (z[0] * z[1], z[2], z[3], z[4]),
    "convolution": lambda z: (z[0] * z[4], z[1], z[2], z[3]),
    **dict.fromkeys(("reduction", "scan", "softmax", "norm", "sort"), lambda z: (z[0] * z[-1], z[-1])),
}


def axes(kernel: str, sizes: Sizes) -> tuple[float, ...]:
    """Logarithms of what decides the utilisation."""
    found = _AXES[kernel](sizes) if kernel in _AXES else sizes
    return tuple(math.log(max(size, 1.0)) for size in found)


@dataclass(frozen=True)
class Points:
    """One series of a machine with the roofline above it."""

    series: Series
    roofline: Roofline
    floor: float  # seconds of a launch of nothing, where the series has none of its own

    @cached_property
    def start(self) -> float:
        """Seconds of its smallest launch."""
        smallest = min(self.series.seconds)
        return smallest if smallest <= SMALL_S else self.floor

    def least(self, flops: float, moved: float) -> float:
        """What no launch of it goes below."""
        return self.start + self.roofline(flops, moved)

    @cached_property
    def _seconds(self) -> np.ndarray:
        return np.array(self.series.seconds)

    @cached_property
    def _at(self) -> np.ndarray:
        return np.array([axes(self.series.kernel, sizes) for sizes in self.series.sizes])

    @cached_property
    def _log_utilisation(self) -> np.ndarray:
        rows = zip(self.series.flops, self.series.bytes, self.series.seconds, strict=True)
        return np.log([self.least(flops, moved) / seconds for flops, moved, seconds in rows])

    def holds(self, sizes: Sizes) -> bool:
        """Whether the sizes lie within those that were measured."""
        return list(sizes) == self.clipped(sizes)

    def clipped(self, sizes: Sizes) -> list[float]:
        """The sizes, held within those that were measured."""
        columns = list(zip(*self.series.sizes, strict=True))
        return [min(max(size, min(column)), max(column)) for size, column in zip(sizes, columns, strict=True)]

    def find(self, sizes: Sizes, flops: float, moved: float, leaving_out: int | None = None) -> Found:
        """Seconds of one launch; without one of the points where its own error is asked for."""
        kept = np.arange(len(self.series)) != leaving_out
        at, query = self._at[kept], np.array(axes(self.series.kernel, sizes))
        away = np.sqrt(((at - query) ** 2).sum(1))
        nearest = int(away.argmin())
        seconds = self._seconds[kept]
        if away[nearest] < HIT:
            return Found(float(seconds[nearest]), Basis.MEASURED, 0.0)
        within = bool(((at.min(0) <= query) & (query <= at.max(0))).all())
        basis = Basis.INTERPOLATED if within else Basis.EXTRAPOLATED
        if len(query) == 1 and within:
            order = at[:, 0].argsort()
            between = float(np.interp(math.exp(query[0]), np.exp(at[order, 0]), seconds[order]))
            return Found(between, basis, float(away[nearest]))
        if self.series.kernel == STEPPED and len(np.unique(at[:, 0])) > 1:
            return Found(self._stepped(query, flops, moved, kept), basis, float(away[nearest]))
        inside = np.clip(query, at.min(0), at.max(0))
        utilisation = math.exp(_plane(at - inside, self._log_utilisation[kept]))
        return Found(self.least(flops, moved) / utilisation, basis, float(away[nearest]))

    def _stepped(self, query: np.ndarray, flops: float, moved: float, kept: np.ndarray) -> float:
        """A fused recurrence's time is a start and so much a step: at its sizes for each number of steps, then a line.

        The sizes of a step are interpolated as ever, between points of as many steps.
        """
        at, utilisations = self._at[kept], self._log_utilisation[kept]
        steps, found = np.unique(at[:, 0]), []
        for step in steps:
            alike = at[:, 0] == step
            away = at[alike][:, 1:] - np.clip(query[1:], at[alike][:, 1:].min(0), at[alike][:, 1:].max(0))
            share = math.exp(step - query[0])
            found.append(self.least(share * flops, share * moved) / math.exp(_plane(away, utilisations[alike])))
        numbers, asked = np.exp(steps), math.exp(query[0])
        if asked <= numbers[-1]:
            return float(np.interp(asked, numbers, found))
        slope = (found[-1] - found[-2]) / (numbers[-1] - numbers[-2])
        return float(found[-1] + max(slope, 0.0) * (asked - numbers[-1]))


def _plane(away: np.ndarray, values: np.ndarray) -> float:
    """The value at the origin of a plane through the nearest points."""
    distances = np.sqrt((away**2).sum(1))
    nearest = distances.argsort()[: 2 * away.shape[1] + 3]
    weights = 1 - (distances[nearest] / (1.01 * distances[nearest].max() + HIT)) ** 2 + 0.02
    columns = np.c_[np.ones(len(nearest)), away[nearest]]
    flat = FLAT * np.eye(columns.shape[1])
    flat[0, 0] = HIT
    weighted = columns * weights[:, None]
    value = float(np.linalg.solve(weighted.T @ columns + flat, weighted.T @ values[nearest])[0])
    shown = values[nearest]
    return min(max(value, float(shown.min()) - BEYOND), float(shown.max()) + BEYOND)
