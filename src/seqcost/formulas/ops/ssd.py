"""State-space duality on a tape: twin of `seqcost.layers.ops.ssd`, with the same three functions.

A token costs 4·H·V·N FLOPs of products in the chunked form, to write the state and to read it, and 2·C·(G·N + H·V)
within its chunk: they grow with C, while the steps of the loop over the chunks become fewer. `heads` is H/G, those of
a group.
"""

from seqcost.algebra import Size, ceil_div
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value


def ssd_step(
    t: Tape, x: Value, gate: Value, write: Value, read: Value, state: Value, *, heads: Size
) -> tuple[Value, Value]:
    """One token: x [B,H,V], g [B,H], B_t and C_t [B,G,N], state [B,H,V,N]."""
    B, H, V, N = state.shape
    G = write.shape[1]
    rows = heads * V
    written = t.multiply("write", t.view(x, B, G, rows, ONE), t.view(write, B, G, ONE, N), "x B_tᵀ")
    decay = t.view(t.unary("decay", gate, "exp", "exp(g)"), B, H, ONE, ONE)
    state = t.add("state", t.multiply("fade", decay, state, "decay · S"), t.view(written, B, H, V, N), "S_t")
    column = t.view(t.moved("read_copy", [read], B, G, N), B * G, N, 1)
    y = t.matmul("read", t.view(state, B * G, rows, N), column, "S_t C_t")
    return t.view(y, B, H, V), state


def sequential_ssd(
    t: Tape, x: Value, gate: Value, write: Value, read: Value, state: Value, *, heads: Size
) -> tuple[Value, Value]:
    """A loop of steps: x [B,T,H,V], g [B,T,H], B_t and C_t [B,T,G,N]."""
    T = x.shape[1]
    xs, gates, writes, reads = (t.every(z, T, z.shape[0], *z.shape[2:]) for z in (x, gate, write, read))
    ys = []
    for i in t.loop(T):
        y, state = ssd_step(t, xs[i], gates[i], writes[i], reads[i], state, heads=heads)
        ys.append(y)
    return t.stack("join", ys, T, note="y of all tokens"), state


def chunked_ssd(
    t: Tape, x: Value, gate: Value, write: Value, read: Value, state: Value, *, C: Size, heads: Size
) -> tuple[Value, Value]:
    """Chunks of C tokens; shapes as in `sequential_ssd`."""
    B, T, H, V = x.shape
    G, N = write.shape[2:]
    n, rows = ceil_div(T, C), heads * V
    Z = B * n * G
    x = _tokens_last(t, "x", t.view(x, B, T, H * V), C)
    gate = _tokens_last(t, "gate", gate, C)
    write, read = (_groups_first(t, name, z, C) for name, z in (("write", write), ("read", read)))

    gates = t.expand("gates", t.view(gate, B, n, H, ONE, C), B, n, H, C, C)
    sums = t.cumsum("between_sum", t.moved("between_mask", [gates], B, n, H, C, C, note="gates after token s"))
    between = t.unary("between", sums, "exp", "the decay from token s to token t")
    scores = t.matmul("scores", write, t.view(read, Z, N, C), "B [C,N] @ Cᵀ [N,C]")
    scores = t.moved("causal", [scores], Z, C, C, note="t ≥ s")
    weights = t.multiply("decayed", t.view(scores, Z, ONE, C, C), t.view(between, Z, heads, C, C), "scores ⊙ decay")
    y = t.matmul("within", t.view(x, B * n * H, V, C), t.view(weights, B * n * H, C, C), "x [V,C] @ weights [C,C]")

    to_end = t.view(t.part(between, B, n, H, C), B, n, H, ONE, C)
    kept = t.multiply("keep", t.view(x, B, n, H, V, C), to_end, "x decayed to the end of its chunk")
    written = t.matmul("write", t.view(kept, Z, rows, C), write, "x [H/G·V,C] @ B [C,N]")
    lead = t.unary("lead", t.cumsum("lead_sum", gate), "exp", "the decay from the start of the chunk")
    through = t.part(lead, B, n, H)
    before = []
    writes, decays = t.every(t.view(written, B, n, H, V, N), n, B, H, V, N), t.every(through, n, B, H)
    for i in t.loop(n):
        before.append(state)
        fading = t.multiply("fade", t.view(decays[i], B, H, ONE, ONE), state, "decay · S, a chunk")
        state = t.add("carry", fading, writes[i], "S after a chunk")
    starts = t.view(t.stack("starts", before, n), Z, rows, N)
    past = t.matmul("read", starts, t.view(read, Z, N, C), "S [H/G·V,N] @ Cᵀ [N,C]")
    past = t.multiply("past", t.view(past, B, n, H, V, C), t.view(lead, B, n, H, ONE, C), "decayed from the start")
    y = t.add("sum", t.view(y, B, n, H, V, C), past, "of the chunk and of what came before")
    y = t.moved("join", [y], B, n * C, H, V, note="tokens first again")
    return t.part(y, B, T, H, V), state


def _tokens_last(t: Tape, name: str, z: Value, C: Size) -> Value:
    B, T, X = z.shape
    n = ceil_div(T, C)
    filled = t.moved(f"{name}_fill", [z], B, n * C, X, note="the last chunk filled up")
    return t.moved(f"{name}_turn", [filled], B, n, X, C, note="tokens last")


def _groups_first(t: Tape, name: str, z: Value, C: Size) -> Value:
    B, T, G, N = z.shape
    n = ceil_div(T, C)
    filled = t.moved(f"{name}_fill", [z], B, n * C, G, N, note="the last chunk filled up")
    return t.view(t.moved(f"{name}_turn", [filled], B, n, G, C, N, note="groups first"), B * n * G, C, N)
