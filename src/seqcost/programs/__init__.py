"""A target made runnable: a module, its inputs, a phase of its life, its cache and its optimizer.

targets      what can be traced or measured: a catalogue name, a callable, a file, a live module
inputs       inputs for a module that came with none; own_sizes: B, T and S of those that it came with
program      a module and a phase, ready to run         training    the optimizer of a step, by name
shapes       of the state that a layer carries          parameters  their shapes, and which are trained
refusals     what no run can follow                     own_code    importing the code that a user names
hugging_face/ models of the transformers package        files/      exported programs and ONNX graphs
"""

from seqcost.extras import need as _need

_need("torch", "a trace needs")

from seqcost.programs.program import PHASES as PHASES
from seqcost.programs.program import Phase as Phase
from seqcost.programs.program import Program as Program
from seqcost.programs.program import load as load
from seqcost.programs.targets import Target as Target

__all__ = ["PHASES", "Phase", "Program", "Target", "load"]
