"""Sizes compared, be they numbers or formulas."""

from fractions import Fraction
from functools import lru_cache

from seqcost.algebra import Size
from seqcost.algebra.evaluation import evaluated
from seqcost.algebra.expr import is_symbolic

LARGE = 10**6  # a letter where formulas are compared: chains are told apart for long sequences
DIVISOR = Fraction(3, 2)  # a letter that divides: less than all that it can divide, so that no quotient is below 1


def expanded(size: Size) -> Size:
    """Products multiplied out, so that equal sizes look equal."""
    if is_symbolic(size):
        import sympy

        return sympy.expand(size)
    return size


def equal(a: Size, b: Size) -> bool:
    """Whether two sizes are the same, as formulas where they are such."""
    if a is b:
        return True
    if isinstance(a, int) and isinstance(b, int):
        return a == b
    return bool(a == b) or ((is_symbolic(a) or is_symbolic(b)) and bool(expanded(a) == expanded(b)))


def apart(a: Size, b: Size) -> int | None:
    """By how much a is more than b, where that is one whole number whatever the letters are."""
    more = expanded(a - b)
    return int(more) if isinstance(more, int) or getattr(more, "is_Integer", False) else None


def is_longer(a: Size, b: Size) -> bool:
    """Whether one size is larger than another; where that depends on letters, whether it is for large ones."""
    if isinstance(a, int) and isinstance(b, int):
        return a > b
    if a is b:
        return False
    return _is_longer_as_formula(a, b)


@lru_cache(maxsize=2**14)
def _is_longer_as_formula(a: Size, b: Size) -> bool:
    dividing = _divisors(a) | _divisors(b)
    return bool(_at_large(a, dividing) > _at_large(b, dividing))


@lru_cache(maxsize=4096)
def _divisors(size: Size) -> frozenset[str]:
    """The letters that something is divided by: J of C/J sub-chunks, C of ⌈T/C⌉ chunks."""
    if not is_symbolic(size):
        return frozenset()
    import sympy

    below = (power.base for power in size.atoms(sympy.Pow) if power.exp.is_negative)
    return frozenset(str(letter) for base in below for letter in base.free_symbols)


@lru_cache(maxsize=4096)
def _at_large(size: Size, dividing: frozenset[str]) -> Size:
    letters = map(str, getattr(size, "free_symbols", ()))
    return evaluated(size, {letter: DIVISOR if letter in dividing else LARGE for letter in letters})
