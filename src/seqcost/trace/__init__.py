"""Any torch.nn.Module and a phase -> its cost, without running it and without its memory.

targets      what can be traced or measured             ladder       rungs in turn, lengths, polynomials: `trace`
inputs       inputs for a module that came with none    rungs        fake tensors, real tensors
program      a module and a phase, ready to run         symbolic     a second derivation, with a symbolic length
ledger       every operator is booked                   sighting     one booked run, or one derived from others
operators    which formula belongs to which operator    contractions, elementwise, traffic: the formulas
memory       what is alive, and the peak                temporaries, cpu_kernels: what the CPU does besides
history      every block as it comes and goes           composition  the peak by category, the timeline
training     the optimizer of a step, by name           foreach      its operators on lists
paths        which module an operator belongs to        fakes, shapes, trees: tensors without memory
watch        the same ledger around any code            hugging_face models from a configuration
letters      costs at other sizes than the target's own
axes         which axis of a program is T               replayed    programs from files, as modules
exported     programs of torch.export                   onnx_file, onnx_graph, onnx_operators, onnx_layers: ONNX
blocks       what a length is rounded up to             higher_order operators that take functions
factorisations, windows: more formulas of operators     versions    of the packages that a trace rests on
"""

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
from seqcost.trace.symbolic import symbolic_totals as symbolic_totals
from seqcost.trace.targets import Target as Target
from seqcost.trace.watch import Watched as Watched
from seqcost.trace.watch import watch as watch

__all__ = [
    "PHASES", "Coverage", "Phase", "Program", "Target", "Trace", "Uncounted", "Watched", "forget_operator",
    "load", "register_operator", "symbolic_totals", "trace", "watch",
]  # fmt: skip
