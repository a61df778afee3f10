"""Choices worth looking at: those that no other one beats in both what they need and what they cost."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Something that can be done: what it needs (bytes at a size, say) and what it costs (seconds, FLOPs)."""

    name: str
    need: float
    cost: float


def front(choices: Iterable[Choice]) -> tuple[Choice, ...]:
    """The Pareto front, from the cheapest on: each needs less than all that cost no more than it.

    Of equal ones the first stands for all.

    >>> a, b, c = (Choice(name=n, need=x, cost=y) for n, x, y in (("a", 9, 1), ("b", 5, 2), ("c", 6, 3)))
    >>> [choice.name for choice in front([c, b, a])]
    ['a', 'b']
    """
    kept: list[Choice] = []
    for choice in sorted(choices, key=lambda choice: (choice.cost, choice.need)):
        if not kept or choice.need < kept[-1].need:
            kept.append(choice)
    return tuple(kept)
