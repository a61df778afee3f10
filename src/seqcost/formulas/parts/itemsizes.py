"""Answers where the bytes of an element are a sweep or a symbol.

What a layer executes depends on them: below float32 it casts to float32 and back, with float32 angles it casts none of
them. So each width is asked by itself, and the answers are joined line by line. Within a range of widths bytes are
linear in the width, and FLOPs and steps constant; the scratchpad of the fused LSTM is not, and refuses a symbol.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from seqcost.algebra.bill import Bill
from seqcost.algebra.expr import Size, is_array, where
from seqcost.algebra.line import Kind, Line
from seqcost.errors import BadSize

FLOAT32 = 4
# Two widths on either side of float32 determine a line, the third must lie on it.
_NARROW, _WIDE = (1, 2, 3), (8, 16, 32)

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
    found = {size: answer(size) for size in (*_NARROW, FLOAT32, *_WIDE)}

    def joined(name: str, kind: Kind) -> Size:
        import sympy

        def on_line(sizes: tuple[int, int, int]) -> Size:
            first, second, third = (sympy.sympify(_amount(found[size], name, kind)) for size in sizes)
            slope = (second - first) / (sizes[1] - sizes[0])
            line = sympy.expand(first + slope * (itemsize - sizes[0]))
            if sympy.expand(first + slope * (sizes[2] - sizes[0]) - third) != 0:
                raise BadSize(
                    f"itemsize = {itemsize} was given, but {name} is no formula in the bytes of an element (it is "
                    "rounded up to whole pages); give a number, such as 4, or a sweep of them."
                )
            return line

        narrow, wide, at = on_line(_NARROW), on_line(_WIDE), _amount(found[FLOAT32], name, kind)
        one = sympy.expand(wide.subs(itemsize, FLOAT32) - at) == 0
        if one and narrow == wide:
            return wide
        pieces = [(narrow, itemsize < FLOAT32)] + ([] if one else [(at, sympy.Eq(itemsize, FLOAT32))])
        return sympy.Piecewise(*pieces, (wide, True))

    return _joined(found.values(), joined)


def _amount(bill: Bill, name: str, kind: Kind) -> Size:
    return next((line.amount for line in bill if (line.name, line.kind) == (name, kind)), 0)


def _joined(bills: Iterable[Bill], amount: Callable[[str, Kind], Size]) -> Bill:
    lines: dict[tuple[str, Kind], Line] = {}
    for bill in bills:
        for line in bill:
            lines.setdefault((line.name, line.kind), line)
    return Bill(replace(line, amount=amount(line.name, line.kind)) for line in lines.values())
