"""The selective scan on a tape: twin of `seqcost.layers.ops.selective_scan`, with the same three functions.

FLOPs of the recurrence, a token, a feature of E and a number of N. As it is defined, 6 and an exponential:

    δ A · exp · (δ x) B · decay ⊙ h · + · C h, its sum            7, the product with C as a contraction of 2

The chunked form executes 9 − 2/C and lower terms: every chunk is scanned twice, first from an empty state for its end
(2 less 2/C), then from its true start; and its decay over a whole chunk is carried on (4/C). Backward, everything is
computed anew.

The chunked form is one node of the graph with a backward of its own, so its operators are written here as they are and
not derived from those of the forward pass. They stand on the longest chain of operators wherever the scan does.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from seqcost.algebra import Size, ceil_div, maximum, where
from seqcost.formulas.core.operator import Operator
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Node, Storage, Value, product


def scan_step(
    t: Tape, x: Value, delta: Value, rate: Value, write: Value, read: Value, state: Value
) -> tuple[Value, Value]:
    """One token: x and δ [B,E], A [N,E], B_t and C_t [B,N], state [B,N,E]."""
    B, E = x.shape
    N = rate.shape[0]
    decay = t.unary("decay", t.multiply("log_decay", t.view(delta, B, ONE, E), rate, "δ A"), "exp")
    driven = t.multiply("step_input", delta, x, "δ x")
    written = t.multiply("write", t.view(write, B, N, ONE), t.view(driven, B, ONE, E), "B_t (δ x)")
    state = t.add("state", t.multiply("fade", decay, state, "decay ⊙ h"), written, "h_t")
    y = t.matmul("read", t.view(read, B, 1, N), state, "C_t h_t")
    return t.view(y, B, E), state


def sequential_scan(
    t: Tape, x: Value, delta: Value, rate: Value, write: Value, read: Value, state: Value
) -> tuple[Value, Value]:
    """A loop of steps: x and δ [B,T,E], B_t and C_t [B,T,N]."""
    B, T, E = x.shape
    N = rate.shape[0]
    xs, deltas, writes, reads = (t.every(z, T, B, K) for z, K in ((x, E), (delta, E), (write, N), (read, N)))
    ys = []
    for i in t.loop(T):
        y, state = scan_step(t, xs[i], deltas[i], rate, writes[i], reads[i], state)
        ys.append(y)
    return t.stack("join", ys, T, note="y of all tokens"), state


def chunked_scan(
    t: Tape, x: Value, delta: Value, rate: Value, write: Value, read: Value, state: Value, *, C: Size, J: Size
) -> tuple[Value, Value]:
    """Segments of J chunks of C tokens; shapes as in `sequential_scan`."""
    B, T, E = x.shape
    N = rate.shape[0]
    sizes = _Sizes(B=B, T=T, E=E, N=N, C=C, J=J)
    itemsize = state.storage.itemsize
    t.operators += [op if itemsize is None else _in_bytes(op, itemsize) for op in _forward(sizes)]
    inputs = (x, delta, rate, write, read, state)
    before = max((v for v in inputs if v.depth is not None), key=lambda v: v.depth or 0)
    results = []
    for name, shape in (("scan", (B, sizes.segments * J * C, E)), ("state", (B, N, E))):
        storage = Storage(name, product(shape), itemsize)
        results.append(Value(shape, storage, storage.elements, True, (before.depth or 0) + 1, before.chain))
    t.nodes.append(Node(inputs, tuple(results), lambda _: _backward(sizes)))
    starts = Storage("starts", sizes.segments * J * B * N * E, itemsize)
    for kept in (x, delta, rate, write, read, Value((), starts, starts.elements, False)):
        t.keep(kept)
    return t.part(results[0], B, T, E), results[1]


@dataclass(frozen=True, kw_only=True)
class _Sizes:
    B: Size
    T: Size
    E: Size
    N: Size
    C: Size
    J: Size

    @property
    def segments(self) -> Size:
        return ceil_div(self.T, self.C * self.J)

    @property
    def wide(self) -> Size:
        """Elements of x, filled up to whole segments."""
        return self.segments * self.C * self.B * self.J * self.E

    @property
    def narrow(self) -> Size:
        """Those of B_t."""
        return self.segments * self.C * self.B * self.J * self.N

    @property
    def states(self) -> Size:
        """A state of every token."""
        return self.wide * self.N

    @property
    def chunk_states(self) -> Size:
        """A state of every chunk."""
        return self.segments * self.B * self.J * self.N * self.E

    @property
    def rates(self) -> Size:
        """A, once a segment."""
        return self.segments * self.N * self.E


def _forward(z: _Sizes) -> Iterator[Operator]:
    chunks = z.segments * z.J
    several = chunks > 1
    given = 2 * z.B * z.T * (z.E + z.N)
    filled = 2 * (z.wide + z.narrow)
    yield Operator(
        name="segments", reads=given + filled, writes=2 * filled, steps=2,
        note="x, δ, B, C filled up to whole segments and laid out chunk beside chunk",
    )  # fmt: skip
    yield Operator(
        name="decay", pointwise=2 * z.states, reads=z.wide + z.rates + z.states, writes=2 * z.states, steps=2,
        note="exp(δ_t A)",
    )  # fmt: skip
    yield Operator(
        name="write", pointwise=z.wide + z.states, reads=3 * z.wide + z.narrow, writes=z.wide + z.states, steps=0,
        note="(δ_t x_t) B_t",
    )  # fmt: skip
    local = (z.C - 1) * z.chunk_states
    yield Operator(
        name="ends", pointwise=2 * local, reads=3 * local, writes=local, steps=where(several, maximum(z.C - 1, 1), 0),
        note="every chunk from an empty state, C − 1 steps, all chunks of a segment at once",
    )  # fmt: skip
    per_chunk = chunks * z.B * z.E
    yield Operator(
        name="through", pointwise=z.wide + 2 * z.chunk_states, steps=0,
        reads=z.wide + per_chunk + z.rates + z.chunk_states, writes=per_chunk + 2 * z.chunk_states,
        note="the decay over a whole chunk, exp(A Σ δ)",
    )  # fmt: skip
    yield Operator(
        name="carry", pointwise=2 * z.chunk_states, reads=4 * z.chunk_states, writes=2 * z.chunk_states,
        steps=where(several, chunks, 0), note="the state from chunk to chunk; the starts side by side",
    )  # fmt: skip
    yield Operator(
        name="states", pointwise=2 * z.states, reads=4 * z.states, writes=2 * z.states, steps=z.C + 1,
        note="every chunk from its true start: decay ⊙ h + written, C steps",
    )  # fmt: skip
    yield Operator(
        name="read", contraction=2 * z.states, reads=z.states + z.narrow, writes=z.wide, steps=1, note="C_t h_t"
    )
    yield Operator(name="join", reads=2 * z.wide, writes=2 * z.wide, steps=2, note="y of all tokens")


def _backward(z: _Sizes) -> Iterator[Operator]:
    local = (z.C - 1) * z.chunk_states
    again = "computed again"
    yield Operator(name="decay_again", pointwise=2 * z.states, note=again)
    yield Operator(name="write_again", pointwise=z.wide + z.states, note=again)
    yield Operator(name="states_again", pointwise=2 * z.states, note=again)
    yield Operator(name="through_again", pointwise=z.wide + 2 * z.chunk_states, note=again)
    yield Operator(name="read_dh", pointwise=z.states, note="g C_t: what y gives to its state")
    yield Operator(
        name="ends_backward",
        pointwise=2 * local + z.chunk_states,
        note="every chunk from its end, without what follows",
    )
    yield Operator(name="carry_backward", pointwise=3 * z.chunk_states, note="from chunk to chunk, backwards")
    yield Operator(name="states_backward", pointwise=2 * local, note="dh_t, each chunk from its true end")
    yield Operator(name="write_dx", contraction=2 * z.states, note="B_t dh_t: of δ x")
    yield Operator(name="write_db", contraction=2 * z.states, note="dh_t (δ x): of B_t")
    yield Operator(name="read_dc", contraction=2 * z.states, note="h_t g: of C_t")
    yield Operator(name="decay_backward", pointwise=2 * z.states, note="dh_t ⊙ decay ⊙ h_{t−1}: of δ_t A")
    yield Operator(name="rate_backward", pointwise=2 * z.states + z.rates, note="× δ, summed over the tokens")
    yield Operator(name="delta_backward", pointwise=2 * z.states, note="× A, summed over N")
    yield Operator(name="product_backward", pointwise=3 * z.wide, note="δ and x of δ x, both ways into δ")


def _in_bytes(operator: Operator, itemsize: Size) -> Operator:
    """The operator on tensors that are wider than the working dtype."""
    return replace(operator, reads=0, writes=0, other_bytes=operator.moved_bytes(itemsize))
