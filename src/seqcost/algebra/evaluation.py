"""A formula at sizes: numbers or sweeps put in for its letters.

NumPy computes a sweep point by point in float64, or exactly in Python's whole numbers, as the sweep was made.
"""

from collections.abc import Mapping
from fractions import Fraction
from functools import reduce
from typing import Any

from seqcost.algebra.expr import Size, ceil_div, ceil_log2, is_array, is_symbolic, maximum, minimum, where


def evaluated(amount: Size, sizes: Mapping[str, Size]) -> Size:
    """The amount with sizes for its letters; exact where they are. Letters that are not given stay."""
    if not is_symbolic(amount):
        return amount
    return _whole(_Reader(sizes).read(amount))


class _Reader:
    def __init__(self, sizes: Mapping[str, Size]) -> None:
        self._sizes = sizes
        self._known: dict[Any, Size] = {}  # parts that occur again

    def read(self, part: Any) -> Any:
        if part not in self._known:
            self._known[part] = self._read(part)
        return self._known[part]

    def _read(self, part: Any) -> Any:
        if part.is_Symbol:
            return self._sizes.get(part.name, part)
        if part.is_Rational:
            return int(part) if part.is_Integer else Fraction(int(part.p), int(part.q))
        kind = type(part).__name__
        if kind == "ceiling":
            return self._ceiling(part.args[0])
        if kind == "Piecewise":
            *cases, (last, _) = part.args
            out = self.read(last)
            for value, condition in reversed(cases):
                out = where(self.read(condition), self.read(value), out)
            return out
        return _OPERATIONS[kind](*map(self.read, part.args))

    def _ceiling(self, inner: Any) -> Any:
        numerator, denominator = inner.as_numer_denom()
        if type(inner).__name__ == "Mul" and inner.has(*_logarithms()):
            (logarithm,) = (arg for arg in inner.args if type(arg).__name__ == "log" and arg.free_symbols)
            return ceil_log2(self.read(logarithm.args[0]))
        return ceil_div(self.read(numerator), self.read(denominator))


def _logarithms() -> tuple[Any, ...]:
    import sympy

    return (sympy.log,)


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(exponent, int) and exponent < 0:
        return 1 / (_as_fraction(base) ** -exponent)
    return base**exponent


def _as_fraction(value: Any) -> Any:
    if isinstance(value, int):
        return Fraction(value)
    if is_array(value) and value.dtype == object:
        import numpy as np

        return np.frompyfunc(Fraction, 1, 1)(value)
    return value


def _times(*factors: Any) -> Any:
    return reduce(lambda a, b: _float(a, b) * _float(b, a), factors)


def _plus(*terms: Any) -> Any:
    return reduce(lambda a, b: _float(a, b) + _float(b, a), terms)


def _float(value: Any, other: Any) -> Any:
    """A fraction beside a sweep of floats becomes one."""
    return float(value) if isinstance(value, Fraction) and is_array(other) and other.dtype != object else value


def _whole(value: Any) -> Any:
    """Whole numbers as such."""
    if isinstance(value, Fraction):
        return value.numerator if value.denominator == 1 else value
    if is_array(value) and value.dtype == object:
        import numpy as np

        return np.frompyfunc(lambda v: v.numerator if isinstance(v, Fraction) and v.denominator == 1 else v, 1, 1)(
            value
        )
    return value


_OPERATIONS: dict[str, Any] = {
    "Add": _plus,
    "Mul": _times,
    "Pow": _power,
    "Max": lambda *values: reduce(maximum, values),
    "Min": lambda *values: reduce(minimum, values),
    "StrictGreaterThan": lambda a, b: a > b,
    "GreaterThan": lambda a, b: a >= b,
    "StrictLessThan": lambda a, b: a < b,
    "LessThan": lambda a, b: a <= b,
    "Equality": lambda a, b: a == b,
    "Unequality": lambda a, b: a != b,  # codespell:ignore
    "BooleanTrue": lambda: True,
    "BooleanFalse": lambda: False,
}
