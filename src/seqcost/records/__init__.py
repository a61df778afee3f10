"""What was measured: frozen rows, and the store that keeps them. No torch.

job           what is to be run                        environment   machine, versions, source
run           what became of it                        statistics    an interval of the median
store         one SQLite file                          export        CSV and Parquet
pooling       several processes of one job as one record, or a refusal
reference     what fixed kernels took beside a job: how the machine was
"""

from seqcost.here import store_path as default_path
from seqcost.records.environment import Environment as Environment
from seqcost.records.environment import this_environment as this_environment
from seqcost.records.job import PHASES as PHASES
from seqcost.records.job import Job as Job
from seqcost.records.pooling import Pooled as Pooled
from seqcost.records.pooling import pool as pool
from seqcost.records.reference import Best as Best
from seqcost.records.reference import Reference as Reference
from seqcost.records.run import STATUSES as STATUSES
from seqcost.records.run import Run as Run
from seqcost.records.statistics import Interval as Interval
from seqcost.records.statistics import median_interval as median_interval
from seqcost.records.store import Store as Store

__all__ = [
    "PHASES", "STATUSES", "Best", "Environment", "Interval", "Job", "Pooled", "Reference", "Run", "Store",
    "default_path", "median_interval", "pool", "this_environment",
]  # fmt: skip
