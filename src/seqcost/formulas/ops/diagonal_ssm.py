"""A diagonal linear state space model with constant coefficients, as `layers.ops.diagonal_ssm` executes it."""

from dataclasses import dataclass

from seqcost.algebra import Size, ceil_div
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value
from seqcost.formulas.ops.fft_convolution import fft_convolution

Pair = tuple[Value, Value]


@dataclass(frozen=True)
class Diagonal:
    """λ = rate + i angle and the gain of each state, [D,M]."""

    rate: Value
    angle: Value
    gain: Pair

    def decay(self, t: Tape) -> Pair:
        """e^λ."""
        return exponential(t, "decay", self.rate, self.angle)


def ssm_convolution(t: Tape, u: Value, system: Diagonal, C: Size) -> Value:
    """[B,T,D] → y [D,B,T] from a state of 0."""
    _, left, right = _factors(t, system, ceil_div(u.shape[1], C), C)
    return _convolved(t, u, left, right)


def ssm_extend(t: Tape, u: Value, system: Diagonal, s: Value, C: Size) -> tuple[Value, Value]:
    """[B,T,D] and a state [B,D,N] → y [D,B,T] and the state after them."""
    B, T, D = u.shape
    N, M = s.shape[-1], system.rate.shape[-1]
    n = ceil_div(T, C)
    powers, left, right = _factors(t, system, n, C)
    state = _halves(t, t.transpose(s, 1, 0, 2))

    gain_re, minus_gain_im = _halves(t, left)
    re, im = _beside(t, _gained(t, system, gain_re, minus_gain_im))
    s_re, s_im = (t.view(x, D, B, ONE, M) for x in state)

    def times(a: Value, b: Value) -> Value:
        return t.multiply("state_gain", a, b)

    def parts() -> list[Value]:
        return [
            t.subtract("state_gain_sums", times(re, s_re), times(im, s_im)),
            t.subtract("state_gain_sums", times(t.unary("gain_sign", im, "neg"), s_re), times(re, s_im)),
        ]

    rows = t.cat("state_rows", parts(), D, B, n, N, note="side by side")
    added = t.matmul("state_read", t.view(rows, D, B * n, N), right, "what the state adds to each token")
    y = t.add("state_sum", _convolved(t, u, left, right), t.part(t.view(added, D, B, n * C), D, B, T))

    tokens = t.transpose(t.float32("tokens_float32", u), 2, 0, 1)
    filled = t.view(t.pad("tokens_fill", tokens, D, B, n * C, note="zeros before them"), D, B * n, C)
    del tokens
    sums = t.matmul("chunk_sums", filled, t.swapped(t.flip("powers_flipped", right)), "each chunk's share of the state")
    later = _beside(t, (t.flip("starts_flipped", powers[0]), t.flip("starts_flipped", powers[1])))
    re, im = product(t, "to_end", later, _halves(t, t.view(sums, D, B, n, N)))
    kept = product(t, "state_kept", _beside(t, _whole(t, system)), state)

    def new() -> list[Value]:
        return [t.add("state_new", t.sum("chunks_sum", x, 2), k) for x, k in zip((re, im), kept, strict=True)]

    after = t.cat("state_joined", new(), D, B, N)
    return y, t.copy("state_copy", t.transpose(after, 1, 0, 2))


def ssm_step(t: Tape, u: Value, system: Diagonal, s: Value) -> tuple[Value, Value]:
    """One token [B,D] and a state [B,D,N] → y [B,D] and the state after it."""
    (B, D), N = u.shape, s.shape[-1]
    re, im = product(t, "state_decay", system.decay(t), _halves(t, s))
    re = t.add("state_input", re, t.view(t.float32("token_float32", u), B, D, ONE))
    return t.sum("read_sum", _real(t, system.gain, re, im), -1, note="Re Σ gain s"), t.cat(
        "state_joined", [re, im], B, D, N
    )


def product(t: Tape, name: str, a: Pair, b: Pair) -> Pair:
    """Of complex numbers: four products and two sums."""

    def times(x: Value, y: Value) -> Value:
        return t.multiply(f"{name}_products", x, y)

    return (
        t.subtract(f"{name}_sums", times(a[0], b[0]), times(a[1], b[1])),
        t.add(f"{name}_sums", times(a[0], b[1]), times(a[1], b[0])),
    )


def exponential(t: Tape, name: str, re: Value, im: Value) -> Pair:
    """e^(re + i im)."""
    size = t.unary(f"{name}_size", re, "exp")
    return (
        t.multiply(f"{name}_powers", size, t.unary(f"{name}_turn", im, "cos")),
        t.multiply(f"{name}_powers", size, t.unary(f"{name}_turn", im, "sin")),
    )


def _factors(t: Tape, system: Diagonal, n: Size, C: Size) -> tuple[Pair, Value, Value]:
    """Powers at the first tokens of n chunks [D,n,M]; these times the gain [D,n,N]; powers inside a chunk [D,N,C]."""
    rate, angle = system.rate, system.angle
    D, M = rate.shape
    starts, tokens = (
        t.constant(name, size, operator="arange", itemsize=t.wide) for name, size in (("starts", n), ("tokens", C))
    )
    starts = t.view(starts, n, ONE, ONE)

    def exponents(name: str, x: Value, at: Value) -> Value:
        return t.multiply(f"{name}_exponents", x, at)

    powers = exponential(t, "starts", exponents("starts", rate, starts), exponents("starts", angle, starts))
    re, im = product(t, "starts_gain", powers, system.gain)
    left = t.cat("kernel_left", [re, t.unary("starts_sign", im, "neg")], n, D, 2 * M, note="side by side")

    def inner() -> Pair:
        of_rate = exponents("tokens", t.view(rate, D, M, ONE), tokens)
        return exponential(t, "tokens", of_rate, exponents("tokens", t.view(angle, D, M, ONE), tokens))

    right = t.cat("kernel_right", inner(), D, 2 * M, C, note="one below the other")
    re, im = (t.transpose(x, 1, 0, 2) for x in powers)
    return (re, im), t.transpose(left, 1, 0, 2), right


def _gained(t: Tape, system: Diagonal, gain_re: Value, minus_gain_im: Value) -> Pair:
    decay = _beside(t, system.decay(t))
    return product(t, "gain_once", decay, (gain_re, t.unary("gain_sign", minus_gain_im, "neg")))


def _whole(t: Tape, system: Diagonal) -> Pair:
    """e^{λT}: the decay over all tokens."""
    rate = t.unary("whole_exponents", system.rate, "scale-whole")
    return exponential(t, "whole", rate, t.unary("whole_exponents", system.angle, "scale-whole"))


def _real(t: Tape, gain: Pair, re: Value, im: Value) -> Value:
    return t.subtract("read", t.multiply("read_products", gain[0], re), t.multiply("read_products", gain[1], im))


def _convolved(t: Tape, u: Value, left: Value, right: Value) -> Value:
    D, n, _ = left.shape
    kernel = t.view(t.matmul("kernel", left, right, "powers times gain: the kernel"), D, n * right.shape[2])
    return fft_convolution(t, t.transpose(u, 2, 0, 1), t.part(kernel, D, u.shape[1]))


def _halves(t: Tape, x: Value) -> Pair:
    *front, N = x.shape
    half = N // 2 if isinstance(N, int) else N / 2
    re, im = t.parts(x, (*front, half), (*front, half))
    return re, im


def _beside(t: Tape, pair: Pair) -> Pair:
    """An axis for the batch behind the channels."""
    re, im = (t.view(x, x.shape[0], ONE, *x.shape[1:]) for x in pair)
    return re, im
