"""Sizes of chunks."""

from seqcost.errors import BadSize
from seqcost.formulas.core.component import Component, check_sizes


def check_chunks(component: Component, *letters: str) -> None:
    """Refuse chunks of fewer than 2 tokens: they are the recurrent form, at many times its cost."""
    check_sizes(component, *letters)
    for letter in letters:
        value = getattr(component, letter)
        if isinstance(value, int) and value < 2:
            raise BadSize(
                f"{type(component).__name__}: {letter} = {value} was given; chunks of at least 2 tokens are allowed, "
                "and `step` takes one token at a time."
            )
