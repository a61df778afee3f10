"""Multi-head attention: self or cross, causal or not, with as many key/value heads as query heads or fewer.

G = H is multi-head (Vaswani et al. 2017), 1 < G < H grouped-query, G = 1 multi-query attention. Two implementations
that compute the same and differ in memory:

  materialised   scores [B,H,T,S] and their softmax are written to memory and kept for backward
  fused          `scaled_dot_product_attention`: tiles only; backward recomputes the scores (5 products instead of 4)

The fused kernel skips tiles above the diagonal of causal attention; by convention ("full") the rectangle is counted
either way, and "half" gives the unmasked pairs. Dropout is not covered.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from seqcost.algebra import Bill, Kind, Size, where
from seqcost.algebra.work import Kernel
from seqcost.errors import BadSize
from seqcost.formulas.core.comparing import equal, expanded
from seqcost.formulas.core.component import Component, check_sizes, differ, exact_div
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.fused_attention import fused_attention
from seqcost.formulas.ops.rotary import rotary, rotary_tables
from seqcost.formulas.parts.heads import fill_heads

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
    def takes_source(self) -> bool:
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

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        q, k, v = self._turned(t, x, source)
        if not self.cross and not (isinstance(t.run.P, int) and t.run.P == 0):
            k, v = self._joined(t, "keys", k), self._joined(t, "values", v)
        if not self.cross:
            t.carry(k, v)
        y = self._fused(t, q, k, v) if self.implementation == "fused" else self._materialised(t, q, k, v)
        return t.linear("project_output", y, self.D, bias=self.bias, note="y [B,T,H·V] @ W_o [H·V,D]")

    def _turned(self, t: Tape, x: Value, source: Value | None) -> tuple[Value, Value, Value]:
        """Queries [B,T,H,K], keys [B,S,G,K] and values [B,S,G,V], rotated to their positions where RoPE is on."""
        if self.cross:
            k, v = self._of_source(t, source)
            return self._queries(t, x), k, v
        q, (k, v) = self._queries(t, x), self._keys_values(t, x)
        if self.rope:
            cos, sin = rotary_tables(t, t.run.T, self.K)
            q, k = rotary(t, "rope_query", q, cos, sin), rotary(t, "rope_key", k, cos, sin)
        return q, k, v

    def begin(self, t: Tape, source: Value) -> None:
        if self.cross:
            t.begun += self._keys_values(t, source)
            t.carry(*t.begun[-2:])
        else:
            for width in (self.K, self.V):
                t.constant("empty", t.run.B, 0, self.G, width, note="no tokens yet")

    def _queries(self, t: Tape, x: Value) -> Value:
        return self._projected(t, "query", x, (t.run.B, t.run.T, self.H, self.K))

    def _keys_values(self, t: Tape, x: Value) -> tuple[Value, Value]:
        B, S, G = t.run.B, self.sources(t.run), self.G
        return self._projected(t, "key", x, (B, S, G, self.K)), self._projected(t, "value", x, (B, S, G, self.V))

    def _of_source(self, t: Tape, source: Value | None) -> tuple[Value, Value]:
        """Keys and values of the source, which a state brings along once it is encoded."""
        if t.begun:
            return t.begun.pop(0), t.begun.pop(0)
        if not t.run.encoded:
            assert source is not None
            return self._keys_values(t, source)
        B, S, G = t.run.B, t.run.S, self.G
        for width in (G * self.K, G * self.V):  # weights that are there and are not read
            _ = t.weight(width, self.D), t.weight(width * int(self.bias))
        return t.carried("keys", B, S, G, self.K), t.carried("values", B, S, G, self.V)

    def _projected(self, t: Tape, name: str, x: Value, shape: tuple[Size, ...]) -> Value:
        letter, (*_, heads, width) = name[0], shape
        y = t.linear(f"project_{name}", x, heads * width, bias=self.bias, note=f"x @ W_{letter}")
        return t.view(y, *shape)

    @staticmethod
    def _joined(t: Tape, name: str, new: Value) -> Value:
        """Keys or values of the carried state joined with the new ones; nothing is executed without a past."""
        B, T, G, width = new.shape
        P = t.run.P
        past = t.carried(name, B, P, G, width)
        return t.kernel(
            "cache", Kernel.COPY, [past, new], (B, P + T, G, width), operator="cat", happens=where(P > 0, 1, 0),
            note="past and new ones joined",
        )  # fmt: skip

    def _mask(self, t: Tape, *, alone: bool) -> tuple[Value | None, Size]:
        """−∞ above the diagonal, [T,P+T], and 0 where the sizes leave it out.

        None for a single query, nor where the kernel masks by itself (`alone`), which it does without a past.
        """
        T, P = t.run.T, t.run.P
        happens = where(T > 1, 1, 0) * (where(P > 0, 1, 0) if alone else 1)
        if self.cross or not self.causal or (isinstance(happens, int) and not happens):
            return None, 0
        mask = t.constant("mask", T, P + T, operator="full", happens=happens, note="−∞")
        t.triangle_into("mask", mask, "triu", happens=happens, note="above the diagonal, 0 elsewhere")
        return mask, happens

    def _fused(self, t: Tape, q: Value, k: Value, v: Value) -> Value:
        B, T = q.shape[:2]
        mask, masks = self._mask(t, alone=True)
        y = fused_attention(
            t, "attend", t.transpose(q, 0, 2, 1, 3), t.transpose(k, 0, 2, 1, 3), t.transpose(v, 0, 2, 1, 3), mask,
            pairs=B * self.H * self.pairs(t.run), masks=masks,
        )  # fmt: skip
        return t.view(t.transpose(y, 0, 2, 1, 3), B, T, self.H * self.V)

    def _materialised(self, t: Tape, q: Value, k: Value, v: Value) -> Value:
        B, T, H, K = q.shape
        S, G, V = v.shape[1:]
        mask, happens = self._mask(t, alone=False)
        rows = B * G, H // G * T if isinstance(H, int) and isinstance(G, int) else H * T / G
        q = t.view(self._heads_first(t, "query", t.unary("scale", q, "scale", "q/√K")), *rows, K)
        k, v = self._heads_first(t, "key", k), self._heads_first(t, "value", v)
        k, v = t.view(k, B * G, S, K), t.view(v, B * G, S, V)
        scores = t.matmul("scores", q, t.transpose(k, 0, 2, 1), "q [B,H,T,K] @ kᵀ [B,H,K,S]")
        if mask is not None:
            groups, each = exact_div(H, G, "query heads over key/value heads"), mask
            if not equal(expanded(groups), 1):
                each = t.kernel(
                    "mask", Kernel.COPY, [mask], (rows[1], S), operator="repeat", happens=happens,
                    note="for each of a group",
                )  # fmt: skip
            scores = t.add_into("add_mask", scores, each, happens, "scores + mask [T,S]")
            del each
        scores = t.view(scores, B, H, T, S)
        y = t.matmul("mix", t.view(t.softmax("softmax", scores, "over S"), *rows, S), v, "a [B,H,T,S] @ v [B,H,S,V]")
        y = t.view(y, B, H, T, V)
        return t.view(t.copy("merge_heads", t.transpose(y, 0, 2, 1, 3), note="[B,H,T,V] to [B,T,H·V]"), B, T, H * V)

    @staticmethod
    def _heads_first(t: Tape, name: str, x: Value) -> Value:
        return t.copy(f"{name}_heads", t.transpose(x, 0, 2, 1, 3), note="heads first")

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
