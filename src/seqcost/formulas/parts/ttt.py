"""Test-time training: what TTT-Linear and TTT-MLP have in common, which is all but the shape of the inner model.

The hidden state of a head is a model f that learns while the sequence is read. A whole sequence runs in mini-batches
of C tokens (the dual form, the last one filled up), a decoding step in the primal form; a step costs the same at every
place in the mini-batch. The counts of several tokens are those from an empty state, or one whose mini-batch has closed.

Fewer FLOPs than the papers' count: the bias of an affine layer shares the product of its weights, since both are in
Σ t r (h·X + 1) g.

Not covered: the backward pass with C = 1, where autograd leaves out sums over the single token; the convolutions and
shared queries and keys of the paper's Mamba backbone.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from seqcost.algebra import Bill, Kind, Size, ceil_div
from seqcost.algebra.expr import halve
from seqcost.errors import BadSize
from seqcost.formulas.core import pointwise
from seqcost.formulas.core.component import check_sizes, exact_div
from seqcost.formulas.core.operator import Operator
from seqcost.formulas.core.program import Program
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value, product
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops import ttt
from seqcost.formulas.ops.chunks import chunked, joined
from seqcost.formulas.ops.rotary import rotary, rotary_tables
from seqcost.formulas.parts.heads import fill_heads


@dataclass(frozen=True, kw_only=True)
class Ttt(Program):
    """Base of the layers whose state learns; letters: see there."""

    D: Size
    H: Size
    K: Size = None
    C: Size = 16
    base_rate: float = 1.0
    gate: bool = False
    rope_base: float = 10000.0
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        check_sizes(self, "D", "H", "C")
        fill_heads(self)
        exact_div(self.K, 2, "RoPE: head width K")
        if not self.base_rate > 0:
            raise BadSize(f"{type(self).__name__}: base_rate = {self.base_rate!r} was given; give a number above 0.")

    @property
    @abstractmethod
    def inner(self) -> tuple[tuple[str, Size, Size], ...]:
        """The affine layers of f: name, width in, width out."""

    @property
    def multiplies_masked(self) -> bool:
        return True

    def params(self) -> Bill:
        D, H, K = self.D, self.H, self.K
        weights = {
            "query": (D * H * K, "W_q"),
            "key": (D * H * K, "W_k"),
            "value": (D * H * K, "W_v"),
            "rate": (D * H, "W_r"),
            "rate_bias": (H, "b_r"),
            "place_rate": (self.C, "τ of each place in the mini-batch"),
        }
        for name, read, given in self.inner:
            weights |= {
                name: (H * read * given, "W of f at the start"),
                f"{name}_bias": (H * given, "b of f at the start"),
            }
        weights |= {
            "gain": (H * K, "γ of the inner norm"),
            "shift": (H * K, "β of the inner norm"),
            "post_norm": (H * K, "γ of the outer norm"),
            "post_norm_bias": (H * K, "β of the outer norm"),
            "output": (H * K * D, "W_o"),
        }
        if self.gate:
            weights["gate"] = (D * H * K, "W_g")
        return Bill.of(Kind.PARAMETERS, **weights)

    def program(self, t: Tape, x: Value, source: Value | None) -> Value:
        B, T, D = x.shape
        H, K = self.H, self.K
        gain, shift = t.weight(H, K), t.weight(H, K)
        tokens, rule = self._prepared(t, x, gain, shift)
        z = self._learned(t, tokens, rule)
        _, n, C, _ = z.shape
        gain, shift = (t.view(t.float32("answer", v), H, ONE, ONE, K) for v in (gain, shift))
        y = t.view(_normalised(t, "inner_norm", z, note="LN(f(q))"), B, H, n, C, K)
        y = t.add("answer", t.multiply("answer", y, gain, "q + γ ⊙ … + β"), shift)
        y = t.working("answer", t.add("answer", y, t.view(tokens.q, B, H, n, C, K)))
        y = t.view(joined(t, "join", t.view(y, B * H, n, C, K), B, T, H), B, T, H * K)
        y = _normalised(t, "post_norm", y, t.weight(H * K), t.weight(H * K), note="LayerNorm over all heads")
        if self.gate:
            gate = t.unary("gate_gelu", t.linear("gate", x, H * K, bias=False, note="x W_g"), "gelu-tanh")
            y = t.multiply("gated", gate, y)
        return t.linear("output", y, D, bias=False, note="y W_o")

    def _prepared(self, t: Tape, x: Value, gain: Value, shift: Value) -> tuple[ttt.Tokens, ttt.Rule]:
        """Queries, keys, targets and rates in mini-batches."""
        B, T, _ = x.shape
        H, K = self.H, self.K
        C = ONE if t.run.stepping else self.C
        q, k, v = (
            t.float32(name, chunked(t, name, t.view(t.linear(name, x, H * K, bias=False), B, T, H, K), C))
            for name in ("query", "key", "value")
        )
        cos, sin = (t.view(table, C, halve(K)) for table in rotary_tables(t, C, K, wide=True))
        q, k = rotary(t, "rope_query", q, cos, sin), rotary(t, "rope_key", k, cos, sin)
        rate = t.float32("rate", t.linear("rate", x, H, note="x W_r + b_r: how fast each token is learned"))
        rate = t.unary("rate_scale", t.unary("rate_sigmoid", rate, "sigmoid"), "scale", "η/K σ(…)")
        rate = chunked(t, "rate", t.view(rate, B, T, H, ONE), C)
        n = rate.shape[1]
        gain, shift = t.float32("target", gain), t.float32("target", shift)
        error = t.view(t.subtract("target", k, v, "(k − v + β) ⊙ γ"), B, H, n, C, K)
        error = t.add("target", error, t.view(shift, H, ONE, ONE, K))
        error = t.multiply("target", error, t.view(gain, H, ONE, ONE, K))
        scale = t.expand("scale", t.unary("scale", gain, "square", "γ²"), B, H, ONE, K)
        scale = t.moved("scale", [scale], B, H, ONE, K)
        tokens = ttt.Tokens(q, k, t.view(error, B * H, n, C, K), rate)
        return tokens, ttt.Rule(t.view(scale, B * H, ONE, K), self._falls(t))

    def _falls(self, t: Tape) -> Value:
        """−t of each place in the mini-batch."""
        name = "place_rates"
        own = t.unary(name, t.constant(name, self.C, itemsize=t.wide), "reciprocal", "−max(0, 1/i + τ_i)")
        summed = t.add(name, own, t.float32(name, t.weight(self.C)))
        return t.unary(name, t.unary(name, summed, "relu"), "neg")

    def _learned(self, t: Tape, tokens: ttt.Tokens, rule: ttt.Rule) -> Value:
        """f(q_i; W_i) of every token."""
        if t.run.stepping:
            rule = rule._replace(fall=t.part(rule.fall, ONE))
            return ttt.one_token(t, self._carried(t), self._carried(t), tokens, rule)
        z, inner, seen = ttt.mini_batches(t, self._carried(t) if t.run.started else self._start(t), tokens, rule)
        if t.run.started:  # the state that is handed on
            Z, _, C, _ = tokens.rate.shape
            sums = ttt.sum_gradients(t, "sum_gradients", seen, t.part(tokens.rate, Z, C, ONE))
            ttt.fallen(t, inner, sums, t.part(rule.fall, ONE))
        return z

    def _carried(self, t: Tape) -> ttt.Inner:
        Z = t.run.B * self.H
        return [
            (t.state("start", Z, read, given, itemsize=t.wide), t.state("start", Z, ONE, given, itemsize=t.wide))
            for _, read, given in self.inner
        ]

    def _start(self, t: Tape) -> ttt.Inner:
        """The learned f, once a sequence."""
        B, H = t.run.B, self.H

        def copies(read: Size, given: Size) -> Value:
            weight = t.expand("start", t.float32("start", t.weight(H, read, given)), B, H, read, given)
            return t.view(t.moved("start", [weight], B, H, read, given, note="W and b of f"), B * H, read, given)

        return [(copies(read, given), copies(ONE, given)) for _, read, given in self.inner]

    def state_bytes(self, run: Workload) -> Bill:
        size = run.B * self.H * run.state_itemsize * sum((read + 1) * given for _, read, given in self.inner)
        return Bill.of(
            Kind.STATE,
            weights=(size, "f at the beginning of the mini-batch"),
            sums=(size, "its gradients since then, times the tokens' rates"),
        )

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, learning=(ceil_div(run.T, self.C), "from mini-batch to mini-batch through W"))


def _normalised(t: Tape, name: str, x: Value, *gains: Value, note: str = "") -> Value:
    """LayerNorm over the last axis in one kernel, with a gain and a shift or with neither."""
    *front, _ = x.shape
    rows, n = product(front), x.numel
    forward, weights = pointwise.NORM, 0
    if gains:
        forward += pointwise.SCALE + pointwise.SHIFT
        weights = pointwise.SCALE_BACKWARD + pointwise.SHIFT_BACKWARD

    def backward(wanted: Sequence[bool]) -> list[Operator]:
        return [Operator(name=f"{name}_dx", pointwise=n * (wanted[0] * pointwise.NORM_BACKWARD + weights))]

    y = t.operator(
        name, [x, *gains], x.shape, (rows,), (rows,), pointwise=forward * n, backward=backward, keeps=[(x, None)],
        itemsize=x.storage.itemsize, note=note,
    )  # fmt: skip
    t.keep_besides(f"{name}_statistics", 2 * rows, x.storage.itemsize)
    return y
