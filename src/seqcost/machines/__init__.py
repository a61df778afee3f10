"""Machines: what they can do at most and what their kernels were seen to take, each number with its source. No torch.

machine       Machine                                  values     what it is made of: Value, Cache, Series
checks        what must hold of every number
reading       a profile, from TOML                     writing    a profile, to TOML
shelf         machines by name: those that come with seqcost, those calibrated here, files
"""

from seqcost.machines.machine import Machine as Machine
from seqcost.machines.reading import read as read
from seqcost.machines.shelf import home as home
from seqcost.machines.shelf import known_machines as known_machines
from seqcost.machines.shelf import machine_named as machine_named
from seqcost.machines.values import Cache as Cache
from seqcost.machines.values import Learnt as Learnt
from seqcost.machines.values import Series as Series
from seqcost.machines.values import Value as Value
from seqcost.machines.values import Worth as Worth
from seqcost.machines.writing import write as write

__all__ = [
    "Cache",
    "Learnt",
    "Machine",
    "Series",
    "Value",
    "Worth",
    "home",
    "known_machines",
    "machine_named",
    "read",
    "write",
]
