"""Multi-head attention: self or cross, causal or not, with as many key/value heads as query heads or fewer.

G = H is multi-head (Vaswani et al. 2017), 1 < G < H grouped-query, G = 1 multi-query attention. Two implementations
that compute the same and differ in memory:

  materialised   scores [B,H,T,S] and their softmax are written to memory and kept for backward
  fused          `scaled_dot_product_attention`: tiles only; backward recomputes the scores (5 products instead of 4)

The fused kernel skips tiles above the diagonal of causal attention; by convention ("full") the rectangle is counted
either way, and "half" gives the unmasked pairs. Dropout is not covered.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from seqcost.algebra import Bill, Kind, Size, where
from seqcost.errors import BadSize
from seqcost.formulas.core import pointwise
from seqcost.formulas.core.component import Component, check_sizes, differ, exact_div
from seqcost.formulas.core.operator import Operator, copy, elementwise, linear, linear_backward
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.parts.heads import fill_heads
from seqcost.formulas.parts.rope import rope_kept_bytes, rope_tables, rope_turn, rope_turn_backward

Implementation = Literal["materialised", "fused"]


@dataclass(frozen=True, kw_only=True)
class Attention(Component):
    """softmax(q kᵀ/√K + mask) v over T queries and S keys.

    D width · H query heads · G key/value heads (default H) · K width of a query/key head (default D/H) ·
    V width of a value head (default K). `cross` takes keys and values from a second sequence of S tokens.
    """

    SOURCE: ClassVar[str] = (
        "Vaswani et al. 2017, arXiv 1706.03762, eq. 1; Shazeer 2019, arXiv 1911.02150; Ainslie et al. 2023, "
        "arXiv 2305.13245; fused: Dao et al. 2022, arXiv 2205.14135, algorithms 1 and 4"
    )
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"q = x W_q,\quad k = x W_k,\quad v = x W_v",
        r"y = \mathrm{softmax}\!\left(\frac{q k^\top}{\sqrt{K}} + \mathrm{mask}\right) v\, W_o",
    )

    D: Size
    H: Size
    G: Size = None
    K: Size = None
    V: Size = None
    causal: bool = True
    cross: bool = False
    rope: bool = False
    rope_base: float = 10000.0
    bias: bool = True  # on q, k, v and output alike
    implementation: Implementation = "fused"

    def __post_init__(self) -> None:
        check_sizes(self, "D", "H")
        fill_heads(self)
        if self.rope:
            exact_div(self.K, 2, "RoPE: head width K")
        if self.implementation == "fused" and differ(self.V, self.K):
            raise BadSize(
                f"fused attention: value heads of width {self.V} beside keys of {self.K}; PyTorch's kernel takes equal "
                "widths only: use implementation='materialised' or equal widths."
            )

    @property
    def decodes(self) -> bool:
        return self.causal or self.cross

    @property
    def keeps_input(self) -> bool:
        return True

    @property
    def takes_source(self) -> bool:
        return self.cross

    @property
    def keeps_source(self) -> bool:
        return self.cross

    def params(self) -> Bill:
        D, H, G, K, V = self.D, self.H, self.G, self.K, self.V
        weights = {
            "query": (D * H * K, "W_q"),
            "key": (D * G * K, "W_k"),
            "value": (D * G * V, "W_v"),
            "output": (H * V * D, "W_o"),
        }
        if self.bias:
            weights |= {
                "query_bias": (H * K, "b_q"),
                "key_bias": (G * K, "b_k"),
                "value_bias": (G * V, "b_v"),
                "output_bias": (D, "b_o"),
            }
        return Bill.of(Kind.PARAMETERS, **weights)

    def sources(self, run: Workload) -> Size:
        """Tokens whose keys and values this call projects."""
        return run.S if self.cross else run.T

    def keys(self, run: Workload) -> Size:
        """Tokens that a query sees, masked ones included."""
        return run.S if self.cross else run.P + run.T

    def pairs(self, run: Workload) -> Size:
        """Counted query-key pairs, a head and a sequence; the convention is the workload's."""
        return run.T * run.S if self.cross else run.pairs(causal=self.causal)

    def forward(self, run: Workload) -> Iterator[Operator]:
        B, T, D, H, G, K, V = run.B, run.T, self.D, self.H, self.G, self.K, self.V
        S = self.sources(run)
        yield linear("project_query", B * T, D, H * K, bias=self.bias, note="x [B,T,D] @ W_q [D,H·K]")
        if not (self.cross and run.encoded):
            yield linear("project_key", B * S, D, G * K, bias=self.bias, note="x [B,S,D] @ W_k [D,G·K]").beside()
            yield linear("project_value", B * S, D, G * V, bias=self.bias, note="x [B,S,D] @ W_v [D,G·V]").beside()
        if self.rope:
            yield from rope_tables(run, K)
            yield from rope_turn("query", run, H, K)
            yield from (op.beside() for op in rope_turn("key", run, G, K))
        yield from self._cache(run)
        yield from (self._fused(run) if self.implementation == "fused" else self._materialised(run))
        yield linear("project_output", B * T, H * V, D, bias=self.bias, note="y [B,T,H·V] @ W_o [H·V,D]")

    def _cache(self, run: Workload) -> Iterator[Operator]:
        """Keys and values of the carried state joined with the new ones; nothing without a past."""
        if self.cross or (isinstance(run.P, int) and run.P == 0):
            return
        joined = run.B * (run.P + run.T) * self.G * (self.K + self.V)
        join = copy("cache", where(run.P > 0, joined, 0), "past and new keys and values joined")
        # The materialised form scales the queries meanwhile.
        yield join if self.implementation == "fused" else join.beside()

    def _mask(self, run: Workload) -> Size:
        """Elements of the causal mask; a single query needs none, it may see every key."""
        if self.cross or not self.causal:
            return 0
        return where(run.T > 1, run.T * (run.P + run.T), 0)

    def _fused(self, run: Workload) -> Iterator[Operator]:
        B, T, H, G, K, V = run.B, run.T, self.H, self.G, self.K, self.V
        S, pairs = self.keys(run), B * H * self.pairs(run)
        # Without a past the kernel masks by itself; with one it reads a mask [T, P+T].
        mask = where(run.P > 0, self._mask(run), 0)
        if not (isinstance(mask, int) and mask == 0):
            yield Operator(name="mask", reads=mask, writes=2 * mask, steps=0, note="−∞ above the diagonal")
        yield Operator(
            name="attend",
            contraction=2 * pairs * K + 2 * pairs * V,
            pointwise=pointwise.ATTENTION * pairs,
            reads=B * T * H * K + B * S * G * (K + V) + mask,
            writes=B * T * H * V,
            other_bytes=B * H * T * self._lse_bytes(run),
            note="q kᵀ, softmax and its product with v, tile by tile",
        )

    def _lse_bytes(self, run: Workload) -> Size:
        return run.state_itemsize  # the logarithm of each row's sum is at least float32

    def _materialised(self, run: Workload) -> Iterator[Operator]:
        B, T, H, G, K, V = run.B, run.T, self.H, self.G, self.K, self.V
        S, pairs = self.keys(run), B * H * self.pairs(run)
        scores = B * H * T * S
        yield elementwise("scale", B * T * H * K, 1, note="q/√K")
        yield copy("query_heads", B * T * H * K, "[B,T,H,K] to [B,H,T,K]")
        yield copy("key_heads", B * S * G * K, "[B,S,G,K] to [B,G,S,K]").beside()
        yield copy("value_heads", B * S * G * V, "[B,S,G,V] to [B,G,S,V]").beside()
        yield Operator(
            name="scores",
            contraction=2 * pairs * K,
            reads=B * T * H * K + B * S * G * K,
            writes=scores,
            note="q [B,H,T,K] @ kᵀ [B,H,K,S]",
        )
        if self.causal and not self.cross:
            mask = self._mask(run)
            masked = where(run.T > 1, scores, 0)
            yield Operator(name="mask", reads=mask, writes=2 * mask, steps=0, note="−∞ above the diagonal")
            yield Operator(
                name="add_mask",
                pointwise=masked,
                reads=masked + mask,
                writes=masked,
                steps=where(run.T > 1, 1, 0),
                note="scores + mask [T,S]",
            )
        yield elementwise("softmax", scores, pointwise.SOFTMAX, note="over S")
        yield Operator(
            name="mix",
            contraction=2 * pairs * V,
            reads=scores + B * S * G * V,
            writes=B * T * H * V,
            note="a [B,H,T,S] @ v [B,H,S,V]",
        )
        yield copy("merge_heads", B * T * H * V, "[B,H,T,V] to [B,T,H·V]")

    def backward(self, run: Workload) -> Iterator[Operator]:
        B, T, D, H, G, K, V = run.B, run.T, self.D, self.H, self.G, self.K, self.V
        S, pairs = self.sources(run), B * H * self.pairs(run)
        yield from linear_backward("project_output", B * T, H * V, D, bias=self.bias)
        if self.implementation == "fused":
            yield Operator(name="scores_again", contraction=2 * pairs * K, note="q kᵀ recomputed")
        yield Operator(name="mix_da", contraction=2 * pairs * V, note="g [B,H,T,V] @ vᵀ [B,H,V,S]")
        yield Operator(name="mix_dv", contraction=2 * pairs * V, note="aᵀ [B,H,S,T] @ g [B,H,T,V]")
        if self.implementation == "fused":
            yield Operator(name="attend_backward", pointwise=pointwise.ATTENTION_BACKWARD * pairs, note="softmax")
        else:
            scores = B * H * T * self.keys(run)
            yield Operator(name="softmax_backward", pointwise=pointwise.SOFTMAX_BACKWARD * scores, note="a (g − Σ g a)")
            yield Operator(name="scale_backward", pointwise=B * T * H * K, note="g/√K")
        yield Operator(name="scores_dq", contraction=2 * pairs * K, note="g [B,H,T,S] @ k [B,H,S,K]")
        yield Operator(name="scores_dk", contraction=2 * pairs * K, note="gᵀ [B,H,S,T] @ q [B,H,T,K]")
        if self.rope:
            yield from rope_turn_backward("query", run, H, K)
            yield from rope_turn_backward("key", run, G, K)
        yield from linear_backward("project_query", B * T, D, H * K, bias=self.bias)
        yield from linear_backward("project_key", B * S, D, G * K, bias=self.bias)
        yield from linear_backward("project_value", B * S, D, G * V, bias=self.bias)
        sums = B * S * D if self.cross else 2 * B * T * D
        yield Operator(name="sum", pointwise=sums, note="the ways of q, k and v into x")

    def kept_bytes(self, run: Workload) -> Bill:
        B, T, H, G, K, V = run.B, run.T, self.H, self.G, self.K, self.V
        S, size = self.keys(run), run.itemsize
        lines = {
            "query": (B * T * H * K * size, "q"),
            "key": (B * S * G * K * size, "k"),
            "value": (B * S * G * V * size, "v"),
            "heads": (B * T * H * V * size, "y before W_o"),
        }
        if self.rope:
            lines["rope"] = (rope_kept_bytes(run, K), "cosines and sines")
        if self.implementation == "materialised":
            lines["softmax"] = (B * H * T * S * size, "a = softmax(q kᵀ/√K)")
        else:
            lines["logsumexp"] = (B * H * T * self._lse_bytes(run), "a row of scores, log-summed")
        return Bill.of(Kind.SAVED, **lines)

    def state_bytes(self, run: Workload) -> Bill:
        if not self.decodes:
            return Bill()
        tokens = run.B * self.keys(run) * run.itemsize
        return Bill.of(
            Kind.STATE,
            keys=(tokens * self.G * self.K, "k of every token seen"),
            values=(tokens * self.G * self.V, "v of every token seen"),
        )

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, attend=(1, "every position sees every other one that it may see"))
