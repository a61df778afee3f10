"""Size expressions: one reading for exact ints, NumPy sweeps and SymPy formulas.

A formula is a plain function of sizes that never asks what a size is. `+ - * **` work on all three readings by
themselves; this page holds the few operations that do not: `ceil_div`, `ceil_log2`, `maximum`, `minimum`, `where`.
A size is an `int`, a `fractions.Fraction`, a float64 or object NumPy array, or a SymPy expression.

SymPy is imported only when a symbol is asked for. int64 arrays are refused: they wrap silently (3.0e20 becomes
negative at T = 2^20); `sweep` makes arrays that do not.
"""

import sys
from collections.abc import Iterable
from fractions import Fraction
from math import ceil
from numbers import Number
from typing import TYPE_CHECKING, Any, TypeAlias

from seqcost.errors import BadSize, shortened

if TYPE_CHECKING:
    import numpy as np
    import sympy

Size: TypeAlias = Any  # int | Fraction | np.ndarray (float64, object) | sympy.Expr


def symbol(letter: str) -> "sympy.Symbol":
    """The letter as a positive integer symbol: a formula called with it gives the formula."""
    import sympy

    return sympy.Symbol(letter, integer=True, positive=True)


def symbols(letters: Iterable[str]) -> dict[str, "sympy.Symbol"]:
    """Letter -> symbol, for `formula(**symbols("BTD"))`."""
    return {letter: symbol(letter) for letter in letters}


def is_symbolic(size: Size) -> bool:
    """Whether the size is a SymPy expression (asked without importing SymPy)."""
    sympy = sys.modules.get("sympy")
    return sympy is not None and isinstance(size, sympy.Basic)


def is_array(size: Size) -> bool:
    """Whether the size is a NumPy array (asked without importing NumPy)."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(size, numpy.ndarray)


def sweep(values: Iterable[int], *, exact: bool = False) -> "np.ndarray[Any, Any]":
    """An array of sizes for reading a formula at many points at once.

    Parameters
    ----------
    values
        Whole numbers: a list, a range, an integer array.
    exact
        True keeps Python ints (object array: exact at any size, slower); False takes float64, whose relative
        error is below 1e-15 an operation and which does not wrap.

    Examples
    --------
    >>> from seqcost import Workload, configure
    >>> configure("gpt2").state_bytes(Workload(T=sweep([1024, 2048], exact=True))).total()
    array([75497472, 150994944], dtype=object)

    """
    import numpy as np

    if not isinstance(exact, bool):
        raise BadSize(f"exact = {shortened(exact)} was given for a sweep; True or False is allowed.")
    try:
        if exact:
            given = list(values)
            out = np.empty(len(given), dtype=object)
            out[:] = [int(v) for v in given]
            return out
        return np.asarray(values if isinstance(values, np.ndarray) else list(values), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise BadSize(
            f"{shortened(values)} was given for a sweep; whole numbers are allowed: sweep([64, 128])."
        ) from None


def is_size(value: Any) -> bool:
    """Whether formulas can be read at it: a number, an array or a symbol; what numbers are allowed is asked apart."""
    return isinstance(value, Number) or is_array(value) or is_symbolic(value)


def check_size(size: Size) -> Size:
    """Return the size, refusing what would count wrongly: int64 arrays, NumPy integers, bools, plain floats."""
    if is_array(size):
        if size.dtype.kind in "iub":
            raise BadSize(
                f"an array of {size.dtype} was given as a size and would wrap silently beyond 2^63; "
                "make it with seqcost.sweep(values)."
            )
        return size
    if isinstance(size, bool | float) or not (isinstance(size, int | Fraction) or is_symbolic(size)):
        raise BadSize(
            f"{size!r} ({type(size).__name__}) was given as a size; "
            "a whole number, a sweep of them or a SymPy symbol is allowed."
        )
    return size


def ceil_div(a: Size, b: Size) -> Size:
    """⌈a / b⌉, exact for ints."""
    if is_symbolic(a) or is_symbolic(b):
        import sympy

        return 1 if a == 1 else without_letters(sympy.ceiling(sympy.sympify(a) / b))
    return -(-a // b)


def without_letters(size: Size) -> Size:
    """An int where a formula's letters have gone: C/C sub-chunks are 1, of which an axis is told as such."""
    return int(size) if getattr(size, "is_Integer", False) else size


def ceil_log2(a: Size) -> Size:
    """⌈log₂ a⌉ for a ≥ 1, exact for ints: the levels of a tree over a leaves."""
    if is_symbolic(a):
        import sympy

        return sympy.ceiling(sympy.log(a, 2))
    if is_array(a):
        import numpy as np

        if a.dtype == object:
            return np.frompyfunc(ceil_log2, 1, 1)(a)
        return np.frexp(a - 1)[1].astype(np.float64)  # a logarithm would round 2^50 + 1 down
    return (ceil(a) - 1).bit_length()


def maximum(a: Size, b: Size) -> Size:
    """The larger of two sizes, element by element for sweeps."""
    if is_symbolic(a) or is_symbolic(b):
        import sympy

        return sympy.Max(a, b)
    if is_array(a) or is_array(b):
        import numpy as np

        return np.maximum(a, b)
    return max(a, b)


def minimum(a: Size, b: Size) -> Size:
    """The smaller of two sizes, element by element for sweeps."""
    if is_symbolic(a) or is_symbolic(b):
        import sympy

        return sympy.Min(a, b)
    if is_array(a) or is_array(b):
        import numpy as np

        return np.minimum(a, b)
    return min(a, b)


def where(condition: Any, a: Size, b: Size) -> Size:
    """`a` where the condition holds, else `b`; the condition may be a relation of symbols or an array of bools."""
    if is_symbolic(condition) or is_symbolic(a) or is_symbolic(b):
        import sympy

        return sympy.Piecewise((a, condition), (b, True))
    if is_array(condition):
        import numpy as np

        # Two plain numbers would make an int64 array, which wraps.
        a, b = (np.asarray(side, dtype=object) if isinstance(side, int) else side for side in (a, b))
        return np.where(condition, a, b)
    return a if condition else b


def halve(size: Size) -> Size:
    """size / 2 for a size that is known to be even, kept exact: T(T+1)/2."""
    if isinstance(size, int):
        assert size % 2 == 0, f"{size} is odd"
        return size // 2
    if is_array(size) and size.dtype == object:
        return size // 2
    return size / 2
