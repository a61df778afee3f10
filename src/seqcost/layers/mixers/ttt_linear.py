"""TTT-Linear. Definition, cost and source: `seqcost.formulas.mixers.ttt_linear`."""

from seqcost.formulas.mixers import ttt_linear
from seqcost.layers.parts.ttt import TttLayer


class TttLinear(TttLayer):
    """See `seqcost.formulas.mixers.ttt_linear`."""

    Config = ttt_linear.TttLinear
