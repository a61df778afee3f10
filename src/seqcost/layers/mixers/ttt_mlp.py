"""TTT-Mlp. Definition, cost and source: `seqcost.formulas.mixers.ttt_mlp`."""

from seqcost.formulas.mixers import ttt_mlp
from seqcost.layers.parts.ttt import TttLayer


class TttMlp(TttLayer):
    """See `seqcost.formulas.mixers.ttt_mlp`."""

    Config = ttt_mlp.TttMlp
