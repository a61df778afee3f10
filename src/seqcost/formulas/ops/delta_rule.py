"""The delta rule on a tape, in chunks and token by token: twins of `seqcost.layers.ops.delta_rule`.

For each of Z = B·H sequences of heads and each of n = ⌈T/C⌉ chunks: two products C×K×C (keys with keys, queries with
keys), a triangular system of C unknowns with V + K right sides, and in turn four products with the state or the new
values.
"""

from collections.abc import Sequence
from typing import Any

from seqcost.algebra import Size, ceil_div
from seqcost.algebra.work import Kernel
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value, product
from seqcost.formulas.ops.chunks import Values, chunked, joined, pair_decays, walk


def delta_rule(
    t: Tape,
    q_BTHK: Value,
    k_BTHK: Value,
    v_BTHV: Value,
    beta_BTH: Value,
    log_decay_BTH: Value | None,
    state_BHKV: Value,
    C: Size,
) -> tuple[Value, Value]:
    """T ≥ 1 tokens in chunks of C: y [B,T,H,V] and the state after them, both in float32 at least."""
    B, T, H, K = q_BTHK.shape
    V, Z, n = v_BTHV.shape[-1], B * H, ceil_div(T, C)
    X = Z * n
    q_ZnCK = chunked(t, "query", t.float32("query_float32", q_BTHK), C)
    k_ZnCK = chunked(t, "key", t.float32("key_float32", k_BTHK), C)
    v_ZnCV = chunked(t, "value", t.float32("value_float32", v_BTHV), C)
    beta_ZnC1 = chunked(t, "beta", t.view(t.float32("beta_float32", beta_BTH), B, T, H, ONE), C)
    k_flat = t.view(k_ZnCK, X, C, K)
    overlap_ZnCC = t.view(t.matmul("overlap", k_flat, t.transpose(k_flat, 0, 2, 1), "k [C,K] @ kᵀ [K,C]"), Z, n, C, C)
    queries = t.transpose(t.view(q_ZnCK, X, C, K), 0, 2, 1)
    scores_ZnCC = t.view(t.matmul("scores", k_flat, queries, "k [C,K] @ qᵀ [K,C]"), Z, n, C, C)
    read_ZnC1 = t.unary("minus_beta", beta_ZnC1, "neg")
    del queries
    to_end_ZnC1 = end_Zn11 = None
    if log_decay_BTH is None:
        scores_ZnCC = t.upper("causal", scores_ZnCC, "nothing later than the query")
    else:
        log_ZnC1 = chunked(t, "decay", t.view(t.float32("decay_float32", log_decay_BTH), B, T, H, ONE), C)
        decay_ZnCC = pair_decays(t, log_ZnC1)
        overlap_ZnCC, scores_ZnCC = (
            t.multiply("overlap_decayed", overlap_ZnCC, decay_ZnCC),
            t.multiply("scores_decayed", scores_ZnCC, decay_ZnCC),
        )
        start_ZnC1 = t.unary("since_start", t.cumsum("start_sum", log_ZnC1, 2), "exp")
        to_end_ZnC1 = t.part(decay_ZnCC, Z, n, C, ONE, name="decay_last")
        read_ZnC1, q_ZnCK = (
            t.multiply("read_decayed", read_ZnC1, start_ZnC1),
            t.multiply("query_decayed", q_ZnCK, start_ZnC1),
        )
        end_Zn11 = t.part(start_ZnC1, Z, n, ONE, ONE, name="start_last")
    system_ZnCC = t.multiply("system", overlap_ZnCC, t.transpose(beta_ZnC1, 0, 1, 3, 2), "L = b ⊙ k kᵀ")
    sides_ZnCE = t.cat(
        "sides", [t.multiply("value_side", v_ZnCV, beta_ZnC1), t.multiply("key_side", k_ZnCK, read_ZnC1)],
        Z, n, C, V + K, note="values and keys side by side",
    )  # fmt: skip
    solved_XEC = solve_triangular(
        t, "solve", t.view(system_ZnCC, X, C, C), t.transpose(t.view(sides_ZnCE, X, C, V + K), 0, 2, 1),
        "X (I + L) = [b v, −b k], turned round",
    )  # fmt: skip
    solved_ZnCE = t.view(t.transpose(solved_XEC, 0, 2, 1), Z, n, C, V + K)
    values_ZnCV, reads_ZnCK = t.parts(solved_ZnCE, (Z, n, C, V), (Z, n, C, K), name="solved_parts")
    if to_end_ZnC1 is not None:
        k_ZnCK = t.multiply("key_decayed", k_ZnCK, to_end_ZnC1)

    def chunk(state: Values, piece: Values) -> tuple[Values, Values]:
        (S_ZKV,), (q_ZCK, k_ZCK, values_ZCV, reads_ZCK, scores_ZCC, *end_Z11) = state, piece
        new_ZCV = t.add_matmul("correct", values_ZCV, reads_ZCK, S_ZKV, "u − w S: what the state does not say yet")
        y_ZCV = t.add_matmul(
            "mix", t.matmul("read", q_ZCK, S_ZKV, "q [C,K] @ S [K,V]"), t.transpose(scores_ZCC, 0, 2, 1), new_ZCV,
            "scores [C,C] @ new values [C,V]",
        )  # fmt: skip
        kept_ZKV = t.multiply("forget", S_ZKV, end_Z11[0]) if end_Z11 else S_ZKV
        after = t.add_matmul(
            "write", kept_ZKV, t.transpose(k_ZCK, 0, 2, 1), new_ZCV, "S + kᵀ [K,C] @ new values [C,V]"
        )  # fmt: skip
        return (after,), (y_ZCV,)

    pieces = (q_ZnCK, k_ZnCK, values_ZnCV, reads_ZnCK, scores_ZnCC, *(() if end_Zn11 is None else (end_Zn11,)))
    (S_ZKV,), (y_ZnCV,) = walk(t, "outputs", chunk, (t.view(state_BHKV, Z, K, V),), pieces, 1)
    return joined(t, "merge_heads", y_ZnCV, B, T, H), t.view(S_ZKV, B, H, K, V)


def delta_rule_step(
    t: Tape, q_BHK: Value, k_BHK: Value, v_BHV: Value, beta_BH: Value, log_decay_BH: Value | None, state_BHKV: Value
) -> tuple[Value, Value]:
    """One token: y [B,H,V] and the next state."""
    B, H, K, V = state_BHKV.shape
    Z = B * H
    q, k = t.float32("query_float32", q_BHK), t.float32("key_float32", k_BHK)
    v, beta = t.float32("value_float32", v_BHV), t.float32("beta_float32", beta_BH)
    if log_decay_BH is not None:
        decay = t.unary("decay", t.float32("decay_float32", log_decay_BH), "exp")
        state_BHKV = t.multiply("forget", state_BHKV, t.view(decay, B, H, ONE, ONE))
        del decay
    S_ZKV = t.view(state_BHKV, Z, K, V)
    said_BHV = t.view(t.matmul("say", t.view(k, Z, ONE, K), S_ZKV, "kᵀ S: what the state says"), B, H, V)
    new_BHV = t.multiply("correct", t.subtract("differ", v, said_BHV), t.view(beta, B, H, ONE), "b (v − Sᵀ k)")
    S_ZKV = t.add_matmul(
        "write", S_ZKV, t.view(k, Z, K, ONE), t.view(new_BHV, Z, ONE, V), "S + k [K,1] @ new value [1,V]"
    )  # fmt: skip
    y = t.matmul("read", t.view(q, Z, ONE, K), S_ZKV, "qᵀ S")
    return t.view(y, B, H, V), t.view(S_ZKV, B, H, K, V)


def solve_triangular(t: Tape, name: str, upper: Value, sides: Value, note: str = "") -> Value:
    """X (I + strictly upper part) = sides [Z,E,C]: C² FLOPs per row of sides (LAPACK Working Note 41).

    Backward likewise. The system's own gradient is a product, turned round and cut to the strictly upper part.
    """
    Z, E, C = shape = sides.shape
    flops, size = product((Z, E, C, C)), sides.storage.itemsize
    layout = sides.strides

    def solved(t: Tape, name: str, system: Value, right: Value, note: str) -> Value:
        return t.kernel(
            name, Kernel.FACTORISATION, [system, right], shape, operator="linalg_solve_triangular", sizes=(Z, C, C),
            contraction=flops, itemsize=size, strides=layout, note=note,
        )  # fmt: skip

    def backward(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
        system, x = kept
        dsides = solved(t, f"{name}_dsides", t.swapped(system), g, "the transposed system")
        if not wanted[0]:
            return [None, dsides]
        found = t.product(f"{name}_dsystem", t.swapped(x), dsides, size, "Xᵀ g")
        found = t.pointwise(f"{name}_dsystem", [found], 1, "−", operator="neg")
        found = t.upper(f"{name}_dsystem", found, "the strictly upper part")
        return [found, dsides if wanted[1] else None]

    x = solved(t, name, upper, sides, note or "X (I + L) = sides")
    t.follow(name, [upper, sides], [x], backward, [(upper, None), (x, None)])
    return x
