"""From kernels that were timed to a profile of this machine, and how far the profile can be trusted. No torch.

profile    what was told, as a Machine        caches    the processor's caches
error      its own error, point by point
"""

from seqcost.calibration.caches import levels as levels
from seqcost.calibration.error import left_out as left_out
from seqcost.calibration.profile import Told as Told
from seqcost.calibration.profile import profile_of as profile_of

__all__ = ["Told", "left_out", "levels", "profile_of"]
