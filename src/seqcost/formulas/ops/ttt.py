"""Test-time training on a tape: the twin of `seqcost.layers.ops.ttt`, where the equations stand.

Z = B·H · n mini-batches · C tokens of one · K head width · X, Y in and out of an affine layer of the inner model.
"""

from typing import NamedTuple

from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value

Inner = list[tuple[Value, Value]]  # W [Z,X,Y] and b [Z,1,Y] of each layer
Seen = list[tuple[Value, Value]]  # what each layer read [Z,C,X] and the gradient of its result [Z,C,Y]


class Tokens(NamedTuple):
    """What the inner model needs of n mini-batches of C tokens."""

    q: Value  # [Z,n,C,K]
    k: Value
    offset: Value
    rate: Value  # [Z,n,C,1]


class Rule(NamedTuple):
    """What all mini-batches have in common."""

    scale: Value  # [Z,1,K]
    fall: Value  # [C]


def mini_batches(t: Tape, start: Inner, tokens: Tokens, rule: Rule) -> tuple[Value, Inner, Seen]:
    """Whole mini-batches in the dual form: answers [Z,n,C,K]; the inner model and the gradients of the last one."""
    n = tokens.q.shape[1]
    weights_ZnCC, first_ZnCC = _pair_weights(t, tokens, rule)
    ends_ZnC1 = t.multiply("end_rates", tokens.rate, t.part(rule.fall, ONE, name="place_last"), "−t_C r_j")
    ends = t.every(ends_ZnC1, 1, name="end_rates")
    pieces = [t.every(x, 1, name="mini_batches") for x in (*tokens[:3], weights_ZnCC, first_ZnCC)]
    inner = start
    seen: Seen = []
    answers = []
    for i in t.loop(n):
        q, k, offset, weights, first = (each[i] for each in pieces)
        if i:
            inner = add_gradients(t, "learn", inner, seen, ends[i - 1])
        seen = descend(t, inner, k, offset, rule)
        answers.append(_answer_dual(t, inner, seen, q, weights, first))
    return t.stack("answers", answers, n), inner, seen


def one_token(t: Tape, inner: Inner, sums: Inner, tokens: Tokens, rule: Rule) -> tuple[Value, Inner, Inner]:
    """One token in the primal form: its answer [Z,1,1,K]; the sums with its gradient; the model that answered."""
    Z, n, C, K = tokens.q.shape
    q, k, offset = (t.view(x, Z, C, K) for x in tokens[:3])
    rate = t.view(tokens.rate, Z, C, ONE)
    after = add_gradients(t, "sum_gradients", sums, descend(t, inner, k, offset, rule), rate)
    answering = fallen(t, inner, after, rule.fall)
    h = q
    for i, (W, b) in enumerate(answering):
        h = t.add_matmul("query_inner", b, t.unary("query_hidden", h, "gelu-tanh") if i else h, W, "f(q; W_i)")
    return t.view(h, Z, n, C, K), after, answering


def descend(t: Tape, inner: Inner, k_ZCK: Value, offset_ZCK: Value, rule: Rule) -> Seen:
    """The gradients of the tokens' losses, as the pairs whose outer products they are."""
    read, slopes, h = [], [], k_ZCK
    for i, (W, b) in enumerate(inner):
        if i:
            h, slope = gelu_and_slope(t, h)
            slopes.append(slope)
        read.append(h)
        h = t.add_matmul("key_inner", b, h, W, "f(k): what each token's loss is about")
    gradients = [reconstruction_gradient(t, h, offset_ZCK, rule)]
    for (W, _), slope in zip(inner[:0:-1], slopes[::-1], strict=True):
        back = t.matmul("hidden_gradient", gradients[-1], t.swapped(W), "g Wᵀ: the loss's gradient a layer down")
        gradients.append(t.multiply("hidden_gradient", back, slope))
        del back
    return list(zip(read, gradients[::-1], strict=True))


def reconstruction_gradient(t: Tape, z: Value, offset: Value, rule: Rule) -> Value:
    """dl/dz of ½‖LN(z) − (v − k)‖²."""
    name = "loss_gradient"

    def mean(x: Value) -> Value:
        return t.mean(name, x, -1, keep=True)

    centred = t.subtract(name, z, mean(z), "dl/dz of ½‖LN(z) − (v − k)‖²")
    deviation = t.unary(name, t.unary(name, mean(t.unary(name, centred, "square")), "shift"), "rsqrt")
    normal = t.multiply(name, centred, deviation)
    g = t.add(name, t.multiply(name, normal, rule.scale), offset)
    along = mean(t.multiply(name, g, normal))
    level = t.subtract(name, t.subtract(name, g, mean(g)), t.multiply(name, normal, along))
    return t.multiply(name, level, deviation)


def gelu_and_slope(t: Tape, x: Value) -> tuple[Value, Value]:
    """GELU (tanh) and its derivative."""
    name = "key_hidden"

    def line() -> Value:
        return t.unary(name, t.unary(name, square, "scale"), "shift")

    square = t.unary(name, x, "square", "GELU (tanh) and its derivative")
    gate = t.unary(name, t.multiply(name, x, line()), "sigmoid")
    y = t.multiply(name, x, gate)
    bent = t.multiply(name, t.subtract(name, y, t.multiply(name, y, gate)), line())
    return y, t.add(name, bent, gate)


def add_gradients(t: Tape, name: str, base: Inner, seen: Seen, rate_ZC1: Value) -> Inner:
    """base + Σ_j rate_j ∇l_j."""
    note = "W + (rate ⊙ X)ᵀ g: a step of gradient descent"
    row_Z1C = t.swapped(rate_ZC1)
    return [
        (
            t.add_matmul(name, W, _rated(t, name, read, rate_ZC1), g, note),
            t.add_matmul(name, b, row_Z1C, g, note),
        )
        for (W, b), (read, g) in zip(base, seen, strict=True)
    ]


def sum_gradients(t: Tape, name: str, seen: Seen, rate_ZC1: Value) -> Inner:
    """Σ_j rate_j ∇l_j."""
    note = "(rate ⊙ X)ᵀ g of the open mini-batch"
    row_Z1C = t.swapped(rate_ZC1)
    return [
        (t.matmul(name, _rated(t, name, read, rate_ZC1), g, note), t.matmul(name, row_Z1C, g, note)) for read, g in seen
    ]


def _rated(t: Tape, name: str, read_ZCX: Value, rate_ZC1: Value) -> Value:
    return t.swapped(t.multiply(f"{name}_rates", read_ZCX, rate_ZC1, "rate ⊙ X"))


def fallen(t: Tape, inner: Inner, sums: Inner, fall_1: Value) -> Inner:
    """W − t S."""
    return [
        (t.add_product("fall", W, S, fall_1, "W − t S"), t.add_product("fall", b, s, fall_1, "W − t S"))
        for (W, b), (S, s) in zip(inner, sums, strict=True)
    ]


def _pair_weights(t: Tape, tokens: Tokens, rule: Rule) -> tuple[Value, Value]:
    """−t_i r_j for j ≤ i, else 0, and the same times q_i·k_j + 1."""
    Z, n, C, K = tokens.q.shape
    weights_ZnCC = t.lower(
        "causal",
        t.multiply("pair_rates", t.swapped(tokens.rate), t.view(rule.fall, C, ONE), "−t_i r_j"),
        "0 for j > i",
    )
    scores = t.matmul(
        "scores", t.view(tokens.q, Z * n, C, K), t.swapped(t.view(tokens.k, Z * n, C, K)), "q kᵀ in a mini-batch"
    )  # fmt: skip
    shares = t.unary("shares", t.view(scores, Z, n, C, C), "shift-whole", "−t_i r_j (q·k + 1)")
    return weights_ZnCC, t.multiply("shares", shares, weights_ZnCC)


def _answer_dual(t: Tape, inner: Inner, seen: Seen, q_ZCK: Value, weights_ZCC: Value, first_ZCC: Value) -> Value:
    """f(q_i; W_i) of every token."""
    h, share = q_ZCK, first_ZCC
    for i, ((W, b), (read, g)) in enumerate(zip(inner, seen, strict=True)):
        if i:
            h = t.unary("query_hidden", h, "gelu-tanh")
            share = t.multiply("hidden_shares", _hidden_shares(t, h, read), weights_ZCC, "−t_i r_j (h·X + 1)")
        z = t.add_matmul("query_inner", b, h, W, "f(q) before the mini-batch")
        h = t.add_matmul("query_learned", z, share, g, "− Σ t_i r_j (q·k + 1) g_j: what the mini-batch taught it")
    return h


def _hidden_shares(t: Tape, h: Value, read: Value) -> Value:
    return t.unary(
        "hidden_shares", t.matmul("hidden_scores", h, t.swapped(read), "h Xᵀ in a mini-batch"), "shift-whole"
    )
