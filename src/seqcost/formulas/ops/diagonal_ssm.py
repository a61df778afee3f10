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


def ssm_convolution(t: Tape, u: Value, system: Diagonal, C: Size) -> Value:
    """[B,T,D] → y [D,B,T] from a state of 0."""
    _, left, right = _factors(t, system, ceil_div(u.shape[1], C), C)
    return _convolved(t, u, left, right)


def ssm_extend(t: Tape, u: Value, system: Diagonal, s: Value, C: Size) -> Value:
    """[B,T,D] and a state [B,D,N] → y [D,B,T]; the state after it is written too."""
    B, T, D = u.shape
    N = s.shape[-1]
    M = system.rate.shape[-1]
    n = ceil_div(T, C)
    powers, left, right = _factors(t, system, n, C)
    state = _halves(t, s, D, B, M)

    gain_re, minus_gain_im = _halves(t, left, D, n, M)
    gain = (gain_re, t.unary("gain_sign", minus_gain_im, "neg"))
    decay = _viewed(t, exponential(t, "decay", system.rate, system.angle), D, ONE, M)
    re, im = _viewed(t, product(t, "gain_once", decay, gain), D, ONE, n, M)
    s_re, s_im = _viewed(t, state, D, B, ONE, M)

    def difference(a: Value, b: Value) -> Value:
        return t.subtract("state_gain_sums", t.multiply("state_gain", a, s_re), t.multiply("state_gain", b, s_im))

    parts = [difference(re, im), difference(t.unary("gain_sign", im, "neg"), re)]
    rows = t.moved("state_rows", parts, D, B, n, N, note="side by side")
    added = t.matmul("state_read", t.view(rows, D, B * n, N), right, "what the state adds to each token")
    y = _convolved(t, u, left, right)
    y = t.add("state_sum", y, t.part(t.view(added, D, B, n * C), D, B, T))

    wide = t.float32("tokens_float32", u)
    filled = t.moved("tokens_fill", [t.view(wide, D, B, T)], D, B, n * C, note="zeros before them")
    flipped = t.moved("powers_flipped", [right], D, N, C)
    sums = t.matmul(
        "chunk_sums", t.view(filled, D, B * n, C), t.view(flipped, D, C, N), "each chunk's share of the state"
    )
    later = t.moved("starts_flipped", [powers[0]], D, ONE, n, M), t.moved("starts_flipped", [powers[1]], D, ONE, n, M)
    re, im = product(t, "to_end", later, _halves(t, sums, D, B, n, M))
    whole = exponential(t, "whole", *(t.unary("whole_exponents", x, "scale") for x in (system.rate, system.angle)))
    kept = product(t, "state_kept", _viewed(t, whole, D, ONE, M), state)
    new = [t.add("state_new", t.sum("chunks_sum", x, 2), k) for x, k in zip((re, im), kept, strict=True)]
    after = t.moved("state_joined", new, D, B, N)
    t.moved("state_copy", [after], B, D, N)
    return y


def ssm_step(t: Tape, u: Value, system: Diagonal, s: Value) -> Value:
    """One token [B,D] and a state [B,D,N] → y [B,D]; the state after it is written too."""
    B, D = u.shape
    M = system.rate.shape[-1]
    decay = exponential(t, "decay", system.rate, system.angle)
    re, im = product(t, "state_decay", decay, _halves(t, s, B, D, M))
    re = t.add("state_input", re, t.view(t.float32("token_float32", u), B, D, ONE))
    gain_re, gain_im = system.gain
    real = t.subtract("read", t.multiply("read_products", gain_re, re), t.multiply("read_products", gain_im, im))
    y = t.sum("read_sum", real, -1, note="Re Σ gain s")
    t.moved("state_joined", [re, im], B, D, 2 * M)
    return y


def product(t: Tape, name: str, a: Pair, b: Pair) -> Pair:
    """Of complex numbers: four products and two sums."""
    re_re, im_im = t.multiply(f"{name}_products", a[0], b[0]), t.multiply(f"{name}_products", a[1], b[1])
    re_im, im_re = t.multiply(f"{name}_products", a[0], b[1]), t.multiply(f"{name}_products", a[1], b[0])
    return t.subtract(f"{name}_sums", re_re, im_im), t.add(f"{name}_sums", re_im, im_re)


def exponential(t: Tape, name: str, re: Value, im: Value) -> Pair:
    """e^(re + i im)."""
    size, cos, sin = (
        t.unary(f"{name}_size", re, "exp"),
        t.unary(f"{name}_turn", im, "cos"),
        t.unary(f"{name}_turn", im, "sin"),
    )
    return t.multiply(f"{name}_powers", size, cos), t.multiply(f"{name}_powers", size, sin)


def _factors(t: Tape, system: Diagonal, n: Size, C: Size) -> tuple[Pair, Value, Value]:
    rate, angle = system.rate, system.angle
    D, M = rate.shape
    starts, tokens = (t.constant(name, size, itemsize=t.wide) for name, size in (("starts", n), ("tokens", C)))
    starts = t.view(starts, n, ONE, ONE)
    powers = exponential(t, "starts", *(t.multiply("starts_exponents", x, starts) for x in (rate, angle)))
    re, im = product(t, "starts_gain", powers, system.gain)
    left = t.moved("kernel_left", [re, t.unary("starts_sign", im, "neg")], n, D, 2 * M, note="side by side")
    inner = exponential(
        t, "tokens", *(t.multiply("tokens_exponents", t.view(x, D, M, ONE), tokens) for x in (rate, angle))
    )
    right = t.moved("kernel_right", inner, D, 2 * M, C, note="one below the other")
    return powers, t.view(left, D, n, 2 * M), right


def _convolved(t: Tape, u: Value, left: Value, right: Value) -> Value:
    B, T, D = u.shape
    n, C = left.shape[1], right.shape[2]
    kernel = t.view(t.matmul("kernel", left, right, "powers times gain: the kernel"), D, n * C)
    return fft_convolution(t, t.view(u, D, B, T), t.part(kernel, D, T))


def _halves(t: Tape, x: Value, *shape: Size) -> Pair:
    re, im = t.parts(x, shape, shape)
    return re, im


def _viewed(t: Tape, pair: Pair, *shape: Size) -> Pair:
    return t.view(pair[0], *shape), t.view(pair[1], *shape)
