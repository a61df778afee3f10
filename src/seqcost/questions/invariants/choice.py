"""Which custom a module follows."""

import inspect

from torch import Tensor, nn

from seqcost.programs.hugging_face.caches import NAMES
from seqcost.questions.invariants.carriers import Carrier, OurLayer, Stateless
from seqcost.questions.invariants.customs import STATES, HuggingFace, recurrence
from seqcost.questions.invariants.direction import reads_both_ways


def carrier_of(module: nn.Module, x: Tensor, time_axis: int) -> Carrier:
    """The custom that a module follows, tried out on x, whose tokens lie on `time_axis`."""
    if callable(getattr(module, "extend", None)) and callable(getattr(module, "init_state", None)):
        return OurLayer(module)
    names = inspect.signature(module.forward).parameters
    if "input_ids" in names or ("use_cache" in names and any(name in names for name in NAMES)):
        return HuggingFace(module, x)
    state = next((name for name in STATES if name in names), None)
    if state is None:
        return Stateless(module, time_axis=time_axis)
    if reads_both_ways(module):
        return Stateless(module, " (it reads both ways)", time_axis=time_axis)
    return recurrence(module, state, x, time_axis)
