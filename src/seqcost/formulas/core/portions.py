"""A number of bytes that remembers what it consists of, so that the memory of a tape tells its peak by category.

It adds up and is multiplied by turns of loops like the number itself. What a storage is for may only show later (a
product is a gradient once it has arrived at its leaf), so a pass is played twice: once to see what each storage turns
out to be for, once with bytes that say so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from seqcost.algebra.peak import CATEGORIES, SAVED, Held, PeakMemory, largest_first

# Category, path of the module that made it; where tensors are told apart, name, shape and bytes of an element as well.
Part = tuple[Any, ...]
Moment = tuple[str, str, str]  # direction, path, name: of the operator that runs


@dataclass(frozen=True, slots=True)
class Portions:
    """Bytes by what they are for; `at` is the moment at which so many were there."""

    parts: Mapping[Part, int]
    at: Moment = ("", "", "")

    @property
    def total(self) -> int:
        """The bytes themselves."""
        return sum(self.parts.values())

    def __add__(self, other: "Portions | int") -> "Portions":
        return self._plus(other, 1)

    def __sub__(self, other: "Portions | int") -> "Portions":
        return self._plus(other, -1)

    def __mul__(self, times: int) -> "Portions":
        return Portions({part: size * times for part, size in self.parts.items()}, self.at)

    __radd__ = __add__
    __rmul__ = __mul__

    def _plus(self, other: "Portions | int", sign: int) -> "Portions":
        if isinstance(other, int):
            assert other == 0, "bytes that do not say what they are for"
            return self
        parts = dict(self.parts)
        for part, size in other.parts.items():
            parts[part] = parts.get(part, 0) + sign * size
        return Portions(parts, self.at)

    def of(self, part: Part, num_bytes: int) -> "Portions":
        """With so many more of a part."""
        return self + Portions({part: num_bytes})

    def during(self, moment: Moment) -> "Portions":
        """The same bytes, at a moment."""
        return Portions(self.parts, moment)


def composed(peak: Portions, resident: Iterable[tuple[str, int]], phase: str) -> PeakMemory:
    """The peak as both wings tell it, with what was there all the time."""
    sums = dict.fromkeys(CATEGORIES, 0)
    saved: dict[str, int] = {}
    for category, size in resident:
        sums[category] += size
    for (category, path, *_), size in peak.parts.items():
        sums[category] += size
        if category == SAVED:
            saved[path] = saved.get(path, 0) + size
    direction, path, name = peak.at
    return PeakMemory(
        peak_bytes=sum(sums.values()),
        categories=sums,
        saved_by_module=largest_first(saved),
        operator=name,
        path=path,
        phase=direction if phase == "train" else phase,
        tensors=_tensors(peak),
    )


def _tensors(peak: Portions) -> tuple[Held, ...]:
    """What is alive at the peak, tensor by tensor; nothing where they were not told apart."""
    found = []
    for (category, path, *rest), size in peak.parts.items():
        if rest and size:
            name, shape, itemsize = rest
            times = size // max(1, prod(shape) * itemsize)
            found.append(Held(name=name, path=path, category=category, shape=shape, num_bytes=size, times=times))
    return tuple(sorted(found, key=lambda held: -held.num_bytes))
