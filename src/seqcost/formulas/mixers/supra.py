"""SUPRA: a pretrained Transformer's attention made linear, its projections kept and uptrained.

Queries and keys, all heads together, go through one more learned layer with a ReLU and then take rotary positions;
the memory fades at a fixed rate per head, and a GroupNorm of each head stands where the normaliser was, which made
training unstable. With fewer key heads than query heads the keys have a feature layer of their own.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from seqcost.algebra import Bill, Kind, Size, ceil_div
from seqcost.formulas.core.component import Component, check_sizes, differ, exact_div
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.gated_linear_attention import gated_linear_attention, gated_linear_attention_step
from seqcost.formulas.ops.rotary import rotary, rotary_tables
from seqcost.formulas.ops.row_norms import group_norm
from seqcost.formulas.parts.chunk import check_chunks
from seqcost.formulas.parts.heads import fill_heads

Decay = Literal["alibi", "retnet", "none"]


@dataclass(frozen=True, kw_only=True)
class Supra(Component):
    """GroupNorm(Σ γ^(t−s) (φ(q_t) · φ(k_s)/√K) v_s) W_o with φ(x) = RoPE(relu(A x + a)).

    D width · H query heads · G key/value heads (default H) · K width of a query/key head (default D/H), even · V width
    of a value head (default K) · C tokens in a chunk. `decay` gives γ: "alibi" exp(−2^(−8h/H)), "retnet" 1 − 2^(−5−h),
    or "none".
    """

    SOURCE: ClassVar[str] = "Mercat et al. 2024, arXiv 2405.06640, section 3, and its code TRI-ML/linear_open_lm"
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"\phi(x) = \mathrm{RoPE}(\mathrm{relu}(A x + a)),\quad q = \phi(x W_q),\quad k = \phi(x W_k)/\sqrt{K}",
        r"S_t = \gamma S_{t-1} + k_t v_t^\top,\quad v = x W_v",
        r"y_t = \mathrm{GroupNorm}_H(S_t^\top q_t)\, W_o",
    )

    D: Size
    H: Size
    G: Size = None
    K: Size = None
    V: Size = None
    C: Size = 64
    decay: Decay = "alibi"
    rope_base: float = 10000.0
    epsilon: float = 1e-5  # of the GroupNorm

    def __post_init__(self) -> None:
        check_sizes(self, "D", "H")
        check_chunks(self, "C")
        fill_heads(self)
        exact_div(self.K, 2, "rotary positions: head width K")

    @property
    def grouped(self) -> bool:
        """Whether there are fewer key/value heads than query heads."""
        return differ(self.G, self.H)

    @property
    def multiplies_masked(self) -> bool:
        return True

    def params(self) -> Bill:
        D, H, G, K, V = self.D, self.H, self.G, self.K, self.V
        weights = {
            "query": (D * H * K, "W_q"),
            "key": (D * G * K, "W_k"),
            "value": (D * G * V, "W_v"),
            "feature": (H * K * H * K, "A"),
            "feature_bias": (H * K, "a"),
            "output": (H * V * D, "W_o"),
        }
        if self.grouped:
            weights |= {"key_feature": (G * K * G * K, "A of the keys"), "key_feature_bias": (G * K, "a of the keys")}
        return Bill.of(Kind.PARAMETERS, **weights)

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        B, T, H, K, V = t.run.B, t.run.T, self.H, self.K, self.V
        state = t.state("state", B, H, K, V, itemsize=t.wide)
        decay = None if self.decay == "none" else t.buffer(H, itemsize=t.wide)
        q, k, v = self._heads(t, x)
        if t.run.stepping:
            q, k, v = t.view(q, B, H, K), t.view(k, B, H, K), t.view(v, B, H, V)
            y, after = gated_linear_attention_step(t, q, k, v, state, decay)
            y = t.view(y, B, T, H, V)
        else:
            y, after = gated_linear_attention(t, q, k, v, state, C=self.C, gate=decay)
        t.carry(after)
        normal = t.view(t.working("output_cast", group_norm(t, "group_norm", y)), B, T, H * V)
        return t.linear("project_output", normal, self.D, bias=False, note="y W_o")

    def _heads(self, t: Tape, x: Value) -> tuple[Value, Value, Value]:
        """φ(q), φ(k)/√K and v, as many heads each."""
        B, T, _ = x.shape
        H, G, K, V = self.H, self.G, self.K, self.V
        weights = t.weight(H * K, H * K), t.weight(H * K)
        key_weights = (t.weight(G * K, G * K), t.weight(G * K)) if self.grouped else weights

        def feature(name: str, heads: Size, weight: Value, bias: Value) -> Value:
            y = t.linear(f"project_{name}", x, heads * K, bias=False, note=f"x W_{name[0]}")
            y = t.linear(f"feature_{name}", y, heads * K, weight=weight, shift=bias, note="A x + a, all heads together")
            return t.view(t.unary(f"feature_{name}_relu", y, "relu"), B, T, heads, K)

        q_BTHK = feature("query", H, *weights)
        k_BTGK = t.unary("key_scale", feature("key", G, *key_weights), "scale", "k/√K")
        v_BTGV = t.view(t.linear("project_value", x, G * V, bias=False, note="x W_v"), B, T, G, V)
        cos, sin = rotary_tables(t, T, K)
        q, k = rotary(t, "rope_query", q_BTHK, cos, sin), rotary(t, "rope_key", k_BTGK, cos, sin)
        if not self.grouped:
            return q, k, v_BTGV
        return q, self._repeated(t, "key", k), self._repeated(t, "value", v_BTGV)

    def _repeated(self, t: Tape, name: str, x: Value) -> Value:
        """Each key/value head once for every query head of its group."""
        B, T, G, width = x.shape
        group = exact_div(self.H, G, "query heads H over key/value heads G")
        shown = t.expand(f"{name}_repeat", t.view(x, B, T, G, ONE, width), B, T, G, group, width)
        return t.view(t.copy(f"{name}_repeat", shown, note="a head for each query head"), B, T, self.H, width)

    def state_bytes(self, run: Workload) -> Bill:
        return Bill.of(Kind.STATE, state=(run.B * self.H * self.K * self.V * run.state_itemsize, "S = Σ γ^(t−s) k vᵀ"))

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, chunks=(ceil_div(run.T, self.C), "the state passes through every chunk"))
