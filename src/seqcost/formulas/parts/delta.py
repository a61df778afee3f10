"""What the layers with a delta rule have in common: projection, short convolution, norms, the rule itself, output.

Queries, keys and values go through one projection and one convolution; keys and queries are brought to length 1 in
float32 at least, and so is the state kept.
"""

from dataclasses import dataclass

from seqcost.algebra import Bill, Kind, Size, ceil_div
from seqcost.formulas.core.component import check_sizes
from seqcost.formulas.core.program import Program
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.delta_rule import delta_rule, delta_rule_step
from seqcost.formulas.ops.row_norms import l2_norm, rms_norm
from seqcost.formulas.ops.short_conv import short_conv
from seqcost.formulas.parts.heads import fill_heads


@dataclass(frozen=True, kw_only=True)
class Delta(Program):
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

    def program(self, t: Tape, x: Value, source: Value | None) -> Value:
        B, T, H, K, V = *x.shape[:2], self.H, self.K, self.V
        state = t.state("state", B, H, K, V, itemsize=t.wide)
        past = t.state("past", B, self.k - 1, self.features)
        qkv = t.linear("query_key_value", x, self.features, bias=False, note="x W_q, x W_k, x W_v side by side")
        qkv = t.unary("silu", short_conv(t, "conv", qkv, self.k, past, bias=False)[0], "silu")
        q, k, v = t.parts(qkv, (B, T, H * K), (B, T, H * K), (B, T, H * V))
        q = l2_norm(t, "query_norm", t.float32("query_float32", t.view(q, B, T, H, K)))
        k = l2_norm(t, "key_norm", t.float32("key_float32", t.view(k, B, T, H, K)))
        v = t.view(v, B, T, H, V)
        beta = t.unary("beta_sigmoid", t.linear("beta", x, H, bias=False, note="x W_β"), "sigmoid")
        log_decay = self.log_decay(t, x)
        if t.run.stepping:
            q, k, v, beta = t.view(q, B, H, K), t.view(k, B, H, K), t.view(v, B, H, V), t.view(beta, B, H)
            log_decay = None if log_decay is None else t.view(log_decay, B, H)
            y, _ = delta_rule_step(t, q, k, v, beta, log_decay, state)
            y = t.view(y, B, T, H, V)
        else:
            y, _ = delta_rule(t, q, k, v, beta, log_decay, state, self.C)
        y = t.working("norm_working", rms_norm(t, "norm", y))
        y = t.view(t.multiply("gain", y, t.weight(V), note="γ ⊙"), B, T, H * V)
        return t.linear("output", self.gated(t, x, y), self.D, bias=False, note="y W_o")

    def state_bytes(self, run: Workload) -> Bill:
        return Bill.of(
            Kind.STATE,
            state=(run.B * self.H * self.K * self.V * run.state_itemsize, "S of each head"),
            past=(run.B * (self.k - 1) * self.features * run.itemsize, "k − 1 inputs of the convolution"),
        )

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, chunks=(ceil_div(run.T, self.C), "the state goes from chunk to chunk"))
