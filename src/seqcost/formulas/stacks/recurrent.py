"""Recurrent language models: embedding, L recurrent layers one above the other, output head.

The stack is torch.nn's `num_layers`: no norm, no residual connection, the first layer D→N and the others N→N.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from seqcost.algebra import Size
from seqcost.errors import BadSize
from seqcost.formulas.core.component import Component, check_sizes, differ
from seqcost.formulas.mixers.gru import Gru
from seqcost.formulas.mixers.lstm import Lstm
from seqcost.formulas.mixers.rnn import Rnn
from seqcost.formulas.parts.embedding import Embedding
from seqcost.formulas.parts.head import Head
from seqcost.formulas.stacks.chain import Assembled, Chain, Repeat

CELLS: dict[str, type[Rnn] | type[Lstm] | type[Gru]] = {"rnn": Rnn, "lstm": Lstm, "gru": Gru}


@dataclass(frozen=True, kw_only=True)
class Recurrent(Assembled):
    """Tokens [B,T] → logits [B,T,U].

    U vocabulary · D width of the embedding · N hidden width (default D) · L layers.
    """

    SOURCE: ClassVar[str] = "Mikolov et al. 2010, Interspeech (RNN language models); torch.nn.RNN, LSTM, GRU"

    U: Size
    D: Size
    L: Size
    N: Size = None
    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    head_bias: bool = False
    tied: bool = True

    def __post_init__(self) -> None:
        check_sizes(self, "U", "D", "L")
        if self.N is None:
            object.__setattr__(self, "N", self.D)
        check_sizes(self, "N")
        if self.tied and differ(self.N, self.D):
            raise BadSize(
                f"tied weights: the head reads width N = {self.N}, the embedding has D = {self.D}; "
                "make them equal or set tied=false."
            )

    @property
    def chain(self) -> Chain:
        Cell = CELLS[self.cell]
        links: dict[str, Component | Repeat] = {
            "embedding": Embedding(U=self.U, D=self.D),
            "first": Cell(D=self.D, N=self.N),
        }
        if not (isinstance(self.L, int) and self.L == 1):
            links["layers"] = Repeat(Cell(D=self.N, N=self.N), self.L - 1)
        links["head"] = Head(D=self.N, U=self.U, bias=self.head_bias, tied=self.tied)
        return Chain.of(**links)
