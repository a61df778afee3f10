"""Rows of work × a machine → time, with an interval and what bounds it. No torch.

interval     a number and its 90 % interval             points      measured points of a kernel, and what lies between
kernels      one launch: measured, kin, roofline        residence   cold weights, memory that the system gives first
host         what the caller does beside launches      links       bytes between a device and its host
work         a run: rows and their sum                 learnt      what whole runs taught of a machine
apart        two runs: what both share counts once
"""

from seqcost.prediction.apart import ratio as ratio
from seqcost.prediction.interval import Interval as Interval
from seqcost.prediction.interval import added as added
from seqcost.prediction.kernels import Bound as Bound
from seqcost.prediction.kernels import Kernels as Kernels
from seqcost.prediction.learnt import as_learnt as as_learnt
from seqcost.prediction.links import carried as carried
from seqcost.prediction.points import Basis as Basis
from seqcost.prediction.work import Timed as Timed
from seqcost.prediction.work import TimedRow as TimedRow
from seqcost.prediction.work import timed as timed

__all__ = [
    "Basis",
    "Bound",
    "Interval",
    "Kernels",
    "Timed",
    "TimedRow",
    "added",
    "as_learnt",
    "carried",
    "ratio",
    "timed",
]
