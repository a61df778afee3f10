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
from seqcost.formulas.core.component import check_sizes, exact_div
from seqcost.formulas.core.program import Program
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.block_attention import Band, band_attention
from seqcost.formulas.ops.fused_attention import fused_attention
from seqcost.formulas.ops.rotary import rotary, rotary_tables
from seqcost.formulas.parts.heads import fill_heads


@dataclass(frozen=True, kw_only=True)
class WindowAttention(Program):
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

    def program(self, t: Tape, x: Value, source: Value | None) -> Value:
        run, D, H, G, K = t.run, self.D, self.H, self.G, self.K
        B, T = x.shape[:2]
        q = t.view(t.linear("project_query", x, H * K, bias=self.bias, note="x [B,T,D] @ W_q [D,H·K]"), B, T, H, K)
        k = t.view(t.linear("project_key", x, G * K, bias=self.bias, note="x [B,T,D] @ W_k [D,G·K]"), B, T, G, K)
        v = t.view(t.linear("project_value", x, G * K, bias=self.bias, note="x [B,T,D] @ W_v [D,G·K]"), B, T, G, K)
        if self.rope:
            cos, sin = rotary_tables(t, T, K)
            q, k = rotary(t, "rope_query", q, cos, sin), rotary(t, "rope_key", k, cos, sin)
        if run.started or not (isinstance(run.P, int) and run.P == 0):
            k, v = self._joined(t, "keys", k), self._joined(t, "values", v)
        if run.stepping:
            seen = ceil_div(k.shape[1], self.dilation)
            k, v = (t.part(z, B, G, seen, K) for z in (k, v))
            y = t.view(fused_attention(t, "attend", t.view(q, B, H, ONE, K), k, v), B, ONE, H * K)
        else:
            group = exact_div(H, G, "query heads H over key/value heads G")
            # By the other convention what is multiplied is counted: whole blocks.
            unmasked = self.causal and run.causal == "half"
            pairs = self.pairs(run.P + T) - self.pairs(run.P) if unmasked else None
            y = band_attention(t, q, k, v, self.band, group, pairs=pairs)
        return t.linear("project_output", y, D, bias=self.bias, note="y [B,T,H·K] @ W_o [H·K,D]")

    def _joined(self, t: Tape, name: str, new: Value) -> Value:
        """Earlier keys (or values) and the new ones; what a later token may see is kept, in its own memory."""
        B, T, G, K = new.shape
        past = minimum(t.run.P, self.kept_tokens)
        joined = t.moved("join", [t.state(name, B, past, G, K), new], B, past + T, G, K, note="earlier and new tokens")
        if not t.run.stepping:  # a step's own memory holds one token more than what is kept: it is shown, not copied
            kept = t.part(joined, B, minimum(past + T, self.kept_tokens), G, K)
            t.moved("keep", [t.detach(kept)], *kept.shape, note="what later tokens may see")
        return joined

    def state_bytes(self, run: Workload) -> Bill:
        if not self.decodes:
            return Bill()
        tokens = minimum(run.P + run.T, self.kept_tokens)
        size = run.B * tokens * self.G * self.K * run.itemsize
        return Bill.of(Kind.STATE, keys=(size, "k of the last W − 1 tokens"), values=(size, "v of them"))

    def path_length(self, run: Workload) -> Bill:
        steps = ceil_div(run.T - 1, (self.reach - 1) * self.dilation)
        return Bill.of(Kind.PATH, attend=(steps, "a window further in each layer"))
