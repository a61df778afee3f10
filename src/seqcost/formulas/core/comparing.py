"""Sizes compared, be they numbers, sweeps or formulas."""

from functools import lru_cache

from seqcost.algebra import Size
from seqcost.algebra.evaluation import evaluated
from seqcost.algebra.expr import is_array, is_symbolic

LARGE = 10**6  # a size at which formulas are compared: chains are told apart for long sequences


def expanded(size: Size) -> Size:
    """Products multiplied out, so that equal sizes look equal."""
    if is_symbolic(size):
        import sympy

        return sympy.expand(size)
    return size


def equal(a: Size, b: Size) -> bool:
    """Whether two sizes are the same, as formulas and in every point of a sweep."""
    if a is b:
        return True
    if isinstance(a, int) and isinstance(b, int):
        return a == b
    same = a == b
    if is_array(same):
        return bool(same.all())
    return bool(same) or ((is_symbolic(a) or is_symbolic(b)) and bool(expanded(a) == expanded(b)))


def apart(a: Size, b: Size) -> int | None:
    """By how much a is more than b, where that is one whole number whatever the letters are, and in a whole sweep."""
    more = expanded(a - b)
    if is_array(more):
        least = more.flat[0]
        return int(least) if (more == least).all() and least == int(least) else None
    return int(more) if isinstance(more, int) or getattr(more, "is_Integer", False) else None


def is_longer(a: Size, b: Size) -> bool:
    """Whether one size is larger than another; where that depends on letters, whether it is for large ones."""
    if isinstance(a, int) and isinstance(b, int):
        return a > b
    if a is b:
        return False
    difference = _at_large(a) - _at_large(b)
    return bool(difference.flat[-1] > 0) if is_array(difference) else bool(difference > 0)


def _at_large(size: Size) -> Size:
    return _formula_at_large(size) if is_symbolic(size) else size


@lru_cache(maxsize=4096)
def _formula_at_large(size: Size) -> Size:
    return evaluated(size, {str(letter): LARGE for letter in size.free_symbols})
