"""A loop of a program, and the turns of it that are passed: one of them may stand for many."""

from dataclasses import dataclass
from typing import Any

from seqcost.algebra import Size


@dataclass(eq=False, slots=True)
class Loop:
    """A loop of a program: how often it turns, and which turns are passed."""

    count: Size
    place: int | None = None  # among the counts that are no numbers
    turns: "tuple[Turn, ...]" = ()
    last: Any = None  # the passage through the turn before, in the direction under way; see memory


@dataclass(eq=False, slots=True)
class Turn:
    """One turn of a loop, which stands for `weight` of them."""

    loop: Loop
    index: int
    weight: Size
