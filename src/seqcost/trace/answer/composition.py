"""What memory consists of at the peak, and how much is alive at every operator of a step."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seqcost.algebra.peak import CATEGORIES, TEMPORARY, PeakMemory
from seqcost.trace.book.history import History


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Bytes alive at every operator that makes or changes something, in the order of the step.

    `moments` has rows (operator index, live bytes, phase), the phase being forward, backward or optimizer in a training
    step; `categories` the same bytes divided as in `PeakMemory`, a sequence for each category.
    """

    moments: tuple[tuple[int, int, str], ...]
    categories: Mapping[str, tuple[int, ...]]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        rows = [list(row) for row in self.moments]
        return {"moments": rows, "categories": {name: list(sizes) for name, sizes in self.categories.items()}}


def compose(history: History, phase: str) -> tuple[PeakMemory | None, Timeline]:
    """The peak and the timeline of a run; no peak where no operator ran."""
    seen = [(moment, _with_kernel(moment, sums)) for moment, sums in history.sums()]
    order = list(history.order())

    def named(direction: str) -> str:
        return direction if phase == "train" else phase

    timeline = Timeline(
        moments=tuple(
            (index, int(seen[at][0].alive_bytes), named(seen[at][0].direction)) for index, at in enumerate(order)
        ),
        categories={
            name: tuple(seen[at][1][column] for at in order) for column, name in enumerate(CATEGORIES)
        },
    )  # fmt: skip
    if not seen:
        return None, timeline
    at = max(range(len(seen)), key=lambda i: seen[i][0].alive_bytes)
    worst, sums = seen[at]
    peak = PeakMemory(
        peak_bytes=int(worst.alive_bytes),
        categories=dict(zip(CATEGORIES, sums, strict=True)),
        saved_by_module={path: int(size) for path, size in history.saved_by_module(worst).items()},
        operator=worst.operator,
        path=worst.path,
        phase=named(worst.direction),
        index=order.index(at),
        tensors=history.tensors(worst),
    )
    return peak, timeline


def _with_kernel(moment: Any, sums: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(int(size + (moment.kernel_bytes if name == TEMPORARY else 0)) for name, size in sums.items())
