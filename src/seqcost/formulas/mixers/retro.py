"""RETRO's chunked cross-attention: each chunk of C tokens has neighbours, found elsewhere, that the next tokens read.

The text is cut into chunks of C tokens. For chunk u a retriever finds J neighbours of R tokens each, once the chunk is
complete; so the tokens that may read them are its last one and the first C − 1 of the next chunk. The source holds the
neighbours' features chunk by chunk: rows u·J·R … (u+1)·J·R − 1 are chunk u's, all J side by side under one softmax.

Tokens without neighbours, the first C − 1 of a text among them, get 0: around the layer stands a residual connection,
which passes them unchanged. No projection has a bias, so that 0 stays 0.

A call works on blocks of C tokens; it takes one block more than T fill, so that its cost does not depend on where in a
block it begins.

Not covered: the encoder of the neighbours (a bidirectional Transformer over each, counted as `encoder`), its
conditioning on the chunk, relative positions between tokens and neighbours.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from seqcost.algebra import Bill, Kind, Size, ceil_div, maximum, minimum
from seqcost.errors import BadSize
from seqcost.formulas.core.component import check_sizes, exact_div
from seqcost.formulas.core.program import Program
from seqcost.formulas.core.reading import Reading
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.fused_attention import fused_attention
from seqcost.formulas.parts.heads import fill_heads


@dataclass(frozen=True, kw_only=True)
class ChunkedCrossAttention(Program):
    """Attention of each chunk's last token and of those after it to the neighbours of that chunk.

    D width · C tokens of a chunk, at least 2 · J neighbours of a chunk · R tokens of a neighbour, its continuation
    included · H heads · K head width (default D/H). A source is S tokens long, filled up to whole chunks of J·R.
    """

    SOURCE: ClassVar[str] = "Borgeaud et al. 2021, arXiv 2112.04426, section 2.4 and algorithm 1"
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"y_{uC+i-1} = \mathrm{softmax}\!\left(\frac{(x_{uC+i-1} W_q)(E_u W_k)^\top}{\sqrt{K}}\right) E_u W_v\, W_o"
        r",\quad i = 1 \ldots C,\ u \ge 1",
        r"y_i = 0,\quad i = 1 \ldots C-1",
    )

    D: Size
    H: Size
    K: Size = None
    C: Size = 64
    J: Size = 2
    R: Size = 128

    def __post_init__(self) -> None:
        check_sizes(self, "D", "H", "C", "J", "R")
        fill_heads(self)
        if isinstance(self.C, int) and self.C < 2:
            raise BadSize(f"ChunkedCrossAttention: C = {self.C} was given; a chunk has at least 2 tokens.")

    @property
    def takes_source(self) -> bool:
        return True

    @property
    def rows(self) -> Size:
        """Tokens of the neighbours of a chunk."""
        return self.J * self.R

    def source_tokens(self, T: Size) -> Size:
        """Tokens of the neighbours of the ⌊T/C⌋ chunks that T tokens complete."""
        return ceil_div(T - self.C + 1, self.C) * self.rows

    def whole(self, S: Size) -> Size:
        """S filled up to whole chunks."""
        return ceil_div(S, self.rows) * self.rows

    def source_elements(self, run: Workload) -> Size:
        return run.B * self.whole(run.S) * self.D

    def blocks(self, T: Size) -> Size:
        """Blocks of C tokens in which T tokens lie, wherever in a block they begin."""
        return ceil_div(T - 1, self.C) + 1

    def params(self) -> Bill:
        inner = self.H * self.K
        weights = {"query": "W_q", "key": "W_k", "value": "W_v", "output": "W_o"}
        return Bill.of(Kind.PARAMETERS, **{name: (self.D * inner, note) for name, note in weights.items()})

    def _read(self, run: Workload, turns: int | None) -> Reading:
        return super()._read(replace(run, S=self.whole(run.S)), turns)

    def program(self, t: Tape, x: Value, source: Value | None) -> Value:
        assert source is not None
        (B, T, D), H, K, C = x.shape, self.H, self.K, self.C
        S, inner = source.shape[1], H * K
        q = t.linear("project_query", x, inner, bias=False, note="x [B,T,D] @ W_q [D,H·K]")
        if t.run.encoded:
            k, v = t.given((B, S, inner), gradient=False), t.given((B, S, inner), gradient=False)
        else:
            k = t.linear("project_key", source, inner, bias=False, note="E [B,S,D] @ W_k [D,H·K]")
            v = t.linear("project_value", source, inner, bias=False, note="E [B,S,D] @ W_v [D,H·K]")
        blocks: Size = 1
        if not t.run.stepping:
            blocks = self.blocks(T)
            q = t.moved("blocks", [q], B, blocks * C, inner, note="tokens filled up to whole blocks")
        found = self._found(t.run, blocks, exact_div(S, self.rows, "source over the tokens of a chunk's neighbours"))
        shape = (B, blocks * self.rows, inner)
        k = t.moved("keys", [t.part(k, B, found * self.rows, inner)], *shape, note="of these blocks, 0 where none")
        v = t.moved("values", [t.part(v, B, found * self.rows, inner)], *shape, note="of these blocks, 0 where none")
        one = (B * blocks, H, self.rows, K)
        queries = t.view(q, B * blocks, H, 1 if t.run.stepping else C, K)
        y = fused_attention(t, "attend", queries, t.view(k, *one), t.view(v, *one))
        if not t.run.stepping:
            y = t.moved("tokens", [t.part(y, B, T, inner)], B, T, inner, note="the T tokens out of their blocks")
        return t.linear("project_output", t.view(y, B, T, inner), D, bias=False, note="y [B,T,H·K] @ W_o [H·K,D]")

    def _found(self, run: Workload, blocks: Size, chunks: Size) -> Size:
        """Blocks of this call that have neighbours."""
        # The token at position p reads chunk ⌊(p+1)/C⌋ − 1; the first of this call stands at P.
        P = run.P if run.started else 0
        first = ceil_div(P + 2 - self.C, self.C) - 1
        return maximum(minimum(first + blocks, chunks) - maximum(first, 0), 0)

    def state_bytes(self, run: Workload) -> Bill:
        rows = run.B * self.whole(run.S) * self.H * self.K * run.itemsize
        return Bill.of(Kind.STATE, keys=(rows, "k of all neighbours given"), values=(rows, "v of all neighbours given"))

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, attend=(1, "a token sees all neighbours of its chunk, and no other token"))
