"""Attention among the tokens of a bucket on the tape: the twin of layers/ops/lsh, operator by operator.

R hashing rounds · E buckets a round · C tokens a chunk · n = ⌈T/C⌉ chunks · M = n·C places · Y = B·H·R·n.
"""

from collections.abc import Iterator, Sequence

from seqcost.algebra import Size, ceil_div, minimum
from seqcost.algebra.expr import ceil_log2
from seqcost.formulas.core.operator import Operator
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value, product

BOOL, SHORT, LONG = 1, 4, 8  # bytes of a truth value, a code and an index


def whole(t: Tape, name: str, inputs: Sequence[Value], *shape: Size, itemsize: int = LONG, note: str = "") -> Value:
    """An elementwise operator on whole numbers or truth values: one operation an element, no gradient."""
    return t.operator(name, inputs, shape, pointwise=product(shape), itemsize=itemsize, note=note)


def looked_up(t: Tape, name: str, table: Value, rows: Value, note: str = "") -> Value:
    """Rows [X] of a table [_,K] copied out: index_select; backward they are added up where they came from."""
    X, K = rows.numel, table.shape[-1]

    def backward(wanted: Sequence[bool]) -> Iterator[Operator]:
        yield Operator(name=f"{name}_backward", pointwise=X * K, note="added up at their tokens")

    return t.operator(name, [table, rows], (X, K), backward=backward, keeps=[(rows, None)], reads=[X * K, X], note=note)


def gathered(t: Tape, name: str, x: Value, index: Value, note: str = "") -> Value:
    """x[..., index] along the last axis: torch.gather; backward the gradients are added up where they came from."""
    count = index.numel

    def backward(wanted: Sequence[bool]) -> Iterator[Operator]:
        yield Operator(name=f"{name}_backward", pointwise=count)

    return t.operator(
        name, [x, index], index.shape, backward=backward, keeps=[(x, None), (index, None)], itemsize=x.storage.itemsize,
        reads=[count, count], note=note,
    )  # fmt: skip


def hashed(t: Tape, q: Value, rotations: Value, R: Size, E: Size) -> Value:
    """Buckets [B,H,R,T] of queries [B,T,H,K] by rotations [H,K,R·E/2]."""
    B, T, H, K = q.shape
    turned = t.matmul("rotate", t.view(t.detach(q), H, B * T, K), rotations, "x [T,K] @ R [K,R·E/2] a head")
    both = t.moved("opposite", [turned, t.unary("negate", turned, "neg")], H, B, T, R, E, note="[xR; −xR]")
    bucket = t.operator("bucket", [both], (H, B, T, R), pointwise=both.numel, itemsize=LONG, note="argmax")
    return t.moved("by_round", [t.view(bucket, B, H, R, T)], B, H, R, T, note="[H,B,T,R] to [B,H,R,T]")


def normalised(t: Tape, q: Value) -> Value:
    """Queries as keys: of length 1."""
    square = t.sum("length", t.unary("square", q, "square"), -1, keep=True)
    return t.multiply("normalise", q, t.unary("inverse_length", t.unary("epsilon", square, "shift"), "rsqrt"))


def bucket_attention(
    t: Tape, q: Value, v: Value, buckets: Value, C: Size, *, aligned: bool, causal: bool, fresh: Size
) -> Value:
    """What the last `fresh` tokens read: [B,fresh,H,V], of queries q [B,T,H,K] and values v [B,T,H,V]."""
    B, T, H, K = q.shape
    R, V, n = buckets.shape[2], v.shape[-1], ceil_div(T, C)
    Y, M, rounds = B * H * R * n, n * C, (B, H, R)

    order = t.operator(
        "sort", [buckets], (*rounds, T), (*rounds, T), pointwise=buckets.numel * ceil_log2(T), itemsize=LONG,
        note="by (bucket, position)",
    )  # fmt: skip
    in_order = t.view(order, *rounds, T)
    places = t.constant("places", T, itemsize=LONG)
    place = t.operator("place", [order, places], (*rounds, T), itemsize=LONG, note="where each token stands")
    code = whole(t, "code_bucket", [in_order], *rounds, T)
    standing = places if aligned else whole(t, "chunk_of_place", [places], T)
    code = whole(t, "code_place", [code, standing], *rounds, T)
    code = t.moved("code_int", [code], *rounds, T, itemsize=SHORT)
    code = gathered(t, "code_by_token", code, place)
    lowered = _lowered(t, code, order, C, n, causal=causal and not aligned)

    rows = whole(t, "rows", [order], *rounds, T)
    rows = whole(t, "rows_of_all", [rows, _first_rows(t, B, H)], *rounds, T)
    rows = t.moved("rows_fill", [rows], *rounds, C + M)
    own = t.moved("own_rows", [t.part(rows, *rounds, M)], Y * C)
    seen = t.moved("seen_rows", [t.part(rows, *rounds, n, 2 * C)], Y * 2 * C)
    q_own = t.view(looked_up(t, "sort_query", t.view(q, B * T * H, K), own, "queries in their order"), Y, C, K)
    k = t.view(normalised(t, q), B * T * H, K)
    k = t.view(looked_up(t, "sort_key", k, seen, "keys of the chunk and the one before"), Y, K, 2 * C)
    v = t.view(looked_up(t, "sort_value", t.view(v, B * T * H, V), seen, "their values"), Y, 2 * C, V)

    scores = t.subtract("lower", t.matmul("scores", q_own, k, "q [C,K] @ kᵀ [K,2C]"), lowered, "log N; ∞ out of reach")
    top = t.operator("top", [t.detach(scores)], (Y, C, ONE), pointwise=scores.numel, note="largest score")
    weights = t.unary("exponential", t.subtract("centre", scores, top), "exp")
    sums = t.sum("sum_scores", weights, -1)
    read = t.matmul("mix", weights, v, "weights [C,2C] @ v [2C,V]")
    place = t.part(place, *rounds, fresh)
    return _joined(t, t.view(read, Y * C, V), t.view(sums, *rounds, M), t.view(top, *rounds, M), place)


def _first_rows(t: Tape, B: Size, H: Size) -> Value:
    sequences = whole(t, "first_row", [t.constant("sequences", B, itemsize=LONG)], B)
    heads = t.constant("heads", H, itemsize=LONG)
    return t.view(whole(t, "first_rows", [sequences, heads], B, H), B, H, ONE, ONE)


def _lowered(t: Tape, code: Value, order: Value, C: Size, n: Size, *, causal: bool) -> Value:
    B, H, R, T = code.shape
    rounds, M = (B, H, R), n * C
    scores = (*rounds, n, C, 2 * C)
    mine = count = None
    for _ in t.loop(R):
        turned = t.moved("other_round", [code], *rounds, T)
        turned = gathered(t, "code_in_order", turned, order)
        turned = t.moved("code_fill", [turned], *rounds, C + M)
        query, key = t.part(turned, *rounds, n, C), t.part(turned, *rounds, n, 2 * C)
        near = whole(t, "not_above", [key, query], *scores, itemsize=BOOL)
        least = whole(t, "least_code", [query], *rounds, n, C, itemsize=SHORT)
        near = whole(
            t, "in_reach", [near, whole(t, "not_below", [key, least], *scores, itemsize=BOOL)], *scores, itemsize=BOOL
        )
        mine = near if mine is None else mine
        if count is None:
            count = t.moved("first_round", [near], *scores, itemsize=BOOL)
        else:
            count = whole(t, "count_rounds", [count, near], *scores, itemsize=BOOL, note="N_ij")
    assert mine is not None
    assert count is not None
    before = t.constant("before", 2 * C, 2 * C, itemsize=BOOL, fills=2)
    itself = t.part(t.moved("itself", [before], 2 * C, 2 * C), C, 2 * C)
    if causal:
        mine = whole(t, "causal", [mine, t.part(before, C, 2 * C)], *scores, itemsize=BOOL)
    number = t.operator("to_number", [count], scores)
    lowered = t.unary("log_count", number, "log", note="log N_ij")
    lowered = t.moved("lower_itself", [lowered, itself], *scores)
    lowered = t.moved("lower_far", [lowered, whole(t, "far", [mine], *scores, itemsize=BOOL)], *scores)
    return t.view(lowered, B * H * R * n, C, 2 * C)


def _joined(t: Tape, read: Value, sums: Value, tops: Value, place: Value) -> Value:
    B, H, R, T = place.shape
    V = read.shape[-1]
    tops = gathered(t, "top_by_token", tops, place)
    top = t.operator("top_round", [tops], (B, H, ONE, T), pointwise=tops.numel)
    scale = t.unary("round_scale", t.subtract("round_centre", tops, top), "exp")
    total = t.multiply("scale_sums", gathered(t, "sum_by_token", sums, place), scale)
    total = t.sum("sum_rounds", total, 2, note="Σ over rounds: every pair once")
    first = whole(t, "first_place", [t.constant("rounds", B * H * R, itemsize=LONG)], B * H * R)
    rows = whole(t, "place_rows", [place, t.view(first, B, H, R, ONE)], B, H, R, T)
    rows = t.moved("back_rows", [t.view(rows, B, T, H, R)], B * T * H * R)
    read = t.view(looked_up(t, "back", read, rows, "back at their tokens"), B, T, H, R, V)
    read = t.sum("join", t.multiply("scale_read", read, t.view(scale, B, T, H, R, ONE)), 3, note="Σ over rounds")
    return t.divide("normalise_sum", read, t.view(total, B, T, H, ONE))


def latest(t: Tape, buckets: Value, C: Size) -> Value:
    """One more than the positions [B,H,W] that the last of S tokens reaches, itself first; 0 where there are fewer."""
    B, H, R, S = buckets.shape
    rounds = (B, H, R, S)
    alike = whole(t, "alike", [buckets, t.part(buckets, B, H, R, ONE)], *rounds, itemsize=BOOL)
    rank = whole(t, "rank", [alike], *rounds, note="how many of the bucket so far")
    lag = whole(t, "lag", [t.part(rank, B, H, R, ONE), rank], *rounds)
    near = whole(t, "lag_in_reach", [lag], *rounds, itemsize=BOOL)
    near = whole(t, "in_reach", [alike, near], *rounds, itemsize=BOOL)
    reached = t.operator("any_round", [near], (B, H, S), pointwise=near.numel, itemsize=BOOL)
    positions = whole(t, "positions", [reached, t.constant("ticks", S, itemsize=LONG)], B, H, S)
    W = minimum(S, R * C + 1)
    return t.operator("latest", [positions], (B, H, W), (B, H, W), pointwise=positions.numel, itemsize=LONG)


def read_latest(t: Tape, q: Value, past: Value, v: Value, found: Value) -> Value:
    """What the last query q [B,1,H,K] reads of the tokens found: [B,H·V]; `past` [B,S,H,K] are the queries of all S."""
    B, S, H, K = past.shape
    V, W = v.shape[-1], found.shape[-1]
    rows = whole(t, "no_less_than_0", [whole(t, "from_0", [found], B, H, W)], B, H, W)
    rows = whole(t, "rows", [rows], B, H, W)
    rows = t.view(whole(t, "rows_of_all", [rows, t.view(_first_rows(t, B, H), B, H, ONE)], B, H, W), B * H * W)
    k = normalised(t, looked_up(t, "find_key", t.view(past, B * S * H, K), rows))
    v = looked_up(t, "find_value", t.view(v, B * S * H, V), rows)
    scores = t.matmul("scores", t.view(q, B * H, ONE, K), t.view(k, B * H, K, W), "q [1,K] @ kᵀ [K,W]")
    scores = t.moved("lower_far", [scores, whole(t, "none", [found], B, H, W, itemsize=BOOL)], B * H, ONE, W)
    scores = t.moved("lower_itself", [scores, whole(t, "itself", [found], B, H, W, itemsize=BOOL)], B * H, ONE, W)
    read = t.matmul("mix", t.softmax("softmax", scores), t.view(v, B * H, W, V), "weights [1,W] @ v [W,V]")
    return t.view(read, B, H * V)
