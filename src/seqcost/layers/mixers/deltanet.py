"""DeltaNet. Definition, cost and source: `seqcost.formulas.mixers.deltanet`."""

from seqcost.formulas.mixers import deltanet
from seqcost.layers.parts.delta import Delta


class DeltaNet(Delta):
    """See `seqcost.formulas.mixers.deltanet`."""

    Config = deltanet.DeltaNet
