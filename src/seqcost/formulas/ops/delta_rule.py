"""The delta rule on a tape, in chunks and token by token: twins of `seqcost.layers.ops.delta_rule`.

For each of Z = B·H sequences of heads and each of n = ⌈T/C⌉ chunks: two products C×K×C (keys with keys, queries with
keys), a triangular system of C unknowns with V + K right sides, and in turn four products with the state or the new
values.
"""

from collections.abc import Iterator, Sequence

from seqcost.algebra import Size, ceil_div
from seqcost.formulas.core.operator import Operator
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value, product
from seqcost.formulas.ops.chunks import chunked, joined, pair_decays


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
    q = chunked(t, "query", t.float32("query_float32", q_BTHK), C)
    k = chunked(t, "key", t.float32("key_float32", k_BTHK), C)
    v = chunked(t, "value", t.float32("value_float32", v_BTHV), C)
    beta = chunked(t, "beta", t.view(t.float32("beta_float32", beta_BTH), B, T, H, ONE), C)
    flat, turned = t.view(k, Z * n, C, K), t.view(k, Z * n, K, C)
    overlap = t.view(t.matmul("overlap", flat, turned, "k [C,K] @ kᵀ [K,C]"), Z, n, C, C)
    scores = t.view(t.matmul("scores", flat, t.view(q, Z * n, K, C), "k [C,K] @ qᵀ [K,C]"), Z, n, C, C)
    read = t.unary("minus_beta", beta, "neg")
    ends: list[Value] = []
    to_end = None
    if log_decay_BTH is None:
        scores = t.moved("causal", [scores], Z, n, C, C, note="nothing later than the query")
    else:
        log = chunked(t, "decay", t.view(t.float32("decay_float32", log_decay_BTH), B, T, H, ONE), C)
        decay = pair_decays(t, log)
        overlap = t.multiply("overlap_decayed", overlap, decay)
        scores = t.multiply("scores_decayed", scores, decay)
        start, to_end = t.unary("since_start", t.cumsum("start_sum", log), "exp"), t.part(decay, Z, n, C, ONE)
        read, q = t.multiply("read_decayed", read, start), t.multiply("query_decayed", q, start)
        ends = t.every(t.part(start, Z, n, ONE, ONE), n, Z, ONE, ONE)
    system = t.multiply("system", overlap, t.view(beta, Z, n, ONE, C), note="L = b ⊙ k kᵀ")
    sides = [t.multiply("value_side", v, beta), t.multiply("key_side", k, read)]
    both = t.moved("sides", sides, Z * n, C, V + K, note="values and keys side by side")
    solved = solve_triangular(t, "solve", t.view(system, Z * n, C, C), both, note="(I + L) X = [b v, −b k]")
    new, reads = t.parts(t.view(solved, Z, n, C, V + K), (Z, n, C, V), (Z, n, C, K))
    if to_end is not None:
        k = t.multiply("key_decayed", k, to_end)

    S, out = t.view(state_BHKV, Z, K, V), []
    queries, keys = t.every(q, n, Z, C, K), t.every(k, n, Z, C, K)
    values, takes, weights = t.every(new, n, Z, C, V), t.every(reads, n, Z, C, K), t.every(scores, n, Z, C, C)
    for i in t.loop(n):
        corrected = t.add_matmul("correct", values[i], takes[i], S, "u − w S: what the state does not say yet")
        y = t.matmul("read", queries[i], S, "q [C,K] @ S [K,V]")
        out.append(t.add_matmul("mix", y, t.view(weights[i], Z, C, C), corrected, "scores [C,C] @ new values [C,V]"))
        kept = t.multiply("forget", S, ends[i]) if ends else S
        S = t.add_matmul("write", kept, t.view(keys[i], Z, K, C), corrected, "S + kᵀ [K,C] @ new values [C,V]")
    y = t.stack("outputs", out, n)
    return joined(t, "merge_heads", y, B, T, H), t.view(S, B, H, K, V)


def delta_rule_step(
    t: Tape, q_BHK: Value, k_BHK: Value, v_BHV: Value, beta_BH: Value, log_decay_BH: Value | None, state_BHKV: Value
) -> tuple[Value, Value]:
    """One token: y [B,H,V] and the next state."""
    B, H, K, V = state_BHKV.shape
    Z = B * H
    q, k = t.float32("query_float32", q_BHK), t.float32("key_float32", k_BHK)
    v, beta = t.float32("value_float32", v_BHV), t.float32("beta_float32", beta_BH)
    S = t.view(state_BHKV, Z, K, V)
    if log_decay_BH is not None:
        decay = t.unary("decay", t.float32("decay_float32", log_decay_BH), "exp")
        S = t.view(t.multiply("forget", t.view(S, B, H, K, V), t.view(decay, B, H, ONE, ONE)), Z, K, V)
    said = t.view(t.matmul("say", t.view(k, Z, ONE, K), S, "kᵀ S: what the state says"), B, H, V)
    new = t.multiply("correct", t.subtract("differ", v, said), t.view(beta, B, H, ONE), "b (v − Sᵀ k)")
    S = t.add_matmul("write", S, t.view(k, Z, K, ONE), t.view(new, Z, ONE, V), "S + k [K,1] @ new value [1,V]")
    y = t.matmul("read", t.view(q, Z, ONE, K), S, "qᵀ S")
    return t.view(y, B, H, V), t.view(S, B, H, K, V)


def solve_triangular(t: Tape, name: str, lower: Value, sides: Value, note: str = "") -> Value:
    """(I + strictly lower part) X = sides: n² FLOPs a right side (LAPACK Working Note 41); backward likewise.

    The system's own gradient is a product, turned round and cut to the strictly lower part.
    """
    *batch, m, k = sides.shape
    flops = product(batch) * m * m * k

    def backward(wanted: Sequence[bool]) -> Iterator[Operator]:
        yield Operator(name=f"{name}_dsides", contraction=flops, note="the transposed system")
        if wanted[0]:
            yield Operator(name=f"{name}_dlower", contraction=2 * flops, pointwise=product(batch) * m * m, note="−g Xᵀ")

    return t.operator(
        name, [lower, sides], sides.shape, contraction=flops, backward=backward, keeps=[(lower, None)],
        keeps_result=True, itemsize=sides.storage.itemsize, note=note or "(I + L) X = sides",
    )  # fmt: skip
