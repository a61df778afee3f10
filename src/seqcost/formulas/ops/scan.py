"""The diagonal linear recurrence h_t = a_t ⊙ h_{t−1} + b_t in two levels, as `layers.ops.scan` executes it.

Operations an element: 3 to find what a chunk keeps and adds, 2 to run the recurrence again from the state before it;
backward 3 and 2 likewise, and 1 for the gradient of a. C tokens stand in a chunk; the loop over the chunks has
n = ⌈T/C⌉ turns.
"""

from collections.abc import Sequence
from typing import Any

from seqcost.algebra import Size, ceil_div
from seqcost.algebra.work import Kernel
from seqcost.errors import BadSize
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value, same
from seqcost.formulas.ops.chunks import carried


def check_chunk(owner: str, C: Size) -> None:
    """Refuse a chunk that is no whole number of at least 2."""
    if isinstance(C, bool) or not isinstance(C, int) or C < 2:
        raise BadSize(f"{owner}: C = {C!r} was given; the scan takes a whole number of tokens per chunk, at least 2.")


def linear_scan(t: Tape, a: Value, b: Value, start: Value, C: int) -> tuple[Value, Value]:
    """All states [B,T,*] and the last one [B,*]; `a` may have axes of ONE where b is wider."""
    B, T, *rest = b.shape
    n = ceil_div(T, C)

    def chunks(name: str, x: Value) -> Value:
        shape = x.shape[2:]
        return t.view(t.pad(name, x, B, n * C, *shape, note="filled up to whole chunks"), B, n, C, *shape)

    h, final = _scan(t, chunks("decay_fill", a), chunks("input_fill", b), start, C)
    whole = t.part(t.view(h, B, n * C, *rest), B, T, *rest, name="states")
    return t.copy("states_copy", whole, note="without what was filled up"), final


def states(
    t: Tape, name: str, start: Value, added: Sequence[Value], kept: Sequence[Value], n: Size, note: str = ""
) -> list[Value]:
    """The start, and after each of n turns `state = added + kept ⊙ state`, of the turns that are passed."""
    found = [start]
    for i in t.loop(n):
        found.append(t.add_product(name, added[i], kept[i], found[-1], note))
    return found


def stacked(t: Tape, name: str, made: list[Value], n: Size, axis: int, note: str = "") -> Value:
    """The n tensors of which a loop made some, those of its last turns among them, stacked along an axis."""
    return t.stack(name, made[-len(t.weights(n)) :], n, axis=axis, note=note)


def _scan(t: Tape, a: Value, b: Value, start: Value, C: int) -> tuple[Value, Value]:
    """Over whole chunks [B,n,C,*]: one node of the graph, with a backward of its own."""
    h, final = _forward(t, t.detach(a), t.detach(b), t.detach(start), C)
    shapes, wide = [h.shape, final.shape], h.storage.itemsize

    def backward(t: Tape, gs: Sequence[Any], kept: Any, wanted: Sequence[bool]) -> list[Value | None]:
        g: Any = [
            t.kernel("scan_backward", Kernel.FILL, [], shape, operator="zeros", itemsize=wide)
            if given is None
            else given
            for given, shape in zip(gs, shapes, strict=True)
        ]
        return _backward(t, *kept, *g, C, wanted)  # type: ignore[call-arg]  # as many as it takes

    t.follow("scan", [a, b, start], [h, final], backward, [(v, None) for v in (a, start, h)], single=False)
    return h, final


def _forward(t: Tape, a: Value, b: Value, start: Value, C: int) -> tuple[Value, Value]:
    decays, inputs = t.every(a, 2), t.every(b, 2)
    keep, add = t.select(a, 2), t.select(b, 2)
    for c in t.loop(C - 1):
        keep = t.multiply("chunk_keep", keep, decays[c], "∏ a over each chunk")
        add = t.add_product("chunk_add", inputs[c], decays[c], add, "each chunk from a state of 0")
    before, final = carried(
        t, "chunk_states", lambda *turn: _after(t, *turn), (keep, add), start, 1, "the state before each chunk"
    )
    every = states(t, "scan", before, inputs, decays, C, "h = a ⊙ h + b, all chunks at once")
    return stacked(t, "states", every[1:], C, 2), final


def _after(t: Tape, state: Value, keep: Value, add: Value) -> Value:
    return t.add_product("carry", add, keep, state, "from chunk to chunk")


def _backward(
    t: Tape, a: Value, start: Value, h: Value, g: Value, g_final: Value, C: int, wanted: Sequence[bool]
) -> list[Value | None]:
    """The same recurrence from the other end."""
    B, n, _, *rest = h.shape
    decays, gradients = t.every(a, 2), t.every(g, 2)
    keep, G = t.select(a, 2), t.select(g, 2)
    for c in t.loop(C - 1):
        keep = t.multiply("keep_backward", keep, decays[c])
        G = t.add_product("add_backward", gradients[c], decays[c], G)
    add = t.multiply("add_backward", decays[0], G)
    *after, first = states(t, "carry_backward", g_final, t.every(add, 1), t.every(keep, 1), n)
    last = t.add("last_backward", gradients[-1], stacked(t, "after_backward", after, n, 1))
    all_G = states(t, "scan_backward", last, gradients, decays, C - 1)
    db = stacked(t, "input_backward", all_G, C, 2)
    da = None
    if wanted[0]:
        before = t.part(t.view(h, B, n * C, *rest), B, n * C - 1, *rest)
        previous = t.cat("previous", [t.view(start, B, 1, *rest), before], B, n * C, *rest, note="h_{t−1}")
        da = t.multiply("decay_backward", db, t.view(previous, B, n, C, *rest))
        if not same(a.shape, h.shape):
            da = t.reduced("decay_backward", da, a.shape)
    return [da, db, first if wanted[2] else None]
