"""How one call's amount comes out of its shapes, in letters and in numbers: `2·m·k·n`, `2·1024·768·2304`.

The words are made afterwards, for whoever asks, and never take part in counting. Each is worked out anew and shown only
where it gives the number that was booked; where none does (an operator of the user's own) there are no words.

Letters: m, k, n of a product, b of a batch of them; of attention B batch, H heads, T queries, S keys, K and V widths.
"""

import math
from collections import Counter
from collections.abc import Iterator

from seqcost.algebra.work import Row, Shown
from seqcost.trace.operators.letters import Shape, Words, dims_of, times_of
from seqcost.trace.operators.registry import named

NO_WORDS = Words("", "", 0)


def words_for(row: Row, column: str) -> Words:
    """How the amount of one of a row's launches is made up; empty where nobody can say.

    Parameters
    ----------
    row
        Launches of the same shapes.
    column
        contraction, pointwise or bytes.

    """
    amount, launches = int(getattr(row, column)), int(row.launches)
    if not launches or amount % launches:  # alike in shapes, not in cost
        return NO_WORDS
    inputs, outputs = [shape for shape, _ in row.operands], [shape for shape, _ in row.results]
    found: Iterator[Words]
    if column == "bytes":
        found = _bytes(row)
    elif column == "contraction":
        known = named(row.name)
        found = iter(()) if known is None or known.letters is None else known.letters(inputs, outputs)
    else:
        found = _pointwise(row.name, amount // launches, inputs, outputs)
    return next((words for words in found if words.value * launches == amount), NO_WORDS)


def shapes_text(row: Row) -> str:
    """`[1024,768] [768,2304] → [1024,2304]`."""

    def side(tensors: tuple[Shown, ...]) -> str:
        return " ".join(f"[{','.join(map(str, shape))}]" for shape, _ in tensors)

    return f"{side(row.operands)} → {side(row.results)}".strip()


def _pointwise(operator: str, amount: int, inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    """So many operations for each score of attention, or for each element of the largest tensor that fits."""
    if "scaled_dot_product" in operator:
        q, k = inputs[1:3] if operator.endswith("_backward") else inputs[:2]
        scores = math.prod(q[:-1]) * k[-2]
        if scores and len(q) == 4 and amount % scores == 0:
            yield times_of(_w=amount // scores, B=q[0], H=q[1], T=q[2], S=k[2])
    for shape in sorted((*outputs, *inputs), key=math.prod, reverse=True):
        elements = math.prod(shape)
        if elements and amount and amount % elements == 0:
            weight = amount // elements
            once = weight == 1
            yield Words("elements" if once else f"{weight}·elements", dims_of(shape, 1 if once else weight), amount)


def _bytes(row: Row) -> Iterator[Words]:
    """Operands read and results written, each once; look-ups read as much as they write."""
    reads, writes = row.operands, row.results
    distinct = tuple(dict.fromkeys(reads))
    for letters, tensors in (
        ("operands + results", (*reads, *writes)),
        ("distinct operands + results", (*distinct, *writes)),
        ("results written", writes),
        ("rows read + indices + results", (*writes[:1], *reads[1:], *writes)),
        ("operands but the first + results", (*reads[1:], *writes)),
    ):
        sizes: dict[int, Counter[Shape]] = {}
        for shape, itemsize in tensors:
            sizes.setdefault(itemsize, Counter())[shape] += 1
        numbers = " + ".join(
            f"{size}·({' + '.join(dims_of(shape, times) for shape, times in shapes.items())})"
            for size, shapes in sizes.items()
        )
        yield Words(letters, numbers, sum(math.prod(shape) * itemsize for shape, itemsize in tensors))
