"""Attention among the tokens of a bucket on the tape: the twin of layers/ops/lsh, operator by operator.

R hashing rounds · E buckets per round · C tokens per chunk · n = ⌈T/C⌉ chunks · M = n·C places · Y = B·H·R·n.
"""

from collections.abc import Sequence

from seqcost.algebra import Size, ceil_div, minimum
from seqcost.algebra.expr import ceil_log2
from seqcost.algebra.work import Kernel
from seqcost.formulas.core.buffers import number_bytes, sort_bytes
from seqcost.formulas.core.component import exact_div
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value, product
from seqcost.formulas.ops.pieces import gathered, looked_up, overlapping

BOOL, SHORT, LONG = 1, 4, 8  # bytes of a truth value, a code and an index
NUMBER = number_bytes(LONG)  # a plain whole number beside those


def whole(
    t: Tape, name: str, operator: str, inputs: Sequence[Value], *shape: Size, itemsize: int = LONG, buffer: Size = 0,
    note: str = "",
) -> Value:  # fmt: skip
    """An elementwise operator on whole numbers or truth values: one operation an element, no gradient."""
    return t.kernel(
        name, Kernel.ELEMENTWISE, inputs, shape, operator=operator, pointwise=product(shape), itemsize=itemsize,
        buffer=buffer, note=note,
    )  # fmt: skip


def hashed(t: Tape, q: Value, rotations: Value, R: Size, E: Size) -> Value:
    """Buckets [B,H,R,T] of queries [B,T,H,K] by rotations [H,K,R·E/2]."""
    B, T, H, K = q.shape
    by_head = t.transpose(t.view(t.detach(q), B * T, H, K), 1, 0, 2)
    turned = t.matmul("rotate", by_head, rotations, "x [T,K] @ R [K,R·E/2] a head")
    turned = t.view(turned, H, B, T, R, exact_div(E, 2, "buckets E of axes and their opposites"))
    nearest = _nearest(
        t, t.cat("opposite", [turned, t.unary("negate", turned, "neg")], H, B, T, R, E, note="[xR; −xR]")
    )
    return t.copy("by_round", t.transpose(nearest, 1, 0, 3, 2), note="[H,B,T,R] to [B,H,R,T]")


def _nearest(t: Tape, both: Value) -> Value:
    return t.kernel(
        "bucket", Kernel.REDUCTION, [both], both.shape[:-1], operator="argmax",
        sizes=(product(both.shape[:-1]), both.shape[-1]), pointwise=both.numel, itemsize=LONG, note="argmax",
    )  # fmt: skip


def normalised(t: Tape, q: Value) -> Value:
    """Queries as keys: of length 1."""
    return t.multiply(
        "normalise", q,
        t.unary(
            "inverse_length",
            t.unary("epsilon", t.sum("length", t.unary("square", q, "square"), -1, keep=True), "shift"), "rsqrt",
        ),
    )  # fmt: skip


def bucket_attention(
    t: Tape, q: Value, v: Value, buckets: Value, C: Size, *, aligned: bool, causal: bool, fresh: Size
) -> Value:
    """What the last `fresh` tokens read: [B,fresh,H,V], of queries q [B,T,H,K] and values v [B,T,H,V]."""
    B, T, H, K = q.shape
    R, V, n = buckets.shape[2], v.shape[-1], ceil_div(T, C)
    Y, M, rounds = B * H * R * n, n * C, (B, H, R)

    in_order, order = _sorted(t, buckets)
    places = t.constant("places", T, operator="arange", itemsize=LONG)
    place = t.kernel(
        "place", Kernel.SCATTER, [order, places], (*rounds, T), operator="scatter", itemsize=LONG,
        note="where each token stands",
    )  # fmt: skip
    code = whole(t, "code_bucket", "mul", [in_order], *rounds, T, buffer=NUMBER)
    standing = places if aligned else whole(t, "chunk_of_place", "div", [places], T, buffer=NUMBER)
    code = whole(t, "code_place", "add", [code, standing], *rounds, T)
    del standing
    codes = gathered(t, "code_by_token", t.cast("code_int", code, SHORT), place)
    lowered = _lowered(t, codes, order, C, n, causal=causal and not aligned)

    rows = whole(
        t, "rows_of_all", "add", [whole(t, "rows", "mul", [order], *rounds, T, buffer=NUMBER), _first_rows(t, B, H)],
        *rounds, T,
    )  # fmt: skip
    rows = t.pad("rows_fill", rows, *rounds, C + M)
    own = t.view(t.copy("own_rows", t.part(rows, *rounds, M)), Y * C)
    seen = t.view(t.copy("seen_rows", overlapping(t, "seen_rows", rows, 3, n, 2 * C, C)), Y * 2 * C)
    q_own = t.view(looked_up(t, "sort_query", t.view(q, B * T * H, K), 0, own, "queries in their order"), Y, C, K)
    k = t.view(normalised(t, q), B * T * H, K)
    k = t.view(looked_up(t, "sort_key", k, 0, seen, "keys of the chunk and the one before"), Y, 2 * C, K)
    v = t.view(looked_up(t, "sort_value", t.view(v, B * T * H, V), 0, seen, "their values"), Y, 2 * C, V)

    scores = t.subtract(
        "lower", t.matmul("scores", q_own, t.swapped(k), "q [C,K] @ kᵀ [K,2C]"), lowered, "log N; ∞ out of reach"
    )
    top = _largest(t, "top", t.detach(scores), 2)
    weights = t.unary("exponential", t.subtract("centre", scores, top), "exp")
    sums, tops = t.view(t.sum("sum_scores", weights, -1), *rounds, M), t.view(top, *rounds, M)
    return _joined(
        t, t.view(t.matmul("mix", weights, v, "weights [C,2C] @ v [2C,V]"), Y * C, V), sums, tops,
        t.part(place, *rounds, fresh),
    )  # fmt: skip


def _sorted(t: Tape, buckets: Value) -> tuple[Value, Value]:
    """Buckets in their order, and which token stands where."""
    T = buckets.shape[-1]
    both = t.new("sort", buckets.shape, LONG), t.new("sort", buckets.shape, LONG)
    t.launch(
        "sort", Kernel.SORT, [buckets], both, operator="sort", sizes=(product(buckets.shape[:-1]), T),
        pointwise=buckets.numel * ceil_log2(T), buffer=sort_bytes(T), note="by (bucket, position)",
    )  # fmt: skip
    return both


def _largest(t: Tape, name: str, x: Value, axis: int) -> Value:
    """Largest number along an axis, which stays."""
    shape = (*x.shape[:axis], ONE, *x.shape[axis + 1 :])
    sizes = (product(shape), x.shape[axis])
    return t.kernel(
        name, Kernel.REDUCTION, [x], shape, operator="amax", sizes=sizes, pointwise=x.numel, note="largest score"
    )


def _first_rows(t: Tape, B: Size, H: Size) -> Value:
    places = [t.constant("sequences", B, operator="arange", itemsize=LONG)]
    sequences = whole(t, "first_row", "mul", [places.pop()], B, buffer=NUMBER)
    heads = t.constant("heads", H, operator="arange", itemsize=LONG)
    return t.view(whole(t, "first_rows", "add", [sequences, heads], B, H), B, H, ONE, ONE)


def _lowered(t: Tape, code: Value, order: Value, C: Size, n: Size, *, causal: bool) -> Value:
    B, H, R, _ = code.shape
    rounds, M = (B, H, R), n * C
    scores = (*rounds, n, C, 2 * C)
    mine = count = None
    for _ in t.loop(R):
        turned = t.pad("code_fill", gathered(t, "code_in_order", _other_round(t, code), order), *rounds, C + M)
        query = t.view(t.part(turned, *rounds, M), *rounds, n, C, ONE)
        key = t.view(overlapping(t, "code_windows", turned, 3, n, 2 * C, C), *rounds, n, ONE, 2 * C)
        not_above = whole(t, "not_above", "le", [key, query], *scores, itemsize=BOOL)
        least = whole(t, "least_code", "sub", [query], *rounds, n, C, ONE, itemsize=SHORT, buffer=number_bytes(SHORT))
        not_below = whole(t, "not_below", "ge", [key, least], *scores, itemsize=BOOL)
        del least
        near = whole(t, "in_reach", "bitwise_and", [not_above, not_below], *scores, itemsize=BOOL)
        del not_above, not_below
        mine = near if mine is None else mine
        if count is None:
            count = t.kernel("first_round", Kernel.COPY, [near], scores, operator="_to_copy", itemsize=BOOL)
        else:
            count = whole(
                t, "count_rounds", "add", [count, near], *scores, itemsize=BOOL, buffer=near.numel, note="N_ij"
            )
    assert mine is not None
    assert count is not None
    every = [t.constant("before", 2 * C, 2 * C, operator="ones", itemsize=BOOL)]
    before = t.lower("before", every.pop())
    itself = t.part(t.upper("itself", before), C, 2 * C)
    if causal:
        mine = whole(t, "causal", "bitwise_and", [mine, t.part(before, C, 2 * C)], *scores, itemsize=BOOL)
    number = [t.kernel("to_number", Kernel.COPY, [count], scores, operator="_to_copy")]
    lowered = t.fill_where("lower_itself", t.unary("log_count", number.pop(), "log", note="log N_ij"), itself)
    lowered = t.fill_where("lower_far", lowered, whole(t, "far", "logical_not", [mine], *scores, itemsize=BOOL))
    return t.view(lowered, B * H * R * n, C, 2 * C)


def _other_round(t: Tape, code: Value) -> Value:
    return t.kernel("other_round", Kernel.COPY, [code], code.shape, operator="roll", itemsize=SHORT, note="roll")


def _joined(t: Tape, read: Value, sums: Value, tops: Value, place: Value) -> Value:
    """The rounds' readings, back at their tokens, weighted by what each round's scores add up to: [B,T,H,V]."""
    (B, H, R, T), V = place.shape, read.shape[-1]
    tops = gathered(t, "top_by_token", tops, place)
    scale = t.unary("round_scale", t.subtract("round_centre", tops, _largest(t, "top_round", tops, 2)), "exp")
    total = t.sum(
        "sum_rounds", t.multiply("scale_sums", gathered(t, "sum_by_token", sums, place), scale), 2,
        note="Σ over rounds: every pair once",
    )  # fmt: skip
    first = t.constant("rounds", B * H * R, operator="arange", itemsize=LONG)
    first = whole(t, "first_place", "mul", [first], B * H * R, buffer=NUMBER)
    rows = whole(t, "place_rows", "add", [place, t.view(first, B, H, R, ONE)], B, H, R, T)
    rows = t.view(t.copy("back_rows", t.transpose(rows, 0, 3, 1, 2)), B * T * H * R)
    by_token = t.view(looked_up(t, "back", read, 0, rows, "back at their tokens"), B, T, H, R, V)
    weight = t.view(t.transpose(scale, 0, 3, 1, 2), B, T, H, R, ONE)
    return t.divide(
        "normalise_sum", t.sum("join", t.multiply("scale_read", by_token, weight), 3, note="Σ over rounds"),
        t.view(t.transpose(total, 0, 2, 1), B, T, H, ONE),
    )  # fmt: skip


def latest(t: Tape, buckets: Value, C: Size) -> Value:
    """One more than the positions [B,H,W] that the last of S tokens reaches, itself first; 0 where there are fewer."""
    B, H, R, S = buckets.shape
    rounds = (B, H, R, S)
    alike = whole(t, "alike", "eq", [buckets, t.part(buckets, B, H, R, ONE)], *rounds, itemsize=BOOL)
    rank = t.kernel(
        "rank", Kernel.SCAN, [alike], rounds, operator="cumsum", sizes=(B * H * R, S), pointwise=alike.numel,
        itemsize=LONG, note="how many of the bucket so far",
    )  # fmt: skip
    lag = whole(t, "lag", "sub", [t.part(rank, B, H, R, ONE), rank], *rounds)
    near = whole(t, "lag_in_reach", "le", [lag], *rounds, itemsize=BOOL, buffer=NUMBER)
    del lag
    near = whole(t, "in_reach", "bitwise_and", [alike, near], *rounds, itemsize=BOOL)
    reached = t.kernel(
        "any_round", Kernel.REDUCTION, [near], (B, H, S), operator="any", sizes=(B * H * S, R), pointwise=near.numel,
        itemsize=BOOL,
    )  # fmt: skip
    del near
    ticks = [t.constant("ticks", S, operator="arange", itemsize=LONG)]
    positions = whole(t, "positions", "mul", [reached, ticks.pop()], B, H, S, buffer=LONG * B * H * S)
    W = minimum(S, R * C + 1)
    both = t.new("latest", (B, H, W), LONG), t.new("latest", (B, H, W), LONG)
    t.launch(
        "latest", Kernel.SORT, [positions], both, operator="topk", sizes=(B * H, S), pointwise=positions.numel,
        note="topk",
    )  # fmt: skip
    return both[0]


def read_latest(t: Tape, q: Value, past: Value, v: Value, found: Value) -> Value:
    """What the last query q [B,1,H,K] reads of the tokens found: [B,H·V]; `past` [B,S,H,K] are the queries of all S."""
    B, S, H, K = past.shape
    V, W = v.shape[-1], found.shape[-1]
    rows = whole(t, "from_0", "sub", [found], B, H, W, buffer=NUMBER)
    rows = whole(t, "no_less_than_0", "clamp_min", [rows], B, H, W)
    rows = whole(t, "rows", "mul", [rows], B, H, W, buffer=NUMBER)
    first = [t.view(_first_rows(t, B, H), B, H, ONE)]
    rows = t.view(whole(t, "rows_of_all", "add", [rows, first.pop()], B, H, W), B * H * W)
    k = normalised(t, looked_up(t, "find_key", t.view(past, B * S * H, K), 0, rows))
    v = looked_up(t, "find_value", t.view(v, B * S * H, V), 0, rows)
    scores = t.matmul("scores", t.view(q, B * H, ONE, K), t.swapped(t.view(k, B * H, W, K)), "q [1,K] @ kᵀ [K,W]")

    def where_it_is(name: str) -> Value:
        return t.view(whole(t, name, "eq", [found], B, H, W, itemsize=BOOL, buffer=NUMBER), B * H, ONE, W)

    known = t.fill_where("lower_far", scores, where_it_is("none"))
    scores = t.fill_where("lower_itself", known, where_it_is("itself"))
    del known
    read = t.matmul("mix", t.softmax("softmax", scores), t.view(v, B * H, W, V), "weights [1,W] @ v [W,V]")
    return t.view(read, B, H * V)
