"""SUPRA: a pretrained Transformer's attention made linear, its projections kept and uptrained.

Queries and keys, all heads together, go through one more learned layer with a ReLU and then take rotary positions;
the memory fades at a fixed rate a head, and a GroupNorm of each head stands where the normaliser was, which made
training unstable. With fewer key heads than query heads the keys have a feature layer of their own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from seqcost.algebra import Bill, Kind, Size, ceil_div
from seqcost.formulas.core.component import check_sizes, differ, exact_div
from seqcost.formulas.core.operator import Operator
from seqcost.formulas.core.program import Program
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value, product
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.gated_linear_attention import gated_linear_attention, gated_linear_attention_step
from seqcost.formulas.ops.rotary import rotary, rotary_tables
from seqcost.formulas.ops.row_norms import group_norm
from seqcost.formulas.parts.chunk import check_chunks
from seqcost.formulas.parts.heads import fill_heads

Decay = Literal["alibi", "retnet", "none"]


@dataclass(frozen=True, kw_only=True)
class Supra(Program):
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

    def program(self, t: Tape, x: Value, source: Value | None) -> Value:
        B, T, H, G, K, V = t.run.B, t.run.T, self.H, self.G, self.K, self.V
        q = t.linear("project_query", x, H * K, bias=False, note="x W_q")
        k = t.linear("project_key", x, G * K, bias=False, note="x W_k")
        v = t.view(t.linear("project_value", x, G * V, bias=False, note="x W_v"), B, T, G, V)
        weights = t.weight(H * K, H * K), t.weight(H * K)
        key_weights = (t.weight(G * K, G * K), t.weight(G * K)) if self.grouped else weights
        tables = rotary_tables(t, T, K)
        q = t.view(_feature(t, "feature_query", q, *weights), B, T, H, K)
        k = t.view(_feature(t, "feature_key", k, *key_weights), B, T, G, K)
        q = rotary(t, "rope_query", q, *tables)
        k = rotary(t, "rope_key", t.unary("key_scale", k, "scale", "k/√K"), *tables)
        if self.grouped:
            k, v = self._repeated(t, "key", k), self._repeated(t, "value", v)
        state = t.state("state", B, H, K, V, itemsize=t.wide)
        decay = None if self.decay == "none" else t.buffer(H, itemsize=t.wide)
        if t.run.stepping:
            q, k, v = (t.view(a, B, H, a.shape[-1]) for a in (q, k, v))
            y, _ = gated_linear_attention_step(t, q, k, v, state, decay)
        else:
            y, _ = gated_linear_attention(t, q, k, v, state, C=self.C, gate=decay)
        y = t.working("output_cast", group_norm(t, "group_norm", y))
        return t.linear("project_output", t.view(y, B, T, H * V), self.D, bias=False, note="y W_o")

    def _repeated(self, t: Tape, name: str, x: Value) -> Value:
        """Each key/value head once for every query head of its group."""
        B, T, G, width = x.shape
        group = exact_div(self.H, G, "query heads H over key/value heads G")
        shown = t.expand(f"{name}_repeat", t.view(x, B, T, G, ONE, width), B, T, G, group, width)
        copied = t.moved(f"{name}_repeat", [shown], *shown.shape, note="a head for each query head")
        return t.view(copied, B, T, self.H, width)

    def state_bytes(self, run: Workload) -> Bill:
        return Bill.of(Kind.STATE, state=(run.B * self.H * self.K * self.V * run.state_itemsize, "S = Σ γ^(t−s) k vᵀ"))

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, chunks=(ceil_div(run.T, self.C), "the state passes through every chunk"))


def _feature(t: Tape, name: str, x: Value, weight: Value, bias: Value) -> Value:
    """relu(A x + a); queries and keys may share the weights, whose gradients then meet."""
    *front, n_in = x.shape
    n_out, rows = weight.shape[-1], product(front)
    flops = 2 * rows * n_in * n_out

    def backward(wanted: Sequence[bool]) -> Iterator[Operator]:
        yield Operator(name=f"{name}_dx", contraction=flops, note="g Aᵀ")
        yield Operator(name=f"{name}_dw", contraction=flops, note="gᵀ x")
        yield Operator(name=f"{name}_db", pointwise=rows * n_out, note="Σ g")

    out = t.operator(
        name, [x, weight, bias], (*front, n_out), contraction=flops, pointwise=rows * n_out,
        backward=backward, keeps=[(x, 1)], note="A x + a, all heads together",
    )  # fmt: skip
    return t.unary(f"{name}_relu", out, "relu")
