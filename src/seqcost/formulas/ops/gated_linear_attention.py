"""Linear attention with a gate on a tape: the twins of `seqcost.layers.ops.gated_linear_attention`.

With n = ⌈T/C⌉ chunks, the last one filled up: 2·C·(K + V) FLOPs a token and head for the pairs of a chunk (the dense
square, of which half is masked), 4·K·V to write and read the state. Gates of one a key feature need C/J + J
exponentials more a token and feature, and 2·J·(K + V) FLOPs for the pairs within a sub-chunk: J near √C is best.
"""

from dataclasses import dataclass

from seqcost.algebra import Size, ceil_div
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value, product
from seqcost.formulas.ops.chunks import chunked, joined, pair_decays

BOOL = 1  # bytes


@dataclass(frozen=True)
class _Chunks:
    """Queries and keys [B·H,n,C,K], values [B·H,n,C,V], and the sizes they were cut from."""

    q: Value
    k: Value
    v: Value
    B: Size
    T: Size
    H: Size
    Z: Size
    n: Size
    C: Size
    K: Size
    V: Size


@dataclass(frozen=True)
class _Mixed:
    """What a kind of gate makes of the chunks: y of the pairs, faded q and k, what is kept of the state a chunk."""

    y: Value
    q: Value
    k: Value
    keep: list[Value] | None


def heads_first(t: Tape, name: str, x: Value) -> Value:
    """[B,T,H,K] → [B·H,T,K]."""
    B, T, H, K = x.shape
    return t.view(t.moved(f"{name}_heads", [t.view(x, B, H, T, K)], B, H, T, K, note="heads first"), B * H, T, K)


def tokens_first(t: Tape, name: str, y: Value, B: Size, H: Size) -> Value:
    """[B·H,T,V] → [B,T,H,V]."""
    _, T, V = y.shape
    return t.moved(name, [t.view(y, B, T, H, V)], B, T, H, V, note="tokens first")


def at_least_float32(t: Tape, q: Value, k: Value, v: Value) -> tuple[Value, Value, Value]:
    """All three, cast where the working dtype is narrower and that has not been done before."""
    return t.float32("query_float32", q), t.float32("key_float32", k), t.float32("value_float32", v)


def gated_linear_attention(
    t: Tape,
    q: Value,
    k: Value,
    v: Value,
    state: Value,
    *,
    C: Size,
    gate: Value | None = None,
    sub: tuple[Size, Size] = (1, 0),
) -> tuple[Value, Value]:
    """In chunks of C: y [B,T,H,V] and the state [B,H,K,V]; gate None, [H], [B,T,H] or [B,T,H,K].

    `sub` is how many sub-chunks a chunk has and of how many tokens, (C/J, J): for gates [B,T,H,K].
    """
    q, k, v = at_least_float32(t, q, k, v)
    B, T, H, K = q.shape
    V, n, Z = v.shape[-1], ceil_div(T, C), B * H
    cut = _Chunks(
        chunked(t, "query", q, C), chunked(t, "key", k, C), chunked(t, "value", v, C), B, T, H, Z, n, C, K, V
    )  # fmt: skip
    mixed = _mixed(t, cut, gate, sub)
    k_ZKC = t.view(t.view(mixed.k, Z * n, C, K), Z * n, K, C)
    write = t.matmul("write", k_ZKC, t.view(cut.v, Z * n, C, V), "Σ k vᵀ of a chunk: kᵀ [K,C] @ v [C,V]")
    written = t.every(t.view(write, B, H, n, K, V), n, B, H, K, V)
    before = []
    for i in t.loop(n):
        before.append(state)
        old = state if mixed.keep is None else t.multiply("state_decay", state, mixed.keep[i], "S fades over a chunk")
        state = t.add("state_sum", written[i], old, "S + Σ k vᵀ")
    carried = t.stack("states", before, n, axis=2, note="S before each chunk")
    y = t.add_matmul(
        "read", mixed.y, t.view(mixed.q, Z * n, C, K), t.view(carried, Z * n, K, V), "+ q [C,K] @ S [K,V]"
    )  # fmt: skip
    return joined(t, "join", t.view(y, Z, n, C, V), B, T, H), state


def gated_linear_attention_step(
    t: Tape, q: Value, k: Value, v: Value, state: Value, gate: Value | None = None
) -> tuple[Value, Value]:
    """One token: q, k [B,H,K], v [B,H,V], gate None, [H], [B,H] or [B,H,K]."""
    q, k, v = at_least_float32(t, q, k, v)
    B, H, K = q.shape
    V, Z = v.shape[-1], B * H
    if gate is not None:
        decay = t.unary("decay", gate, "exp")
        shape = (*gate.shape, ONE) if len(gate.shape) == 3 else (*gate.shape, ONE, ONE)
        state = t.multiply("state_decay", state, t.view(decay, *shape), "S fades")
    after = t.add_matmul(
        "write", t.view(state, Z, K, V), t.view(k, Z, K, ONE), t.view(v, Z, ONE, V), "S + k [K,1] @ vᵀ [1,V]"
    )  # fmt: skip
    y = t.matmul("read", t.view(q, Z, ONE, K), after, "qᵀ [1,K] @ S [K,V]")
    return t.view(y, B, H, V), t.view(after, B, H, K, V)


def masked_attention(
    t: Tape, q: Value, k: Value, v: Value, state: Value | None = None
) -> tuple[Value, Value | None]:  # fmt: skip
    """All T² pairs, masked; the state, where one is carried, is read and written besides."""
    B, T, H, K = q.shape
    V = v.shape[-1]
    q, k, v = at_least_float32(t, q, k, v)
    q, k, v = heads_first(t, "query", q), heads_first(t, "key", k), heads_first(t, "value", v)
    k_ZKT = t.view(k, B * H, K, T)
    scores = t.matmul("scores", q, k_ZKT, "q [T,K] @ kᵀ [K,T]")
    seen = t.moved("mask", [scores], *scores.shape, note="later tokens set to 0")
    y = t.matmul("mix", seen, v, "(q kᵀ ⊙ M) [T,T] @ v [T,V]")
    if state is not None:
        before = t.view(state, B * H, K, V)
        y = t.add_matmul("read", y, q, before, "+ q [T,K] @ S [K,V]")
        state = t.view(t.add_matmul("write", before, k_ZKT, v, "S + kᵀ [K,T] @ v [T,V]"), B, H, K, V)
    return tokens_first(t, "join", y, B, H), state


def summed_attention(t: Tape, q: Value, k: Value, v: Value) -> Value:
    """One Σ k vᵀ over the whole sequence, read by every token."""
    B, T, H, K = q.shape
    q, k, v = at_least_float32(t, q, k, v)
    q, k, v = heads_first(t, "query", q), heads_first(t, "key", k), heads_first(t, "value", v)
    total = t.matmul("write", t.view(k, B * H, K, T), v, "Σ k vᵀ: kᵀ [K,T] @ v [T,V]")
    return tokens_first(t, "join", t.matmul("read", q, total, "q [T,K] @ Σ k vᵀ [K,V]"), B, H)


# --- what the kinds of gate make of the chunks ------------------------------------------------------------------------


def _mixed(t: Tape, cut: _Chunks, gate: Value | None, sub: tuple[Size, Size]) -> _Mixed:
    if gate is None:
        return _ungated(t, cut)
    if len(gate.shape) == 1:
        return _constant(t, cut, gate)
    return _by_token(t, cut, gate) if len(gate.shape) == 3 else _by_feature(t, cut, gate, *sub)


def _scores(t: Tape, cut: _Chunks) -> Value:
    X, C, K = cut.Z * cut.n, cut.C, cut.K
    k_XKC = t.view(t.view(cut.k, X, C, K), X, K, C)
    return t.matmul("scores", t.view(cut.q, X, C, K), k_XKC, "q kᵀ within a chunk: [C,K] @ [K,C]")


def _read(t: Tape, cut: _Chunks, pairs: Value) -> Value:
    X, C, V = cut.Z * cut.n, cut.C, cut.V
    return t.matmul("mix", t.view(pairs, X, C, C), t.view(cut.v, X, C, V), "pairs [C,C] @ v [C,V]")


def _ungated(t: Tape, cut: _Chunks) -> _Mixed:
    scores = _scores(t, cut)
    pairs = t.moved("mask", [scores], *scores.shape, note="later tokens set to 0")
    return _Mixed(_read(t, cut, pairs), cut.q, cut.k, None)


def _constant(t: Tape, cut: _Chunks, gate: Value) -> _Mixed:
    B, H, n, C, K, Z = cut.B, cut.H, cut.n, cut.C, cut.K, cut.Z
    size = gate.storage.itemsize

    def table(name: str, a: Value, b: Value, *shape: Size, note: str = "") -> Value:
        return t.operator(name, [a, b], shape, pointwise=product(shape), itemsize=size, note=note)

    at = t.constant("positions", C, itemsize=size)
    apart = table("distance", t.view(at, C, ONE), at, C, C, note="between tokens of a chunk")
    apart = t.unary("distance", apart, "shift", "at least 0")
    fading = t.unary("decay", t.multiply("distance_decay", t.view(gate, H, ONE, ONE), apart), "exp")
    pairs_HCC = t.moved("decay_mask", [fading], H, C, C, note="later tokens set to 0")
    left = t.constant("tokens_left", n, itemsize=size)
    since = table("tokens_since", t.unary("positions", at, "shift"), t.view(left, n, ONE), n, C, note="the chunk began")
    faded = t.multiply("log_decay", t.view(gate, H, ONE, ONE), since, "log decay since the chunk began")
    end = t.part(faded, H, n, ONE)
    scores = t.view(_scores(t, cut), B, H, n, C, C)
    pairs = t.multiply("pair_decay", scores, t.view(pairs_HCC, H, ONE, C, C), "pairs fade with their distance")
    from_start = t.view(t.unary("query_decay_exp", faded, "exp"), H, n, C, ONE)
    q = t.multiply("query_decay", t.view(cut.q, B, H, n, C, K), from_start, "q fades since the chunk began")
    to_end = t.unary("key_decay_exp", t.subtract("key_decay_log", end, faded), "exp")
    k = t.multiply("key_decay", t.view(cut.k, B, H, n, C, K), t.view(to_end, H, n, C, ONE), "k fades to its end")
    keep = t.every(t.view(t.unary("keep", end, "exp"), H, n, ONE, ONE), n, H, ONE, ONE)
    return _Mixed(_read(t, cut, pairs), t.view(q, Z, n, C, K), t.view(k, Z, n, C, K), keep)


def _by_token(t: Tape, cut: _Chunks, gate: Value) -> _Mixed:
    B, H, Z, n, C = cut.B, cut.H, cut.Z, cut.n, cut.C
    log = chunked(t, "gate", t.view(gate, *gate.shape, ONE), C)
    decay = pair_decays(t, log)
    start = t.unary("query_decay_exp", t.cumsum("log_decay", log, "log decay since the chunk began"), "exp")
    pairs = t.multiply("pair_decay", t.view(_scores(t, cut), Z, n, C, C), decay)
    y = _read(t, cut, pairs)
    q = t.multiply("query_decay", cut.q, start, "q fades since the chunk began")
    k = t.multiply("key_decay", cut.k, t.part(decay, Z, n, C, ONE), "k fades to the chunk's end")
    return _Mixed(y, q, k, t.every(t.view(t.part(start, Z, n, ONE, ONE), B, H, n, ONE, ONE), n, B, H, ONE, ONE))


def _by_feature(t: Tape, cut: _Chunks, gate: Value, m: Size, J: Size) -> _Mixed:
    B, H, Z, n, C, K, V = cut.B, cut.H, cut.Z, cut.n, cut.C, cut.K, cut.V
    if isinstance(m, int) and m == 1:
        m = ONE  # the axis of one sub-chunk is as good as stretched: no gradient is summed over it
    X = Z * n * m
    cut_gate = chunked(t, "gate", gate, C)
    by_sub = t.view(cut_gate, Z, n, m, J, K)
    faded = t.cumsum("log_decay", cut_gate, "log decay since the chunk began")
    since = t.cumsum("sub_decay", by_sub, "log decay since the sub-chunk began")
    between = _sums(t, "between", by_sub, (Z, n, m, J, K), J, "log decay between the tokens of a pair")
    rest = t.part(between, Z, n, m, J, K)
    totals = t.moved("over_fill", [t.part(since, Z, n, m, K)], Z, n, m + 1, K, note="a row of zeros before the first")
    over = _sums(t, "over", totals, (Z, n, m + 1, K), m, "log decay over whole sub-chunks between")

    starts = t.view(t.part(over, Z, n, m, m, K), Z, n, m, m, ONE, K)
    to_start = t.add("to_start", starts, t.view(rest, Z, n, ONE, m, J, K), "log decay of each key to a sub-chunk")
    square = t.constant("not_before", C, C, itemsize=BOOL, fills=2)
    hidden = _hidden(t, "not_before", t.view(to_start, Z, n, m, C, K), t.part(square, m, C, ONE))
    key_decay = t.unary("to_start_exp", hidden, "exp")
    keys = t.multiply("keys_to_start", t.view(cut.k, Z, n, ONE, C, K), key_decay, "k faded to each sub-chunk's start")
    query_decay = t.unary("from_start_exp", since, "exp")
    queries = t.multiply("queries_from_start", t.view(cut.q, Z, n, m, J, K), query_decay, "q faded since it")
    keys_XKC = t.view(t.view(keys, X, C, K), X, K, C)
    earlier = t.matmul("scores", t.view(queries, X, J, K), keys_XKC, "q kᵀ with earlier sub-chunks: [J,K] @ [K,C]")
    y = _read(t, cut, earlier)

    decay = t.unary("between_exp", between, "exp")
    own_keys = t.multiply(
        "own_keys", t.view(cut.k, Z, n, m, ONE, J, K), decay, "k faded to each token of its sub-chunk"
    )
    own = t.matmul(
        "own_scores", t.view(own_keys, X * J, J, K), t.view(cut.q, X * J, K, ONE), "within a sub-chunk: [J,K] @ q [K,1]"
    )  # fmt: skip
    seen = t.moved("own_mask", [t.view(own, X, J, J)], X, J, J, note="later tokens set to 0")
    y = t.add_matmul("own_mix", t.view(y, X, J, V), seen, t.view(cut.v, X, J, V), "+ pairs [J,J] @ v [J,V]")
    q = t.multiply("query_decay", cut.q, t.unary("query_decay_exp", faded, "exp"), "q fades since the chunk began")
    end = t.add(
        "key_decay_log", t.view(t.part(over, Z, n, m, K), Z, n, m, ONE, K), rest, "log decay to the chunk's end"
    )
    to_end = t.view(t.unary("key_decay_exp", end, "exp"), Z, n, C, K)
    k = t.multiply("key_decay", cut.k, to_end, "k fades to the chunk's end")
    kept = t.unary("keep", t.part(faded, Z, n, ONE, K), "exp")
    return _Mixed(t.view(y, Z * n, C, V), q, k, t.every(t.view(kept, B, H, n, K, ONE), n, B, H, K, ONE))


def _sums(t: Tape, name: str, x: Value, shape: tuple[Size, ...], columns: Size, note: str) -> Value:
    """Running sums over the rows of x [...,L,K] that begin at each of the columns: [...,L,columns,K]."""
    *front, L, K = shape
    wide = (*front, L, columns, K)
    outside = t.constant(f"{name}_outside", L, columns, itemsize=BOOL, fills=2)
    shown = t.view(x, *front, L, ONE, K)
    if columns is not ONE:
        shown = t.expand(f"{name}_columns", shown, *wide)
    return t.cumsum(name, _hidden(t, name, shown, t.view(outside, L, columns, ONE)), note)


def _hidden(t: Tape, name: str, x: Value, mask: Value) -> Value:
    """−∞ or 0 where the mask says so; backward zeros. Autograd keeps the mask."""
    return t.operator(
        f"{name}_hidden", [x, mask], x.shape, backward=lambda _: (), keeps=[(mask, None)],
        itemsize=x.storage.itemsize, note="masked",
    )  # fmt: skip
