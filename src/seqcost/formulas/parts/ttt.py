"""Test-time training: what TTT-Linear and TTT-MLP have in common, which is all but the shape of the inner model.

The hidden state of a head is a model f that learns while the sequence is read. A whole sequence runs in mini-batches
of C tokens (the dual form, the last one filled up), a decoding step in the primal form; a step costs the same at every
place in the mini-batch. The counts of several tokens are those from an empty state, or one whose mini-batch has closed.

Fewer FLOPs than the papers' count: the bias of an affine layer shares the product of its weights, since both are in
Σ t r (h·X + 1) g.

Not covered: the convolutions and shared queries and keys of the paper's Mamba backbone.
"""

from abc import abstractmethod
from dataclasses import dataclass

from seqcost.algebra import Bill, Kind, Size, ceil_div
from seqcost.algebra.expr import halve
from seqcost.errors import BadSize
from seqcost.formulas.core.component import Component, check_sizes, exact_div
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops import ttt
from seqcost.formulas.ops.chunks import chunked, joined
from seqcost.formulas.ops.rotary import rotary, rotary_tables
from seqcost.formulas.ops.row_norms import layer_norm
from seqcost.formulas.parts.heads import fill_heads


@dataclass(frozen=True, kw_only=True)
class Ttt(Component):
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

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        if t.run.stepping:
            return self._step(t, x)
        if t.run.started:
            return self._extended(t, x)
        norm = t.weight(self.H, self.K), t.weight(self.H, self.K)
        tokens, rule = self._prepared(t, x, self.C, norm)
        z_ZnCK, *_last = ttt.mini_batches(t, self._start(t), tokens, rule)
        return self._output(t, x, self._answers(t, tokens, z_ZnCK, x, norm))

    def _extended(self, t: Tape, x: Value) -> Value:
        """What an empty state, or one whose mini-batch has closed, is given."""
        before, _ = self._given(t)
        norm = t.weight(self.H, self.K), t.weight(self.H, self.K)
        tokens, rule = self._prepared(t, x, self.C, norm)
        z_ZnCK, inner, seen = ttt.mini_batches(t, before, tokens, rule)
        y_BTHK = self._answers(t, tokens, z_ZnCK, x, norm)
        sums = ttt.sum_gradients(t, "sum_gradients", seen, t.select(tokens.rate, 1))
        after = ttt.fallen(t, inner, sums, t.part(rule.fall, ONE))
        inner = self._begins_with(t, inner, after)
        self._hand_on(t, inner, sums)
        return self._output(t, x, y_BTHK)

    def _step(self, t: Tape, x: Value) -> Value:
        inner, sums = self._given(t)
        norm = t.weight(self.H, self.K), t.weight(self.H, self.K)
        tokens, rule = self._prepared(t, x, ONE, norm)
        z_ZnCK, sums, after = ttt.one_token(t, inner, sums, tokens, rule)
        y = self._output(t, x, self._answers(t, tokens, z_ZnCK, x, norm))
        self._hand_on(t, self._begins_with(t, inner, after), sums)
        return y

    def _begins_with(self, t: Tape, inner: ttt.Inner, after: ttt.Inner) -> ttt.Inner:
        """The inner model that the open mini-batch began with, or the next one will."""
        place = (t.run.P + t.run.T) % self.C
        return after if isinstance(place, int) and place == 0 else inner

    def _hand_on(self, t: Tape, inner: ttt.Inner, sums: ttt.Inner) -> None:
        for pair in (*inner, *sums):
            t.carry(*pair)

    def _prepared(self, t: Tape, x: Value, C: Size, norm: tuple[Value, Value]) -> tuple[ttt.Tokens, ttt.Rule]:
        """Queries, keys, targets and rates in mini-batches of C."""
        B, T, _ = x.shape
        H, K = self.H, self.K
        q, k, v = (
            t.float32(name, chunked(t, name, t.view(t.linear(name, x, H * K, bias=False), B, T, H, K), C))
            for name in ("query", "key", "value")
        )
        cos, sin = (t.view(table, C, halve(K)) for table in rotary_tables(t, C, K, wide=True))
        q, k = rotary(t, "rope_query", q, cos, sin), rotary(t, "rope_key", k, cos, sin)

        def learned() -> Value:
            rate = t.float32("rate", t.linear("rate", x, H, note="x W_r + b_r: how fast each token is learned"))
            return t.unary("rate_sigmoid", rate, "sigmoid")

        rate_BTH = t.unary("rate_scale", learned(), "scale", "η/K σ(…)")
        gain_HK, shift_HK = t.float32("target", norm[0]), t.float32("target", norm[1])
        Z, n, *_ = q.shape
        difference = t.view(t.subtract("target", k, v, "(k − v + β) ⊙ γ"), B, H, n, C, K)
        error = t.add("target", difference, t.view(shift_HK, H, ONE, ONE, K))
        del difference
        square = t.view(t.unary("scale", gain_HK, "square", "γ²"), H, ONE, K)
        scale = t.copy("scale", t.expand("scale", square, B, H, ONE, K))
        del square
        offset = t.multiply("target", error, t.view(gain_HK, H, ONE, ONE, K))
        tokens = ttt.Tokens(
            q, k, t.view(offset, Z, n, C, K), chunked(t, "rate", t.view(rate_BTH, B, T, H, ONE), C)
        )  # fmt: skip
        return tokens, ttt.Rule(t.view(scale, Z, ONE, K), t.part(self._falls(t), C, name="places"))

    def _falls(self, t: Tape) -> Value:
        """−t of each place in the mini-batch."""
        name = "place_rates"
        own = t.unary(
            name, t.constant(name, self.C, operator="arange", itemsize=t.wide), "reciprocal", "−max(0, 1/i + τ_i)"
        )

        def summed() -> Value:
            return t.add(name, own, t.float32(name, t.weight(self.C)))

        return t.unary(name, t.unary(name, summed(), "relu"), "neg")

    def _answers(self, t: Tape, tokens: ttt.Tokens, z_ZnCK: Value, x: Value, norm: tuple[Value, Value]) -> Value:
        """The query and LN(f(q)), added and back in [B,T,H,K]."""
        B, T, _ = x.shape
        Z, n, C, K = z_ZnCK.shape
        H = self.H
        normal = t.view(layer_norm(t, "inner_norm", z_ZnCK, note="LN(f(q))"), B, H, n, C, K)
        gain, shift = (t.view(t.float32("answer", v), H, ONE, ONE, K) for v in norm)

        def shifted() -> Value:
            return t.add("answer", t.multiply("answer", normal, gain, "q + γ ⊙ … + β"), shift)

        y = t.add("answer", shifted(), t.view(tokens.q, B, H, n, C, K))
        return joined(t, "join", t.working("answer", t.view(y, Z, n, C, K)), B, T, H)

    def _output(self, t: Tape, x: Value, y_BTHK: Value) -> Value:
        B, T, H, K = y_BTHK.shape
        width = H * K
        weights = t.weight(width), t.weight(width)
        y = layer_norm(t, "post_norm", t.view(y_BTHK, B, T, width), *weights, note="LayerNorm over all heads")
        if not self.gate:
            return t.linear("output", y, self.D, bias=False, note="y W_o")
        gate = t.unary("gate_gelu", t.linear("gate", x, width, bias=False, note="x W_g"), "gelu-tanh")
        gated = t.multiply("gated", gate, y)
        del gate
        return t.linear("output", gated, self.D, bias=False, note="y W_o")

    def _given(self, t: Tape) -> tuple[ttt.Inner, ttt.Inner]:
        """The state; the learned f is there besides, and nobody reads it."""
        for _, read, given in self.inner:
            t.weight(self.H, read, given), t.weight(self.H, ONE, given)
        return self._carried(t), self._carried(t)

    def _carried(self, t: Tape) -> ttt.Inner:
        """F of every head, or its sums."""
        Z = t.run.B * self.H
        return [
            (t.state("start", Z, read, given, itemsize=t.wide), t.state("start", Z, ONE, given, itemsize=t.wide))
            for _, read, given in self.inner
        ]

    def _start(self, t: Tape) -> ttt.Inner:
        """The learned f, once a sequence."""
        B, H = t.run.B, self.H

        def copies(read: Size, given: Size) -> Value:
            weight = t.float32("start", t.weight(H, read, given))
            one_each = t.copy("start", t.expand("start", weight, B, H, read, given), note="W and b of f")
            return t.view(one_each, B * H, read, given)

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
