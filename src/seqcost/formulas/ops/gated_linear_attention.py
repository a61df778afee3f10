"""Linear attention with a gate on a tape: the twins of `seqcost.layers.ops.gated_linear_attention`.

With n = ⌈T/C⌉ chunks, the last one filled up: 2·C·(K + V) FLOPs per token and head for the pairs of a chunk (the dense
square, of which half is masked), 4·K·V to write and read the state. With one gate per key feature come C/J + J
more exponentials per token and feature, and 2·J·(K + V) FLOPs for the pairs within a sub-chunk: J near √C is best.
"""

from dataclasses import dataclass

from seqcost.algebra import Size
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value
from seqcost.formulas.ops.chunks import carried, chunked, heads_first, joined, pair_decays

BOOL = 1  # bytes


@dataclass(frozen=True)
class _Chunks:
    """Queries and keys [B·H,n,C,K], values [B·H,n,C,V] cut into chunks; B sequences of T tokens."""

    q: Value
    k: Value
    v: Value
    B: Size
    H: Size
    T: Size


@dataclass(frozen=True)
class _Mixed:
    """What a kind of gate makes of the chunks: y of the pairs, faded q and k, what is kept of the state a chunk."""

    y: Value
    q: Value
    k: Value
    keep: Value | None


def at_least_float32(t: Tape, q: Value, k: Value, v: Value) -> tuple[Value, Value, Value]:
    """All three, cast where the working dtype is narrower and that has not been done before."""
    return t.float32("query_float32", q), t.float32("key_float32", k), t.float32("value_float32", v)


def gated_linear_attention(
    t: Tape,
    q_BTHK: Value,
    k_BTHK: Value,
    v_BTHV: Value,
    state_BHKV: Value,
    *,
    C: Size,
    gate: Value | None = None,
    sub: tuple[Size, Size] = (1, 0),
) -> tuple[Value, Value]:
    """In chunks of C: y [B,T,H,V] and the state [B,H,K,V]; gate None, [H], [B,T,H] or [B,T,H,K].

    `sub` is how many sub-chunks a chunk has and of how many tokens, (C/J, J): for gates [B,T,H,K].
    """
    B, T, H, K = q_BTHK.shape
    V = v_BTHV.shape[-1]
    q, k, v = at_least_float32(t, q_BTHK, k_BTHK, v_BTHV)
    cut = _Chunks(chunked(t, "query", q, C), chunked(t, "key", k, C), chunked(t, "value", v, C), B, H, T)
    n = cut.q.shape[1]
    X = B * H * n
    mixed = _mixed(t, cut, gate, sub)
    write = t.matmul(
        "write", t.transpose(t.view(mixed.k, X, C, K), 0, 2, 1), t.view(cut.v, X, C, V),
        "Σ k vᵀ of a chunk: kᵀ [K,C] @ v [C,V]",
    )  # fmt: skip
    pieces = (t.view(write, B, H, n, K, V), *(() if mixed.keep is None else (mixed.keep,)))

    def after(state: Value, new: Value, keep: Value | None = None) -> Value:
        old = state if keep is None else t.multiply("state_decay", state, keep, "S fades over a chunk")
        return t.add("state_sum", new, old, "S + Σ k vᵀ")

    before, state = carried(t, "states", after, pieces, state_BHKV, 2, "S before each chunk")
    y = t.add_matmul(
        "read", mixed.y, t.view(mixed.q, X, C, K), t.view(before, X, K, V), "+ q [C,K] @ S [K,V]"
    )  # fmt: skip
    return joined(t, "join", t.view(y, B * H, n, C, V), B, T, H), state


def gated_linear_attention_step(
    t: Tape, q_BHK: Value, k_BHK: Value, v_BHV: Value, state_BHKV: Value, gate: Value | None = None
) -> tuple[Value, Value]:
    """One token: q, k [B,H,K], v [B,H,V], gate None, [H], [B,H] or [B,H,K]."""
    q, k, v = at_least_float32(t, q_BHK, k_BHK, v_BHV)
    B, H, K = q.shape
    V, Z = v.shape[-1], B * H
    state = state_BHKV
    if gate is not None:
        decay = t.unary("decay", t.float32("gate_float32", gate), "exp")
        shape = (*gate.shape, ONE) if len(gate.shape) == 3 else (*gate.shape, ONE, ONE)
        state = t.multiply("state_decay", state, t.view(decay, *shape), "S fades")
    q_Z1K, k_ZK1, v_Z1V = t.view(q, Z, ONE, K), t.view(k, Z, K, ONE), t.view(v, Z, ONE, V)
    state_ZKV = t.add_matmul("write", t.view(state, Z, K, V), k_ZK1, v_Z1V, "S + k [K,1] @ vᵀ [1,V]")
    y = t.matmul("read", q_Z1K, state_ZKV, "qᵀ [1,K] @ S [K,V]")
    return t.view(y, B, H, V), t.view(state_ZKV, B, H, K, V)


def masked_attention(
    t: Tape, q_BTHK: Value, k_BTHK: Value, v_BTHV: Value, state_BHKV: Value | None = None
) -> tuple[Value, Value | None]:
    """All T² pairs, masked; the state, where one is carried, is read and written besides."""
    q, k, v = _heads_first(t, q_BTHK, k_BTHK, v_BTHV)
    B, H, T, K = q.shape
    Z, V = B * H, v.shape[-1]
    q_ZTK, k_ZTK, v_ZTV = t.view(q, Z, T, K), t.view(k, Z, T, K), t.view(v, Z, T, V)
    y = t.matmul(
        "mix",
        t.lower(
            "mask",
            t.matmul("scores", q_ZTK, t.transpose(k_ZTK, 0, 2, 1), "q [T,K] @ kᵀ [K,T]"),
            "later tokens set to 0",
        ),
        v_ZTV,
        "(q kᵀ ⊙ M) [T,T] @ v [T,V]",
    )
    state = None
    if state_BHKV is not None:
        before = t.view(state_BHKV, Z, K, V)
        y = t.add_matmul("read", y, q_ZTK, before, "+ q [T,K] @ S [K,V]")
        written = t.add_matmul("write", before, t.transpose(k_ZTK, 0, 2, 1), v_ZTV, "S + kᵀ [K,T] @ v [T,V]")
        state = t.view(written, B, H, K, V)
    return tokens_first(t, "join", y, B, H), state


def summed_attention(t: Tape, q_BTHK: Value, k_BTHK: Value, v_BTHV: Value) -> Value:
    """One Σ k vᵀ over the whole sequence, read by every token."""
    q, k, v = _heads_first(t, q_BTHK, k_BTHK, v_BTHV)
    B, H, T, K = q.shape
    Z = B * H
    all_ZKV = t.matmul(
        "write", t.transpose(t.view(k, Z, T, K), 0, 2, 1), t.view(v, Z, T, v.shape[-1]),
        "Σ k vᵀ: kᵀ [K,T] @ v [T,V]",
    )  # fmt: skip
    return tokens_first(t, "join", t.matmul("read", t.view(q, Z, T, K), all_ZKV, "q [T,K] @ Σ k vᵀ [K,V]"), B, H)


def _heads_first(t: Tape, q: Value, k: Value, v: Value) -> list[Value]:
    return [
        heads_first(t, name, t.float32(f"{name}_float32", x)) for name, x in (("query", q), ("key", k), ("value", v))
    ]


def tokens_first(t: Tape, name: str, y_ZTV: Value, B: Size, H: Size) -> Value:
    """[B·H,T,V] → [B,T,H,V]: always a copy."""
    _, T, V = y_ZTV.shape
    return t.copy(name, t.transpose(t.view(y_ZTV, B, H, T, V), 0, 2, 1, 3), note="tokens first")


# --- what the kinds of gate make of the chunks ------------------------------------------------------------------------


def _mixed(t: Tape, cut: _Chunks, gate: Value | None, sub: tuple[Size, Size]) -> _Mixed:
    if gate is None:
        return _ungated(t, cut)
    gate = t.float32("gate_float32", gate)
    if len(gate.shape) == 1:
        return _constant(t, cut, gate)
    return _by_token(t, cut, gate) if len(gate.shape) == 3 else _by_feature(t, cut, gate, *sub)


def _scores(t: Tape, cut: _Chunks) -> Value:
    Z, n, C, K = cut.q.shape
    k_XKC = t.transpose(t.view(cut.k, Z * n, C, K), 0, 2, 1)
    return t.matmul("scores", t.view(cut.q, Z * n, C, K), k_XKC, "q kᵀ within a chunk: [C,K] @ [K,C]")


def _read(t: Tape, cut: _Chunks, pairs: Value) -> Value:
    Z, n, C, V = cut.v.shape
    return t.matmul(
        "mix", t.view(pairs, Z * n, C, C), t.view(cut.v, Z * n, C, V), "pairs [C,C] @ v [C,V]"
    )  # fmt: skip


def _ungated(t: Tape, cut: _Chunks) -> _Mixed:
    y = _read(t, cut, t.lower("mask", _scores(t, cut), "later tokens set to 0"))
    return _Mixed(y, cut.q, cut.k, None)


def _constant(t: Tape, cut: _Chunks, gate_H: Value) -> _Mixed:
    """Tables that all sequences share: distances within a chunk, tokens since its start."""
    Z, n, C, K = cut.q.shape
    B, H, size = cut.B, cut.H, gate_H.storage.itemsize
    at_C = t.constant("positions", C, operator="arange", itemsize=size)
    apart = [t.pointwise("distance", [t.view(at_C, C, ONE), at_C], 1, "between tokens of a chunk", operator="sub")]
    apart_CC = t.pointwise("distance", [apart.pop()], 1, "at least 0", operator="clamp")
    fading = t.unary("decay", t.multiply("distance_decay", t.view(gate_H, H, ONE, ONE), apart_CC), "exp")
    pairs_HCC = t.lower("decay_mask", fading, "later tokens set to 0")
    del fading
    left_n1 = t.view(t.constant("tokens_left", n, operator="arange", itemsize=size), n, ONE)
    since_nC = t.pointwise(
        "tokens_since", [t.unary("positions", at_C, "shift-whole"), left_n1], 1, "the chunk began", operator="minimum"
    )  # fmt: skip
    faded_HnC = t.multiply("log_decay", t.view(gate_H, H, ONE, ONE), since_nC, "log decay since the chunk began")
    end_Hn1 = t.part(faded_HnC, H, n, ONE)
    by_head = (B, H, n, C)
    pairs = t.multiply(
        "pair_decay", t.view(_scores(t, cut), *by_head, C), t.view(pairs_HCC, H, ONE, C, C),
        "pairs fade with their distance",
    )  # fmt: skip
    from_start = t.view(t.unary("query_decay_exp", faded_HnC, "exp"), H, n, C, ONE)
    q = t.multiply("query_decay", t.view(cut.q, *by_head, K), from_start, "q fades since the chunk began")
    del from_start
    to_end = t.unary("key_decay_exp", t.subtract("key_decay_log", end_Hn1, faded_HnC), "exp")
    k = t.multiply("key_decay", t.view(cut.k, *by_head, K), t.view(to_end, H, n, C, ONE), "k fades to its end")
    del to_end
    keep = t.view(t.unary("keep", end_Hn1, "exp"), ONE, H, n, ONE, ONE)
    return _Mixed(_read(t, cut, pairs), t.view(q, Z, n, C, K), t.view(k, Z, n, C, K), keep)


def _by_token(t: Tape, cut: _Chunks, gate_BTH: Value) -> _Mixed:
    B, H, (Z, n, C, _) = cut.B, cut.H, cut.q.shape
    log_ZnC1 = chunked(t, "gate", t.view(gate_BTH, *gate_BTH.shape, ONE), C)
    decay_ZnCC = pair_decays(t, log_ZnC1)
    start_ZnC1 = t.unary(
        "query_decay_exp", t.cumsum("log_decay", log_ZnC1, 2, "log decay since the chunk began"), "exp"
    )  # fmt: skip
    pairs = t.multiply("pair_decay", t.view(_scores(t, cut), Z, n, C, C), t.transpose(decay_ZnCC, 0, 1, 3, 2))
    y = _read(t, cut, pairs)
    del pairs
    q = t.multiply("query_decay", cut.q, start_ZnC1, "q fades since the chunk began")
    k = t.multiply("key_decay", cut.k, t.part(decay_ZnCC, Z, n, C, ONE), "k fades to the chunk's end")
    return _Mixed(y, q, k, t.view(t.part(start_ZnC1, Z, n, ONE, ONE), B, H, n, ONE, ONE))


def _by_feature(t: Tape, cut: _Chunks, gate_BTHK: Value, m: Size, J: Size) -> _Mixed:
    """Sub-chunk i reads the tokens before it, all faded to its start, and its own tokens pair by pair."""
    B, H, (Z, n, C, K), V = cut.B, cut.H, cut.q.shape, cut.v.shape[-1]
    if isinstance(m, int) and m == 1:
        m = ONE  # no gradient is summed over the one sub-chunk
    X = Z * n * m
    gate_ZnCK = chunked(t, "gate", gate_BTHK, C)
    gate_ZnmJK = t.view(gate_ZnCK, Z, n, m, J, K)
    faded_ZnCK = t.cumsum("log_decay", gate_ZnCK, 2, "log decay since the chunk began")
    since_ZnmJK = t.cumsum("sub_decay", gate_ZnmJK, 3, "log decay since the sub-chunk began")
    between_ZnmJJK = _sums(t, "between", gate_ZnmJK, J, "log decay between the tokens of a pair")
    rest_ZnmJK = t.select(between_ZnmJJK, 3, name="between_last")
    over_ZnmmK = _sums(
        t, "over",
        t.pad("over_fill", t.select(since_ZnmJK, 3, name="sub_last"), Z, n, m + 1, K, note="zeros before the first"),
        m, "log decay over whole sub-chunks between",
    )  # fmt: skip

    starts = t.view(t.part(over_ZnmmK, Z, n, m, m, K, name="over_starts"), Z, n, m, m, ONE, K)
    to_start = t.add("to_start", starts, t.view(rest_ZnmJK, Z, n, ONE, m, J, K), "log decay of each key to a sub-chunk")
    square = t.upper("not_before", t.constant("not_before", C, C, operator="ones", itemsize=BOOL))
    not_before_mC1 = t.view(t.part(square, m, C), m, C, ONE)
    del square
    hidden = t.fill_where("not_before_hidden", t.view(to_start, Z, n, m, C, K), not_before_mC1)
    key_decay_ZnmCK = t.unary("to_start_exp", hidden, "exp")
    del hidden
    keys_ZnmCK = t.multiply(
        "keys_to_start", t.view(cut.k, Z, n, ONE, C, K), key_decay_ZnmCK, "k faded to each sub-chunk's start"
    )  # fmt: skip
    queries_ZnmJK = t.multiply(
        "queries_from_start", t.view(cut.q, Z, n, m, J, K), t.unary("from_start_exp", since_ZnmJK, "exp"),
        "q faded since it",
    )  # fmt: skip
    earlier = t.matmul(
        "scores", t.view(queries_ZnmJK, X, J, K), t.transpose(t.view(keys_ZnmCK, X, C, K), 0, 2, 1),
        "q kᵀ with earlier sub-chunks: [J,K] @ [K,C]",
    )  # fmt: skip
    y = _read(t, cut, earlier)

    keys_ZnmJJK = t.multiply(
        "own_keys", t.view(cut.k, Z, n, m, ONE, J, K), t.unary("between_exp", between_ZnmJJK, "exp"),
        "k faded to each token of its sub-chunk",
    )  # fmt: skip
    own = t.lower(
        "own_mask",
        t.view(
            t.matmul(
                "own_scores", t.view(keys_ZnmJJK, X * J, J, K), t.view(cut.q, X * J, K, ONE),
                "within a sub-chunk: [J,K] @ q [K,1]",
            ),
            X, J, J,
        ),
        "later tokens set to 0",
    )  # fmt: skip
    y = t.add_matmul("own_mix", t.view(y, X, J, V), own, t.view(cut.v, X, J, V), "+ pairs [J,J] @ v [J,V]")
    last = t.view(t.select(over_ZnmmK, 2, name="over_last"), Z, n, m, ONE, K)
    to_end_ZnmJK = t.add("key_decay_log", last, rest_ZnmJK, "log decay to the chunk's end")
    del last
    q = t.multiply(
        "query_decay", cut.q, t.unary("query_decay_exp", faded_ZnCK, "exp"), "q fades since the chunk began"
    )  # fmt: skip
    k = t.multiply(
        "key_decay", cut.k, t.view(t.unary("key_decay_exp", to_end_ZnmJK, "exp"), Z, n, C, K),
        "k fades to the chunk's end",
    )  # fmt: skip
    keep = t.view(t.unary("keep", t.part(faded_ZnCK, Z, n, ONE, K, name="log_last"), "exp"), B, H, n, K, ONE)
    return _Mixed(t.view(y, Z * n, C, V), q, k, keep)


def _sums(t: Tape, name: str, x_XLK: Value, columns: Size, note: str) -> Value:
    """Running sums over the rows of x [...,L,K] that begin at each of the columns: [...,L,columns,K]."""
    *front, L, K = x_XLK.shape
    every = [t.constant(f"{name}_outside", L, columns, operator="ones", itemsize=BOOL)]
    outside = t.view(t.upper(f"{name}_outside", every.pop()), L, columns, ONE)
    shown = t.expand(f"{name}_columns", t.view(x_XLK, *front, L, ONE, K), *front, L, columns, K)
    return t.cumsum(name, t.fill_where(f"{name}_hidden", shown, outside), -3, note)
