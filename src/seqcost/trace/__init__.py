"""Any torch.nn.Module and a phase -> its cost, without running it and without its memory."""

from seqcost.trace.ladder import trace as trace
from seqcost.trace.operators import forget_operator as forget_operator
from seqcost.trace.operators import register_operator as register_operator
from seqcost.trace.program import PHASES as PHASES
from seqcost.trace.program import Phase as Phase
from seqcost.trace.program import Program as Program
from seqcost.trace.program import load as load
from seqcost.trace.result import Coverage as Coverage
from seqcost.trace.result import Trace as Trace
from seqcost.trace.result import Uncounted as Uncounted
from seqcost.trace.targets import Target as Target

__all__ = [
    "PHASES", "Coverage", "Phase", "Program", "Target", "Trace", "Uncounted", "forget_operator", "load",
    "register_operator", "trace",
]  # fmt: skip
