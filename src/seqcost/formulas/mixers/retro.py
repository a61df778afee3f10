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

from dataclasses import dataclass
from typing import ClassVar

from seqcost.algebra import Bill, Kind, Size, ceil_div, maximum, minimum
from seqcost.errors import BadSize
from seqcost.formulas.core.component import Component, check_sizes, exact_div
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.fused_attention import fused_attention
from seqcost.formulas.parts.heads import fill_heads


@dataclass(frozen=True, kw_only=True)
class ChunkedCrossAttention(Component):
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

    def source_input(self, t: Tape) -> Value:
        return t.given((t.run.B, self.whole(t.run.S), self.D), belongs="source")

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        (B, T, D), run, C, inner = x.shape, t.run, self.C, self.H * self.K
        k, v = self._of_source(t, source)
        if run.stepping:
            y = self._attend(t, self._queries(t, x), k, v, 1)
        else:
            blocks = self.blocks(T)
            q = t.pad("blocks", self._queries(t, x), B, blocks * C, inner, note="tokens filled up to whole blocks")
            read = self._attend(t, q, k, v, blocks)
            before = 1 if not run.started else (run.P + 1) % C
            later = t.part(read, B, blocks * C - before, inner, name="tokens")
            y = t.copy("tokens", t.part(later, B, T, inner, name="tokens"), note="the T tokens out of their blocks")
        return t.linear("project_output", y, D, bias=False, note="y [B,T,H·K] @ W_o [H·K,D]")

    def _queries(self, t: Tape, x: Value) -> Value:
        return t.linear("project_query", x, self.H * self.K, bias=False, note="x [B,T,D] @ W_q [D,H·K]")

    def begin(self, t: Tape, source: Value) -> None:
        t.begun += self._keys_values(t, source)
        t.carry(*t.begun[-2:])

    def _of_source(self, t: Tape, source: Value | None) -> tuple[Value, Value]:
        """Keys and values of all neighbours, which a state brings along once they are encoded."""
        if t.begun:
            return t.begun.pop(0), t.begun.pop(0)
        if not t.run.encoded:
            assert source is not None
            return self._keys_values(t, source)
        inner = self.H * self.K
        shape = (t.run.B, self.whole(t.run.S), inner)
        _ = t.weight(inner, self.D), t.weight(inner, self.D)  # there, and not read
        return t.carried("keys", *shape), t.carried("values", *shape)

    def _keys_values(self, t: Tape, source: Value) -> tuple[Value, Value]:
        inner = self.H * self.K
        v = t.linear("project_value", source, inner, bias=False, note="E [B,S,D] @ W_v [D,H·K]")
        return t.linear("project_key", source, inner, bias=False, note="E [B,S,D] @ W_k [D,H·K]"), v

    def _attend(self, t: Tape, q: Value, k: Value, v: Value, blocks: Size) -> Value:
        """Each of the blocks attends to the neighbours of its chunk."""
        (B, Q, inner), H, K = q.shape, self.H, self.K

        def heads(x: Value, tokens: Size) -> Value:
            return t.transpose(t.view(x, B * blocks, tokens, H, K), 0, 2, 1, 3)

        k, v = (self._of_blocks(t, name, z, blocks) for name, z in (("keys", k), ("values", v)))
        per_block = 1 if t.run.stepping else self.C
        y = fused_attention(t, "attend", heads(q, per_block), heads(k, self.rows), heads(v, self.rows))
        return t.view(t.transpose(y, 0, 2, 1, 3), B, Q, inner)

    def _of_blocks(self, t: Tape, name: str, x: Value, blocks: Size) -> Value:
        """The rows of these blocks; zeros for a block that has none."""
        B, S, inner = x.shape
        chunks = exact_div(S, self.rows, "source over the tokens of a chunk's neighbours")
        found = self._found(t.run, blocks, chunks)
        if not isinstance(found, int) or found != chunks:
            x = t.part(x, B, found * self.rows, inner, name=name)
        return t.pad(name, x, B, blocks * self.rows, inner, note="of these blocks, 0 where none")

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
