"""What was measured: frozen rows, and the store that keeps them. No torch.

job           what is to be run                        environment   machine, versions, source
run           what became of it                        statistics    an interval of the median
store         one SQLite file                          export        CSV and Parquet
pooling       repetitions of several runs as one, or a refusal
"""

from seqcost.here import store_path as default_path
from seqcost.records.environment import Environment as Environment
from seqcost.records.environment import this_environment as this_environment
from seqcost.records.job import PHASES as PHASES
from seqcost.records.job import Job as Job
from seqcost.records.pooling import merge as merge
from seqcost.records.run import STATUSES as STATUSES
from seqcost.records.run import Run as Run
from seqcost.records.statistics import Interval as Interval
from seqcost.records.statistics import median_interval as median_interval
from seqcost.records.store import Store as Store

__all__ = [
    "PHASES", "STATUSES", "Environment", "Interval", "Job", "Run", "Store", "default_path", "median_interval",
    "merge", "this_environment",
]  # fmt: skip
