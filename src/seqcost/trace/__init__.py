"""What any torch.nn.Module costs in a phase, without running it and without its memory.

ladder       rungs in turn, lengths, polynomials: `trace`
rungs        ways of running a target: fake tensors, real tensors
sighting     one booked run, or one derived from others
blocks       what a length is rounded up to
symbolic     a second derivation, with a symbolic length
letters      costs at other sizes than the target's own
watch        the same book around any code
book/        every operator as it runs, every block of memory      operators/  what one operator costs
answer/      the result, what memory consists of, wording
"""

from seqcost.extras import need as _need

_need("torch", "a trace needs")

from seqcost.trace.answer.result import Coverage as Coverage
from seqcost.trace.answer.result import Trace as Trace
from seqcost.trace.answer.result import Uncounted as Uncounted
from seqcost.trace.ladder import trace as trace
from seqcost.trace.operators.registry import forget_operator as forget_operator
from seqcost.trace.operators.registry import register_operator as register_operator
from seqcost.trace.symbolic import symbolic_totals as symbolic_totals
from seqcost.trace.watch import Watched as Watched
from seqcost.trace.watch import watch as watch

__all__ = [
    "Coverage", "Trace", "Uncounted", "Watched", "forget_operator", "register_operator", "symbolic_totals", "trace",
    "watch",
]  # fmt: skip
