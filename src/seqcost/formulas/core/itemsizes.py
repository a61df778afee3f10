"""Answers where the bytes of an element are a sweep or a symbol.

What a layer executes depends on them: below float32 it casts to float32 and back, and tables of float64 angles are cast
to every width but their own. So each width is asked by itself, and the answers are joined line by line. Below float32,
and above it, bytes are linear in the width, and FLOPs and steps constant; float32 and float64 may each be an exception.
The scratchpad of the fused LSTM is not linear, and refuses a symbol.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from seqcost.algebra.bill import Bill
from seqcost.algebra.expr import Size, is_array, where
from seqcost.algebra.line import Kind, Line
from seqcost.errors import BadSize

FLOAT32 = 4
# The widths of arithmetic itself: where numbers have one of them, casts to it fall away.
_ALONE = (FLOAT32, 8)
# Two widths on either side of float32 determine a line, the third must lie on it.
_NARROW, _WIDE = (1, 2, 3), (6, 16, 32)

Answer = Callable[[int], Bill]


def over_itemsizes(answer: Answer, itemsize: Size) -> Bill:
    """The Bill of `answer` for every width of a sweep, or as a formula in a symbol for it."""
    return _swept(answer, itemsize) if is_array(itemsize) else _in_symbol(answer, itemsize)


def _swept(answer: Answer, itemsize: Size) -> Bill:
    found = {size: answer(size) for size in sorted({int(size) for size in itemsize.flat})}

    def joined(name: str, kind: Kind) -> Size:
        amount: Size = itemsize * 0
        for size, bill in found.items():
            amount = where(itemsize == size, _amount(bill, name, kind), amount)
        return amount.astype(itemsize.dtype)

    return _joined(found.values(), joined)


def _in_symbol(answer: Answer, itemsize: Size) -> Bill:
    found = {size: answer(size) for size in sorted({*_NARROW, *_ALONE, *_WIDE})}

    def joined(name: str, kind: Kind) -> Size:
        import sympy

        amounts = {size: sympy.sympify(_amount(bill, name, kind)) for size, bill in found.items()}

        def on_line(sizes: tuple[int, int, int], width: Size) -> Size:
            first, second, third = sizes
            slope = (amounts[second] - amounts[first]) / (second - first)
            if sympy.expand(amounts[first] + slope * (third - first) - amounts[third]) != 0:
                raise BadSize(
                    f"itemsize = {itemsize} was given, but {name} is no formula in the bytes of an element (it is "
                    "rounded up to whole pages); give a number, such as 4, or a sweep of them."
                )
            return sympy.expand(amounts[first] + slope * (width - first))

        narrow, wide = on_line(_NARROW, itemsize), on_line(_WIDE, itemsize)
        pieces = [] if narrow == wide else [(narrow, itemsize < FLOAT32)]
        off = [size for size in _ALONE if sympy.expand(on_line(_WIDE, size) - amounts[size]) != 0]
        pieces += [(amounts[size], sympy.Eq(itemsize, size)) for size in off]
        return sympy.Piecewise(*pieces, (wide, True)) if pieces else wide

    return _joined(found.values(), joined)


def _amount(bill: Bill, name: str, kind: Kind) -> Size:
    return next((line.amount for line in bill if (line.name, line.kind) == (name, kind)), 0)


def _joined(bills: Iterable[Bill], amount: Callable[[str, Kind], Size]) -> Bill:
    lines: dict[tuple[str, Kind], Line] = {}
    for bill in bills:
        for line in bill:
            lines.setdefault((line.name, line.kind), line)
    return Bill(replace(line, amount=amount(line.name, line.kind)) for line in lines.values())
