"""By how much one run takes longer than another on the same machine, with what both share counted once.

Two predictions err together where they rest on the same: a kernel's series, what calls cost, what fresh memory costs,
how the machine strays from run to run. Of a group that errs together what counts is the difference of its shares in the
two times; what strays with the machine cancels. Each model's own stray counts for both.
"""

import math

from seqcost.prediction.interval import Interval
from seqcost.prediction.work import Timed


def ratio(one: Timed, other: Timed) -> Interval:
    """One's time over the other's: a 90 % interval. Both take time."""
    first, second = ({group: error / run.seconds.mid for group, error in run.errors.items()} for run in (one, other))
    groups = first.keys() | second.keys()
    apart = math.hypot(*(first.get(group, 0.0) - second.get(group, 0.0) for group in sorted(groups)))
    spread = math.hypot(apart, one.spread_of_model, other.spread_of_model)
    return Interval.around(one.seconds.mid / other.seconds.mid, spread)
