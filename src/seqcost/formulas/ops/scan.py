"""The diagonal linear recurrence h_t = a_t ⊙ h_{t−1} + b_t in two levels, as `layers.ops.scan` executes it.

Operations an element: 3 to find what a chunk keeps and adds, 2 to run the recurrence again from the state before it;
backward 3 and 2 likewise, and 1 for the gradient of a. The loop inside a chunk is written out, so C is a whole number;
the loop over the chunks has n = ⌈T/C⌉ turns.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from seqcost.algebra import Size, ceil_div
from seqcost.errors import BadSize
from seqcost.formulas.core.operator import Operator
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Node, Value, broadcast, product, same


def check_chunk(owner: str, C: Size) -> None:
    """Refuse a chunk that is no whole number of at least 2."""
    if isinstance(C, bool) or not isinstance(C, int) or C < 2:
        raise BadSize(f"{owner}: C = {C!r} was given; the scan takes a whole number of tokens a chunk, at least 2.")


def add_product(t: Tape, name: str, b: Value, a: Value, h: Value, note: str = "") -> Value:
    """The sum b + a ⊙ h in one kernel: torch.addcmul. No gradient flows through it on the tape."""
    shape = broadcast(broadcast(b.shape, a.shape), h.shape)
    return t.operator(
        name, [b, a, h], shape, pointwise=2 * product(shape), itemsize=b.storage.itemsize, note=note or "b + a ⊙ h"
    )


def linear_scan(t: Tape, a: Value, b: Value, start: Value, C: int) -> tuple[Value, Value]:
    """All states [B,T,*] and the last one [B,*]; `a` may have axes of ONE where b is wider."""
    B, T, *rest = b.shape
    n = ceil_div(T, C)

    def chunks(name: str, x: Value) -> Value:
        return t.view(
            t.moved(name, [x], B, n * C, *x.shape[2:], note="filled up to whole chunks"), B, n, C, *x.shape[2:]
        )

    a, b = chunks("decay_fill", a), chunks("input_fill", b)
    h, final = _forward(t, t.detach(a), t.detach(b), t.detach(start), C)
    if b.needs_gradient or a.needs_gradient:
        h, final = (Value(v.shape, v.storage, v.elements, True, v.depth, v.chain) for v in (h, final))
        t.nodes.append(Node((a, b, start), (h, final), lambda wanted: _backward(t, a, h, start, C, wanted)))
        for value in (a, start, h):
            t.keep(value)
    whole = t.part(t.view(h, B, n * C, *rest), B, T, *rest)
    return t.moved("states_copy", [whole], B, T, *rest, note="without what was filled up"), final


def _forward(t: Tape, a: Value, b: Value, start: Value, C: int) -> tuple[Value, Value]:
    B, n, _, *rest = b.shape
    decays, inputs = _each(t, a, 2), _each(t, b, 2)
    keep, add = decays[0], inputs[0]
    for c in range(1, C):
        keep = t.multiply("chunk_keep", keep, decays[c], "∏ a over each chunk")
        add = add_product(t, "chunk_add", inputs[c], decays[c], add, "each chunk from a state of 0")
    before, final = _carry(t, keep, add, start, n)
    h = t.stack("chunk_states", before, n, note="the state before each chunk")
    states = []
    for c in range(C):
        h = add_product(t, "scan", inputs[c], decays[c], h, "h = a ⊙ h + b, all chunks at once")
        states.append(h)
    return t.moved("states", states, B, n, C, *rest, note="stacked"), final


def _backward(t: Tape, a: Value, h: Value, start: Value, C: int, wanted: Sequence[bool]) -> Iterator[Operator]:
    n = h.shape[1]
    s = Tape(t.run, t.turns)
    g, g_final = s.given(h.shape), s.given(start.shape)
    decays, gradients = _each(s, s.detach(a), 2), _each(s, g, 2)
    keep, G = decays[-1], gradients[-1]
    for c in reversed(range(C - 1)):
        keep = s.multiply("keep", keep, decays[c])
        G = add_product(s, "add", gradients[c], decays[c + 1], G)
    after, _ = _carry(s, keep, s.multiply("first", decays[0], G), g_final, n)
    G = s.add("last", gradients[-1], s.stack("after", after, n))
    for c in reversed(range(C - 1)):
        G = add_product(s, "scan", gradients[c], decays[c + 1], G)
    if wanted[0]:
        da = s.multiply("decay", g, s.given(h.shape))
        if not same(a.shape, h.shape):
            s.sum("decay_sum", da, -1, keep=True)
    total: Any = sum(operator.pointwise for operator in s.operators)
    yield Operator(name="scan_backward", pointwise=total, note="the recurrence from the other end")


def _carry(t: Tape, keep: Value, add: Value, state: Value, n: Size) -> tuple[list[Value], Value]:
    before = []
    keeps, adds = (t.every(x, n, x.shape[0], *x.shape[2:]) for x in (keep, add))
    for i in t.loop(n):
        before.append(state)
        state = add_product(t, "carry", adds[i], keeps[i], state, "from chunk to chunk")
    return before, state


def _each(t: Tape, x: Value, axis: int) -> list[Value]:
    """X unbound along an axis whose length is a whole number."""
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])
    return t.parts(x, *[shape] * x.shape[axis])
