"""State-space duality on a tape: twin of `seqcost.layers.ops.ssd`, with the same three functions.

A token costs 4·H·V·N FLOPs of products in the chunked form, to write the state and to read it, and 2·C·(G·N + H·V)
within its chunk: they grow with C, while the steps of the loop over the chunks become fewer. `heads` is H/G, those of
a group.
"""

from collections.abc import Sequence

from seqcost.algebra import Size, ceil_div
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value
from seqcost.formulas.ops.chunks import carried, walk

Values = Sequence[Value]


def ssd_step(
    t: Tape, x: Value, gate: Value, write: Value, read: Value, state: Value, *, heads: Size
) -> tuple[Value, Value]:
    """One token: x [B,H,V], g [B,H], B_t and C_t [B,G,N], state [B,H,V,N]."""
    B, H, V, N = state.shape
    G = write.shape[1]
    rows = heads * V
    written = t.multiply("write", t.view(x, B, G, rows, ONE), t.view(write, B, G, ONE, N), "x B_tᵀ")
    written = t.view(written, B, H, V, N)
    state = t.add("state", _faded(t, t.unary("decay", gate, "exp", "exp(g)"), state), written, "S_t")
    column = t.view(t.copy("read_copy", read), B * G, N, 1)
    y = t.matmul("read", t.view(state, B * G, rows, N), column, "S_t C_t")
    return t.view(y, B, H, V), state


def _faded(t: Tape, decay: Value, state: Value) -> Value:
    return t.multiply("fade", t.view(decay, *decay.shape, ONE, ONE), state, "decay · S")


def sequential_ssd(
    t: Tape, x: Value, gate: Value, write: Value, read: Value, state: Value, *, heads: Size
) -> tuple[Value, Value]:
    """A loop of steps: x [B,T,H,V], g [B,T,H], B_t and C_t [B,T,G,N]."""

    def token(before: Values, signals: Values) -> tuple[Values, Values]:
        y, after = ssd_step(t, *signals, *before, heads=heads)
        return (after,), (y,)

    (state,), (y,) = walk(t, "join", token, (state,), (x, gate, write, read), 1, note="y of all tokens")
    return y, state


def chunked_ssd(
    t: Tape, x: Value, gate: Value, write: Value, read: Value, state: Value, *, C: Size, heads: Size
) -> tuple[Value, Value]:
    """Chunks of C tokens; shapes as in `sequential_ssd`."""
    B, T, H, V = x.shape
    G, N = write.shape[2:]
    n, rows = ceil_div(T, C), heads * V
    Z = B * n * G
    x_ZXC = t.view(_tokens_last(t, "x", t.view(x, B, T, H * V), C), Z, rows, C)
    gate_BnHC = t.view(_tokens_last(t, "gate", gate, C), B, n, H, C)
    write_ZCN, read_ZCN = (_groups_first(t, name, z, C) for name, z in (("write", write), ("read", read)))

    between = t.unary("between", _sums(t, gate_BnHC), "exp", "the decay from token s to token t")
    scores = t.upper("causal", t.matmul("scores", write_ZCN, t.swapped(read_ZCN), "B [C,N] @ Cᵀ [N,C]"), "t ≥ s")
    weights = t.multiply("decayed", t.view(scores, Z, ONE, C, C), t.view(between, Z, heads, C, C), "scores ⊙ decay")
    y = t.matmul("within", t.view(x_ZXC, B * n * H, V, C), t.view(weights, B * n * H, C, C), "x [V,C] @ weights [C,C]")

    to_end = t.view(t.select(between, -1), B, n, H, ONE, C)
    kept = t.multiply("keep", t.view(x_ZXC, B, n, H, V, C), to_end, "x decayed to the end of its chunk")
    written = t.view(t.matmul("write", t.view(kept, Z, rows, C), write_ZCN, "x [H/G·V,C] @ B [C,N]"), B, n, H, V, N)
    lead = t.unary("lead", t.cumsum("lead_sum", gate_BnHC), "exp", "the decay from the start of the chunk")
    before, state = carried(t, "starts", lambda *turn: _after(t, *turn), (written, t.select(lead, -1)), state, 1)
    starts = t.view(before, Z, rows, N)
    past = t.view(t.matmul("read", starts, t.swapped(read_ZCN), "S [H/G·V,N] @ Cᵀ [N,C]"), B, n, H, V, C)
    y = t.view(y, B, n, H, V, C)
    decayed = t.multiply("past", past, t.view(lead, B, n, H, ONE, C), "decayed from the start")
    whole = t.add("sum", y, decayed, "of the chunk and of what came before")
    del decayed
    tokens_first = t.transpose(t.view(whole, B, n, H * V, C), 0, 1, 3, 2)
    joined = t.view(t.copy("join", tokens_first, note="tokens first again"), B, n * C, H, V)
    return t.part(joined, B, T, H, V), state


def _sums(t: Tape, gate: Value) -> Value:
    """[B,n,H,C] → [B,n,H,C,C]: the gates after token s, up to token t, added up."""
    B, n, H, C = gate.shape
    gates = t.expand("gates", t.view(gate, B, n, H, ONE, C), B, n, H, C, C)
    return t.cumsum("between_sum", t.upper("between_mask", gates, "gates after token s"))


def _after(t: Tape, state: Value, written: Value, through: Value) -> Value:
    return t.add("carry", _faded(t, through, state), written, "S after a chunk")


def _tokens_last(t: Tape, name: str, z: Value, C: Size) -> Value:
    """[B,T,X] → [B·n,X,C]."""
    B, T, X = z.shape
    n = ceil_div(T, C)
    filled = t.view(t.pad(f"{name}_fill", z, B, n * C, X, note="the last chunk filled up"), B * n, C, X)
    return t.copy(f"{name}_turn", t.transpose(filled, 0, 2, 1), note="tokens last")


def _groups_first(t: Tape, name: str, z: Value, C: Size) -> Value:
    """[B,T,G,N] → [B·n·G, C, N]."""
    B, T, G, N = z.shape
    n = ceil_div(T, C)
    filled = t.view(t.pad(f"{name}_fill", z, B, n * C, G, N, note="the last chunk filled up"), B, n, C, G, N)
    return t.view(t.copy(f"{name}_turn", t.transpose(filled, 0, 1, 3, 2, 4), note="groups first"), B * n * G, C, N)
