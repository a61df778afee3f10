"""Real runs, each in a process of its own, bounded in time and memory. Importing this loads no torch, but it is needed.

limits        bounds of one run                        runner        one process, job after job, a record each
sweeps        many jobs in rounds, resumable           process       starts, watches, reads, kills
tree          a process and all that it started        worker        the process itself; never imported
repeat        how often a run is repeated              peak          most bytes held by tensors
resident      most bytes held by the process           load          what others did meanwhile
turn          one measurement at a time              kernels       single kernels, of which profiles are made
reference     fixed kernels beside each job: how the machine is
"""

from seqcost.extras import need as _need

_need("torch", "measured runs need")
_need("psutil", "measured runs need")

from seqcost.measure.limits import Limits as Limits
from seqcost.measure.runner import measure as measure
from seqcost.measure.sweeps import sweep as sweep

__all__ = ["Limits", "measure", "sweep"]
