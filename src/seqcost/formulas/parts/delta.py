"""What the layers with a delta rule have in common: projection, short convolution, norms, the rule itself, output.

Queries, keys and values go through one projection and one convolution; keys and queries are brought to length 1 in
float32 at least, and so is the state kept.
"""

from dataclasses import dataclass

from seqcost.algebra import Bill, Kind, Size, ceil_div
from seqcost.formulas.core.component import Component, check_sizes
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.delta_rule import delta_rule, delta_rule_step
from seqcost.formulas.ops.row_norms import l2_norm, rms_norm
from seqcost.formulas.ops.short_conv import short_conv
from seqcost.formulas.parts.heads import fill_heads


@dataclass(frozen=True, kw_only=True)
class Delta(Component):
    """D width · H heads · K width of a key (default D/H) · V of a value (default K) · C chunk · k taps."""

    D: Size
    H: Size
    K: Size = None
    V: Size = None
    C: Size = 64
    k: Size = 4
    epsilon: float = 1e-5  # of the norm of the outputs

    def __post_init__(self) -> None:
        check_sizes(self, "D", "H", "C", "k")
        fill_heads(self)

    @property
    def features(self) -> Size:
        """What the convolution sees: queries, keys and values side by side."""
        return self.H * (2 * self.K + self.V)

    def log_decay(self, t: Tape, x: Value) -> Value | None:
        """Logarithm of the state's decay [B,T,H]; None where it does not decay."""
        return None

    def gated(self, t: Tape, x: Value, y: Value) -> Value:
        """The normalised outputs [B,T,H·V] on their way out."""
        return y

    @property
    def multiplies_masked(self) -> bool:
        return True

    def params(self) -> Bill:
        return Bill.of(
            Kind.PARAMETERS,
            query_key_value=(self.D * self.features, "W_q, W_k, W_v"),
            conv=(self.features * self.k, "k taps a feature"),
            beta=(self.D * self.H, "W_β"),
            gain=(self.V, "γ"),
            output=(self.H * self.V * self.D, "W_o"),
        )

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        B = t.run.B
        S_BHKV = t.state("state", B, self.H, self.K, self.V, itemsize=t.wide)
        past_BkE = t.state("past", B, self.k - 1, self.features)
        return self._mixed(t, x, S_BHKV, past_BkE)

    def _mixed(self, t: Tape, x: Value, S_BHKV: Value, past_BkE: Value) -> Value:
        B, T, _ = x.shape
        features, note = self.features, "x W_q, x W_k, x W_v side by side"
        qkv, past = short_conv(
            t, "conv", t.linear("query_key_value", x, features, bias=False, note=note), self.k, past_BkE, bias=False
        )
        q, k, v, beta = self._keys(t, x, qkv)
        log_decay = self.log_decay(t, x)
        if t.run.stepping:
            token = [None if value is None else t.select(value, 1) for value in (q, k, v, beta, log_decay)]
            y, after = delta_rule_step(t, *token, S_BHKV)  # type: ignore[call-arg,arg-type]  # only a decay may be None
            y = t.view(y, B, T, self.H, self.V)
        else:
            y, after = delta_rule(t, q, k, v, beta, log_decay, S_BHKV, self.C)
        t.carry(after, past)
        return self._out(t, x, y)

    def _keys(self, t: Tape, x: Value, qkv: Value) -> tuple[Value, Value, Value, Value]:
        B, T, _ = x.shape
        H, K, V = self.H, self.K, self.V

        def apart() -> list[Value]:
            return t.parts(t.unary("silu", qkv, "silu"), (B, T, H * K), (B, T, H * K), (B, T, H * V))

        q, k, v = apart()
        q_BTHK = l2_norm(t, "query_norm", t.view(t.float32("query_float32", q), B, T, H, K))
        k_BTHK = l2_norm(t, "key_norm", t.view(t.float32("key_float32", k), B, T, H, K))
        v_BTHV = t.view(v, B, T, H, V)
        beta = t.unary("beta_sigmoid", t.linear("beta", x, H, bias=False, note="x W_β"), "sigmoid")
        return q_BTHK, k_BTHK, v_BTHV, beta

    def _out(self, t: Tape, x: Value, y: Value) -> Value:
        y = t.multiply("gain", t.working("norm_working", rms_norm(t, "norm", y)), t.weight(self.V), "γ ⊙")
        B, T, H, V = y.shape
        return t.linear("output", self.gated(t, x, t.view(y, B, T, H * V)), self.D, bias=False, note="y W_o")

    def state_bytes(self, run: Workload) -> Bill:
        return Bill.of(
            Kind.STATE,
            state=(run.B * self.H * self.K * self.V * run.state_itemsize, "S of each head"),
            past=(run.B * (self.k - 1) * self.features * run.itemsize, "k − 1 inputs of the convolution"),
        )

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, chunks=(ceil_div(run.T, self.C), "the state goes from chunk to chunk"))
