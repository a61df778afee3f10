"""Sliding-window attention: a token sees its neighbours, the earlier ones (Mistral) or both sides (Longformer).

W counts the token itself. Causal: itself and the W − 1 tokens before it. Not causal: itself and (W − 1)/2 on either
side, rounded down; Longformer's w, which leaves the token itself out, is our W − 1. With a dilation of d the window's
tokens are d apart. Longformer's global tokens are not covered.

The layer works in blocks of C queries, each beside its own key block and ⌈reach/C⌉ blocks on each side that it sees;
`pairs` are the query-key pairs of the pattern, `executed_pairs` those that are multiplied. A smaller C multiplies less
and reads its keys more often.
"""

from dataclasses import dataclass
from typing import ClassVar

from seqcost.algebra import Bill, Kind, Size, ceil_div, minimum
from seqcost.algebra.expr import halve, is_symbolic
from seqcost.errors import BadSize
from seqcost.formulas.core.component import Component, check_sizes, exact_div
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.block_attention import Band, band_attention
from seqcost.formulas.ops.fused_attention import fused_attention
from seqcost.formulas.ops.rotary import rotary, rotary_tables
from seqcost.formulas.parts.heads import fill_heads


@dataclass(frozen=True, kw_only=True)
class WindowAttention(Component):
    """softmax(q kᵀ/√K) v over the W nearest tokens.

    D width · H query heads · G key/value heads (default H) · K head width (default D/H) · W window, the token itself
    included · C queries a block (default: W, or half of it where both sides are seen) · dilation: distance of the
    window's tokens.
    """

    SOURCE: ClassVar[str] = (
        "Beltagy et al. 2020, arXiv 2004.05150, section 3.1 (symmetric, dilated); Jiang et al. 2023, arXiv 2310.06825, "
        "section 2 (causal)"
    )
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"q = x W_q,\quad k = x W_k,\quad v = x W_v",
        r"\mathcal{N}(t) = \{t, t-1, \dots, t-W+1\}\;\text{(causal)},\quad"
        r"\mathcal{N}(t) = \{s : |t - s| \le (W-1)/2\}\;\text{(symmetric)}",
        r"y_t = \sum_{s \in \mathcal{N}(t)} \mathrm{softmax}_s\!\left(\frac{q_t \cdot k_s}{\sqrt{K}}\right) v_s\, W_o",
    )

    D: Size
    H: Size
    W: Size
    G: Size = None
    K: Size = None
    C: Size = None
    dilation: Size = 1
    causal: bool = True
    rope: bool = False
    rope_base: float = 10000.0
    bias: bool = True  # on q, k, v and output alike

    def __post_init__(self) -> None:
        check_sizes(self, "D", "H", "W", "dilation")
        least, one_side = (2, self.W) if self.causal else (3, self.W - 1)
        if isinstance(one_side, int) and one_side < 2:
            raise BadSize(
                f"WindowAttention: W = {self.W} was given, the token itself included; at least {least} is allowed, "
                "so that a token sees another one."
            )
        if self.C is None:
            object.__setattr__(self, "C", self.reach)
        check_sizes(self, "C")
        fill_heads(self)
        if self.rope:
            exact_div(self.K, 2, "RoPE: head width K")

    @property
    def reach(self) -> Size:
        """Tokens on a side that a query sees, itself included."""
        return self.W if self.causal else ceil_div(self.W, 2)

    @property
    def band(self) -> Band:
        """The window as the blocks see it."""
        return Band(self.reach, self.C, self.causal, self.dilation)

    @property
    def kept_tokens(self) -> Size:
        """Earlier tokens that a later one may see: the state when it is full."""
        return (self.W - 1) * self.dilation

    @property
    def decodes(self) -> bool:
        return self.causal

    def params(self) -> Bill:
        D, H, G, K = self.D, self.H, self.G, self.K
        weights = {
            "query": (D * H * K, "W_q"),
            "key": (D * G * K, "W_k"),
            "value": (D * G * K, "W_v"),
            "output": (H * K * D, "W_o"),
        }
        if self.bias:
            weights |= {
                "query_bias": (H * K, "b_q"),
                "key_bias": (G * K, "b_k"),
                "value_bias": (G * K, "b_v"),
                "output_bias": (D, "b_o"),
            }
        return Bill.of(Kind.PARAMETERS, **weights)

    def pairs(self, T: Size) -> Size:
        """Query-key pairs that the pattern holds among T tokens, a head and a sequence."""
        # Every d-th token makes a sequence of its own: T mod d of them are a token longer than the others.
        d = self.dilation
        short = -ceil_div(-T, d)
        longer = T - d * short
        return longer * self._pairs(short + 1) + (d - longer) * self._pairs(short)

    def _pairs(self, T: Size) -> Size:
        m = minimum(self.reach, T)
        triangle = m * (m - 1)  # what the first tokens lack, twice
        half = triangle / 2 if is_symbolic(triangle) else halve(triangle)
        return T * m - half if self.causal else T * (2 * m - 1) - triangle

    def executed_pairs(self, T: Size) -> Size:
        """Query-key pairs that are multiplied, a head and a sequence: those of whole blocks."""
        band = self.band
        return band.blocks(T) * band.C * self.dilation * band.keys

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        if t.run.stepping:
            return self._step(t, x)
        if t.run.started or not (isinstance(t.run.P, int) and t.run.P == 0):
            return self._extend(t, x)
        y = self._output(t, self._attend(t, *self._projected(t, x)))
        return t.part(y, *y.shape, name="whole")

    def _extend(self, t: Tape, x: Value) -> Value:
        q, k, v = self._projected(t, x)
        k, v = self._joined(t, "keys", k), self._joined(t, "values", v)
        t.carry(*(self._seen_later(t, z) for z in (k, v)))
        return self._output(t, self._attend(t, q, k, v))

    def _step(self, t: Tape, x: Value) -> Value:
        q, k, v = self._projected(t, x)
        k, v = self._joined(t, "keys", k), self._joined(t, "values", v)
        t.carry(k, v)
        B, _, G, K = k.shape
        seen = ceil_div(k.shape[1], self.dilation)
        of_keys, of_values = (t.transpose(t.part(z, B, seen, G, K), 0, 2, 1, 3) for z in (k, v))
        y = fused_attention(t, "attend", t.transpose(q, 0, 2, 1, 3), of_keys, of_values)
        return self._output(t, t.view(y, B, ONE, self.H * K))

    def _attend(self, t: Tape, q: Value, k: Value, v: Value) -> Value:
        # By the other convention what is multiplied is counted: whole blocks.
        P, T = t.run.P, q.shape[1]
        pairs = self.pairs(P + T) - self.pairs(P) if self.causal and t.run.causal == "half" else None
        return band_attention(t, q, k, v, self.band, pairs=pairs)

    def _output(self, t: Tape, y: Value) -> Value:
        return t.linear("project_output", y, self.D, bias=self.bias, note="y [B,T,H·K] @ W_o [H·K,D]")

    def _projected(self, t: Tape, x: Value) -> tuple[Value, Value, Value]:
        (B, T, _), H, G, K = x.shape, self.H, self.G, self.K
        q = t.view(t.linear("project_query", x, H * K, bias=self.bias, note="x [B,T,D] @ W_q [D,H·K]"), B, T, H, K)
        k = t.view(t.linear("project_key", x, G * K, bias=self.bias, note="x [B,T,D] @ W_k [D,G·K]"), B, T, G, K)
        v = t.view(t.linear("project_value", x, G * K, bias=self.bias, note="x [B,T,D] @ W_v [D,G·K]"), B, T, G, K)
        if self.rope:
            cos, sin = rotary_tables(t, T, K)
            q, k = rotary(t, "rope_query", q, cos, sin), rotary(t, "rope_key", k, cos, sin)
        return q, k, v

    def _joined(self, t: Tape, name: str, new: Value) -> Value:
        """Earlier keys (or values) and the new ones."""
        B, T, G, K = new.shape
        past = minimum(t.run.P, self.kept_tokens)
        return t.cat("join", [t.carried(name, B, past, G, K), new], B, past + T, G, K, note="earlier and new tokens")

    def _seen_later(self, t: Tape, z: Value) -> Value:
        """What a later token may see, in its own memory: the state does not hold a long prompt."""
        B, tokens, G, K = z.shape
        part = t.part(t.detach(z), B, minimum(tokens, self.kept_tokens), G, K)
        return t.copy("keep", part, note="what later tokens may see")

    def state_bytes(self, run: Workload) -> Bill:
        if not self.decodes:
            return Bill()
        tokens = minimum(run.P + run.T, self.kept_tokens)
        size = run.B * tokens * self.G * self.K * run.itemsize
        return Bill.of(Kind.STATE, keys=(size, "k of the last W − 1 tokens"), values=(size, "v of them"))

    def path_length(self, run: Workload) -> Bill:
        steps = ceil_div(run.T - 1, (self.reach - 1) * self.dilation)
        return Bill.of(Kind.PATH, attend=(steps, "a window further in each layer"))
