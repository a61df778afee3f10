"""From kernels that were timed to a profile of this machine, and how far the profile can be trusted. No torch.

profile    what was told, as a Machine             caches         the processor's caches
host       launches, views, calls of modules       models         what models of its own teach
error      its own error, point by point           merging        formats of one machine in one profile
"""

from seqcost.calibration.caches import levels as levels
from seqcost.calibration.error import left_out as left_out
from seqcost.calibration.merging import differences as differences
from seqcost.calibration.merging import merged as merged
from seqcost.calibration.profile import Told as Told
from seqcost.calibration.profile import profile_of as profile_of

__all__ = ["Told", "differences", "left_out", "levels", "merged", "profile_of"]
