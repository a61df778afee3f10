"""One line of a Bill, and the kinds of cost a line can count."""

from dataclasses import dataclass
from enum import StrEnum

from seqcost.algebra.expr import Size


class Kind(StrEnum):
    """What a line counts. The kind decides the unit; amounts of different units never add."""

    CONTRACTION = "contraction"  # multiplies and adds of matrix products, convolutions, FFTs
    POINTWISE = "pointwise"  # element-wise operations, reductions, softmax, norms, activations
    PARAMETERS = "parameters"
    TRAFFIC = "traffic"
    SAVED = "saved"
    STATE = "state"
    DEPTH = "depth"
    PATH = "path"

    @property
    def unit(self) -> str:
        """FLOP, byte, scalar or step."""
        return _UNITS[self]


_UNITS = {
    Kind.CONTRACTION: "FLOP",
    Kind.POINTWISE: "FLOP",
    Kind.PARAMETERS: "scalar",
    Kind.TRAFFIC: "byte",
    Kind.SAVED: "byte",
    Kind.STATE: "byte",
    Kind.DEPTH: "step",
    Kind.PATH: "step",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One named amount: `attention.scores`, 2·B·H·T²·K, what it is in the paper's words."""

    name: str
    amount: Size
    kind: Kind
    note: str = ""
