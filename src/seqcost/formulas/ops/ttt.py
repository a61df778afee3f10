"""Test-time training on a tape: the twin of `seqcost.layers.ops.ttt`, where the equations stand.

Z = B·H · n mini-batches · C tokens of one · K head width · X, Y in and out of an affine layer of the inner model.
"""

from collections.abc import Sequence
from typing import NamedTuple

from seqcost.formulas.core.operator import Operator
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


def mini_batches(t: Tape, inner: Inner, tokens: Tokens, rule: Rule) -> tuple[Value, Inner, Seen]:
    """Whole mini-batches in the dual form: answers [Z,n,C,K]; the inner model and the gradients of the last one."""
    Z, n, C, K = tokens.q.shape
    rates = t.multiply("pair_rates", t.view(tokens.rate, Z, n, ONE, C), t.view(rule.fall, C, ONE), "−t_i r_j")
    weights = t.moved("causal", [rates], Z, n, C, C, note="0 for j > i")
    scores = t.matmul("scores", t.view(tokens.q, Z * n, C, K), t.view(tokens.k, Z * n, K, C), "q kᵀ in a mini-batch")
    first = t.multiply("shares", t.unary("shares", t.view(scores, Z, n, C, C), "shift", "−t_i r_j (q·k + 1)"), weights)
    ends = t.multiply("end_rates", tokens.rate, t.part(rule.fall, ONE), "−t_C r_j")
    q_n, k_n, offset_n = (t.every(x, n, Z, C, K) for x in (tokens.q, tokens.k, tokens.offset))
    weights_n, first_n, end_n = t.every(weights, n, Z, C, C), t.every(first, n, Z, C, C), t.every(ends, n, Z, C, ONE)
    answers = []
    seen: Seen = []
    for i in t.loop(n):
        if i:
            inner = add_gradients(t, "learn", inner, seen, end_n[i - 1])
        seen = descend(t, inner, k_n[i], offset_n[i], rule)
        answers.append(_answer_dual(t, inner, seen, q_n[i], weights_n[i], first_n[i]))
    return t.stack("answers", answers, n), inner, seen


def one_token(t: Tape, inner: Inner, sums: Inner, tokens: Tokens, rule: Rule) -> Value:
    """One token in the primal form: its answer [Z,1,1,K]."""
    Z, n, C, K = tokens.q.shape
    q, k, offset = (t.view(x, Z, C, K) for x in (tokens.q, tokens.k, tokens.offset))
    seen = descend(t, inner, k, offset, rule)
    sums = add_gradients(t, "sum_gradients", sums, seen, t.view(tokens.rate, Z, C, ONE))
    h = q
    for i, (W, b) in enumerate(fallen(t, inner, sums, rule.fall)):
        h = t.add_matmul("query_inner", b, t.unary("query_hidden", h, "gelu-tanh") if i else h, W, "f(q; W_i)")
    return t.view(h, Z, n, C, K)


def descend(t: Tape, inner: Inner, k: Value, offset: Value, rule: Rule) -> Seen:
    """The gradients of the tokens' losses, as the pairs whose outer products they are."""
    read, slopes, h = [], [], k
    for i, (W, b) in enumerate(inner):
        if i:
            h, slope = gelu_and_slope(t, h)
            slopes.append(slope)
        read.append(h)
        h = t.add_matmul("key_inner", b, h, W, "f(k): what each token's loss is about")
    gradients = [reconstruction_gradient(t, h, offset, rule)]
    for (W, _), slope in zip(inner[:0:-1], slopes[::-1], strict=True):
        Z, X, Y = W.shape
        back = t.matmul("hidden_gradient", gradients[-1], t.view(W, Z, Y, X), "g Wᵀ: the loss's gradient a layer down")
        gradients.append(t.multiply("hidden_gradient", back, slope))
    return list(zip(read, gradients[::-1], strict=True))


def reconstruction_gradient(t: Tape, z: Value, offset: Value, rule: Rule) -> Value:
    """dl/dz of ½‖LN(z) − (v − k)‖²."""
    name = "loss_gradient"
    centred = t.subtract(name, z, t.mean(name, z, -1, keep=True, note="dl/dz of ½‖LN(z) − (v − k)‖²"))
    variance = t.mean(name, t.unary(name, centred, "square"), -1, keep=True)
    deviation = t.unary(name, t.unary(name, variance, "shift"), "rsqrt")
    normal = t.multiply(name, centred, deviation)
    g = t.add(name, t.multiply(name, normal, rule.scale), offset)
    along = t.mean(name, t.multiply(name, g, normal), -1, keep=True)
    level = t.subtract(name, g, t.mean(name, g, -1, keep=True))
    return t.multiply(name, t.subtract(name, level, t.multiply(name, normal, along)), deviation)


def gelu_and_slope(t: Tape, x: Value) -> tuple[Value, Value]:
    """GELU (tanh) and its derivative."""
    name = "key_hidden"
    square = t.unary(name, x, "square", "GELU (tanh) and its derivative")
    gate = t.unary(name, t.multiply(name, x, _line(t, name, square)), "sigmoid")
    y = t.multiply(name, x, gate)
    rest = t.subtract(name, y, t.multiply(name, y, gate))
    return y, t.add(name, t.multiply(name, rest, _line(t, name, square)), gate)


def _line(t: Tape, name: str, x: Value) -> Value:
    return t.unary(name, t.unary(name, x, "scale"), "shift")


def add_gradients(t: Tape, name: str, base: Inner, seen: Seen, rate: Value) -> Inner:
    """Base + Σ_j rate_j ∇l_j."""
    note = "W + (rate ⊙ X)ᵀ g: a step of gradient descent"
    rated = [_rated(t, name, read, rate) for read, _ in seen]
    row = _row(t, rate)
    return [
        (t.add_matmul(name, W, X, g, note), t.add_matmul(name, b, row, g, note))
        for (W, b), X, (_, g) in zip(base, rated, seen, strict=True)
    ]


def sum_gradients(t: Tape, name: str, seen: Seen, rate: Value) -> Inner:
    """Σ_j rate_j ∇l_j."""
    note = "(rate ⊙ X)ᵀ g of the open mini-batch"
    row = _row(t, rate)
    return [(t.matmul(name, _rated(t, name, read, rate), g, note), t.matmul(name, row, g, note)) for read, g in seen]


def _row(t: Tape, rate: Value) -> Value:
    Z, C, _ = rate.shape
    return t.view(rate, Z, ONE, C)


def _rated(t: Tape, name: str, read: Value, rate: Value) -> Value:
    Z, C, X = read.shape
    return t.view(t.multiply(f"{name}_rates", read, rate, "rate ⊙ X"), Z, X, C)


def fallen(t: Tape, inner: Inner, sums: Inner, fall: Value) -> Inner:
    """W − t S."""
    return [
        (_add_product(t, "fall", W, S, fall, "W − t S"), _add_product(t, "fall", b, s, fall, "W − t S"))
        for (W, b), (S, s) in zip(inner, sums, strict=True)
    ]


def _add_product(t: Tape, name: str, a: Value, b: Value, c: Value, note: str) -> Value:
    """A + b ⊙ c for one number c: torch.addcmul."""
    n = a.numel

    def backward(wanted: Sequence[bool]) -> list[Operator]:
        costs = (0, 1, 2)  # g; g c; Σ g b
        return [Operator(name=f"{name}_d", pointwise=n * sum(x for x, w in zip(costs, wanted, strict=True) if w))]

    return t.operator(
        name, [a, b, c], a.shape, pointwise=2 * n, backward=backward, keeps=[(c, 1), (b, 2)],
        itemsize=a.storage.itemsize, note=note,
    )  # fmt: skip


def _answer_dual(t: Tape, inner: Inner, seen: Seen, q: Value, weights: Value, first: Value) -> Value:
    """f(q_i; W_i) of every token."""
    h, share = q, first
    for i, ((W, b), (read, g)) in enumerate(zip(inner, seen, strict=True)):
        if i:
            h = t.unary("query_hidden", h, "gelu-tanh")
            Z, C, X = read.shape
            scores = t.matmul("hidden_scores", h, t.view(read, Z, X, C), "h Xᵀ in a mini-batch")
            share = t.multiply(
                "hidden_shares", t.unary("hidden_shares", scores, "shift"), weights, "−t_i r_j (h·X + 1)"
            )
        z = t.add_matmul("query_inner", b, h, W, "f(q) before the mini-batch")
        h = t.add_matmul("query_learned", z, share, g, "− Σ t_i r_j (q·k + 1) g_j: what the mini-batch taught it")
    return h
