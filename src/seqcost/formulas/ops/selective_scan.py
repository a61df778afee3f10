"""The selective scan on a tape: twin of `seqcost.layers.ops.selective_scan`, with the same three functions.

FLOPs of the recurrence, a token, a feature of E and a number of N. As it is defined, 6 and an exponential:

    δ A · exp · (δ x) B · decay ⊙ h · + · C h, its sum            7, the product with C as a contraction of 2

The chunked form executes 9 − 2/C and lower terms: every chunk is scanned twice, first from an empty state for its end
(2 less 2/C), then from its true start; and its decay over a whole chunk is carried on (4/C). Backward, everything is
computed anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seqcost.algebra import Size, ceil_div
from seqcost.algebra.work import Kernel
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value
from seqcost.formulas.ops.chunks import walk
from seqcost.formulas.ops.scan import stacked, states

Values = Sequence[Value]


def scan_step(
    t: Tape, x: Value, delta: Value, rate: Value, write: Value, read: Value, state: Value
) -> tuple[Value, Value]:
    """One token: x and δ [B,E], A [N,E], B_t and C_t [B,N], state [B,N,E]."""
    B, E = x.shape
    N = rate.shape[0]
    decay = t.unary("decay", t.multiply("log_decay", t.view(delta, B, ONE, E), rate, "δ A"), "exp")
    driven = t.view(t.multiply("step_input", delta, x, "δ x"), B, ONE, E)
    written = t.multiply("write", t.view(write, B, N, ONE), driven, "B_t (δ x)")
    del driven
    state = t.add("state", t.multiply("fade", decay, state, "decay ⊙ h"), written, "h_t")
    y = t.matmul("read", t.view(read, B, 1, N), state, "C_t h_t")
    return t.view(y, B, E), state


def sequential_scan(
    t: Tape, x: Value, delta: Value, rate: Value, write: Value, read: Value, state: Value
) -> tuple[Value, Value]:
    """A loop of steps: x and δ [B,T,E], B_t and C_t [B,T,N]."""

    def token(before: Values, signals: Values) -> tuple[Values, Values]:
        x, delta, write, read = signals
        y, after = scan_step(t, x, delta, rate, write, read, *before)
        return (after,), (y,)

    (state,), (y,) = walk(t, "join", token, (state,), (x, delta, write, read), 1, note="y of all tokens")
    return y, state


def chunked_scan(
    t: Tape, x: Value, delta: Value, rate: Value, write: Value, read: Value, state: Value, *, C: Size, J: Size
) -> tuple[Value, Value]:
    """Segments of J chunks of C tokens; shapes as in `sequential_scan`. One node, with a backward of its own."""
    z = _Segments(T=x.shape[1], C=C, J=J)
    inputs = [x, delta, rate, write, read, state]
    y, after, starts = z.forward(t, *(t.detach(value) for value in inputs))

    def backward(t: Tape, gs: Any, kept: Any, wanted: Sequence[bool]) -> list[Value | None]:
        return z.backward(t, *gs, *kept[:5], kept[5:])  # type: ignore[call-arg]  # as many as it takes

    keeps = [(value, None) for value in (*inputs[:5], *starts)]
    t.follow("scan", inputs, [y, after], backward, keeps, single=False)
    return y, after


@dataclass(frozen=True, kw_only=True)
class _Segments:
    """T tokens in segments of J chunks of C of them."""

    T: Size
    C: Size
    J: Size

    @property
    def n(self) -> Size:
        """How many there are."""
        return ceil_div(self.T, self.C * self.J)

    def forward(
        self, t: Tape, x: Value, delta: Value, rate: Value, write: Value, read: Value, state: Value
    ) -> tuple[Value, Value, list[Value]]:
        """All results, the last state and, of each segment, the states before its chunks [B,J,N,E]."""
        ys, starts = [], []
        signals = self.cut(t, x, delta, write, read)
        for i in t.loop(self.n):
            segment = [pieces[i] for pieces in signals]
            y, start, state = self.segment(t, segment, rate, state)
            ys.append(y)
            starts.append(start)
        return self.whole(t, "join", ys, "y of all tokens"), state, starts

    def segment(self, t: Tape, signals: Values, rate: Value, state: Value) -> tuple[Value, Value, Value]:
        """What its chunks read, the states before them, and the one after the last."""
        C, J = self.C, self.J
        x, delta, write, read = signals
        decays = t.every(_decay(t, delta, rate), 0)
        written = t.every(_outer(t, "write", write, t.multiply("write", x, delta, "(δ_t x_t) B_t")), 0)
        end = states(t, "ends", t.detach(written[0]), written, decays, C - 1, "every chunk from an empty state")[-1]
        *before, state = states(
            t, "carry", state, t.every(end, 1), t.every(_through(t, delta, rate), 1), J, "from chunk to chunk"
        )
        start = stacked(t, "carry", before, J, 1, "the states before the chunks")
        every = states(t, "states", start, written, decays, C, "every chunk from its true start")[1:]
        every = [stacked(t, "states", every, C, 0)]  # the single states go
        return _sum_n(t, "read", read, every[0], "C_t h_t"), start, state

    def backward(
        self, t: Tape, dy: Value, dstate: Value | None, x: Value, delta: Value, rate: Value, write: Value, read: Value,
        starts: Values,
    ) -> list[Value | None]:  # fmt: skip
        """What each input is given: the same two scans from the other end, everything else computed again."""
        C, J = self.C, self.J
        N, E = starts[0].shape[2:]
        if dstate is None:
            dstate = _zeros(t, "state_backward", t.select(starts[0], 1))
        signals = self.cut(t, x, delta, write, read, dy)
        drate, found = _zeros(t, "rate_backward", rate), []
        for i in t.loop(self.n):
            x_i, delta_i, write_i, read_i, dy_i = (pieces[i] for pieces in signals)
            u, decay = t.multiply("write_again", x_i, delta_i), _decay(t, delta_i, rate, "decay_again")
            decays, written = t.every(decay, 0), t.every(_outer(t, "write_again", write_i, u), 0)
            every = stacked(t, "states_again", states(t, "states_again", starts[i], written, decays, C), C + 1, 0)
            outer = _outer(t, "read_dh", read_i, dy_i, "g C_t: what y gives to its state")
            given, later = t.every(outer, 0), decays if len(decays) > 1 else []
            del outer
            end = states(t, "ends_backward", t.detach(given[0]), given, later, C - 1)[-1]
            front = t.multiply("ends_backward", decays[0], end)
            del end
            through = t.every(_through(t, delta_i, rate, "through_again"), 1)
            *after, dstate = states(t, "carry_backward", dstate, t.every(front, 1), through, J)
            last = t.add("carry_backward", given[0], stacked(t, "carry_backward", after, J, 1))
            del after
            dh = stacked(t, "states_backward", states(t, "states_backward", last, given, later, C - 1), C, 0)
            du = _sum_n(t, "write_dx", write_i, dh, "B_t dh_t: of δ x")
            dwrite = _sum_e(t, "write_db", dh, u, "dh_t (δ x): of B_t")
            dread = _sum_e(t, "read_dc", t.part(every, C, *dh.shape[1:]), dy_i, "h_t g: of C_t")
            dlog = _times(t, "decay_backward", dh, decay, t.part(every, C, *dh.shape[1:]))
            drate = t.add(
                "rate_backward", drate, _summed(t, "rate_backward", dlog, t.view(delta_i, *_row(delta_i)), (N, E))
            )
            of_decay = _summed(t, "delta_backward", dlog, rate, delta_i.shape)
            ddelta = t.add("product_backward", of_decay, t.multiply("product_backward", du, x_i))
            del of_decay
            found.append((t.multiply("product_backward", du, delta_i), ddelta, dwrite, dread))
        dx, ddelta, dwrite, dread = (
            self.whole(t, "join_backward", list(pieces)) for pieces in zip(*found, strict=True)
        )
        return [dx, ddelta, drate, dwrite, dread, dstate]

    def cut(self, t: Tape, *sequences: Value) -> list[list[Value]]:
        """Each [B,T,K] cut into segments [C,B,J,K], the last one filled up with zeros."""
        return [t.every(self._turned(t, z), 0) for z in sequences]

    def _turned(self, t: Tape, z: Value) -> Value:
        (B, _, K), n = z.shape, self.n
        filled = t.pad("segments", z, B, n * self.C * self.J, K, note="filled up to whole segments")
        filled = t.view(filled, B, n, self.J, self.C, K)
        return t.copy("segments", t.transpose(filled, 1, 3, 0, 2, 4), note="chunk beside chunk")

    def whole(self, t: Tape, name: str, pieces: list[Value], note: str = "") -> Value:
        """Segments [C,B,J,K] joined to [B,T,K] without what was filled up."""
        return self._joined(t, name, t.stack(name, pieces, self.n, axis=0, note=note), note)

    def _joined(self, t: Tape, name: str, y: Value, note: str) -> Value:
        n, C, B, J, K = y.shape
        turned = t.copy(name, t.transpose(y, 2, 0, 3, 1, 4), note=note)
        return t.part(t.view(turned, B, n * J * C, K), B, self.T, K)


def _row(x: Value) -> tuple[Size, ...]:
    """[C,B,J,E] beside N numbers: [C,B,J,1,E]."""
    return (*x.shape[:3], ONE, x.shape[3])


def _decay(t: Tape, delta: Value, rate: Value, name: str = "decay") -> Value:
    """exp(δ_t A) of every token: [C,B,J,N,E]."""
    return t.into(name, t.multiply(name, t.view(delta, *_row(delta)), rate, "δ_t A"), "exp", "exp(δ_t A)")


def _through(t: Tape, delta: Value, rate: Value, name: str = "through") -> Value:
    """The decay over a whole chunk: [B,J,N,E]."""
    return t.into(name, t.multiply(name, _total(t, name, delta), rate, "A Σ δ"), "exp", "the decay over a whole chunk")


def _total(t: Tape, name: str, delta: Value) -> Value:
    _, B, J, E = delta.shape
    return t.view(t.reduced(name, delta, (B, J, E), "Σ δ over a chunk"), B, J, ONE, E)


def _outer(t: Tape, name: str, n: Value, e: Value, note: str = "(δ_t x_t) B_t") -> Value:
    return t.multiply(name, t.view(n, *n.shape, ONE), t.view(e, *_row(e)), note)


def _sum_n(t: Tape, name: str, weights: Value, h: Value, note: str) -> Value:
    """Σ_n w_n h_n: [C,B,J,E]."""
    C, B, J, N, E = h.shape
    Z = C * B * J
    return t.view(t.matmul(name, t.view(weights, Z, 1, N), t.view(h, Z, N, E), note), C, B, J, E)


def _sum_e(t: Tape, name: str, h: Value, weights: Value, note: str) -> Value:
    """Σ_e h_e w_e: [C,B,J,N]."""
    C, B, J, N, E = h.shape
    Z = C * B * J
    return t.view(t.matmul(name, t.view(h, Z, N, E), t.view(weights, Z, E, 1), note), C, B, J, N)


def _times(t: Tape, name: str, first: Value, *others: Value) -> Value:
    """The product in the memory of the first."""
    for other in others:
        first = t.in_place(name, first, [other], 1, operator="mul", backward=_none, note="dh_t ⊙ decay ⊙ h_{t−1}")
    return first


def _none(t: Tape, g: Value, kept: Values, wanted: Sequence[bool]) -> list[Value | None]:
    return [None for _ in wanted]


def _summed(t: Tape, name: str, a: Value, b: Value, shape: Sequence[Size]) -> Value:
    return t.reduced(name, t.multiply(name, a, b), shape)


def _zeros(t: Tape, name: str, like: Value) -> Value:
    return t.kernel(
        name,
        Kernel.FILL,
        [like],
        like.shape,
        operator="zeros_like",
        reads=[0],
        itemsize=like.storage.itemsize,
        note="0",
    )
