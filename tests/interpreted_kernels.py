"""flash-linear-attention's kernels on a CPU, by Triton's interpreter: how far they are from the PyTorch form.

    TRITON_INTERPRET=1 python interpreted_kernels.py

prints a line of JSON: case → number format → error of y, of the final state and of each gradient, in the norm. Started
by tests/ops/test_interpreted.py: Triton reads the variable when it is imported. The interpreter has no bfloat16.
"""

import builtins
import dataclasses
import json
import sys
import warnings

import torch
import triton.language as tl
from engine_cases import CASES, drawn, outputs_and_gradients
from stand_in import A_GPU
from triton.runtime import interpreter
from triton.runtime.autotuner import Autotuner

from seqcost.layers import use_kernels
from seqcost.layers.ops import kernels

SIZES = (1, 70, 2, 16, 24, 1, 16, 7)
FORMATS = {"float32": torch.float32, "float16": torch.float16}


def on_a_cpu():
    """Tables and modules changed so that they run here."""
    kernels.facts = lambda: A_GPU
    for engine, kernel in kernels.KERNELS.items():
        kernels.KERNELS[engine] = dataclasses.replace(kernel, device="cpu", rounds=False)
        if kernel.package == "fla":
            kernels.load(kernel.function)
    tune = Autotuner.run

    def first_only(self, *args, **others):
        self.configs = self.configs[:1]  # none is faster here, and to find out takes a device
        return tune(self, *args, **others)

    Autotuner.run = first_only
    for name, module in list(sys.modules.items()):
        if name.startswith("fla.ops"):
            module.range = steps


def steps(*bounds):
    """Of a loop in a kernel as the compiler has them, tensors: the interpreter's are ints, which have no `.to`."""
    if not any(isinstance(bound, tl.tensor) for bound in bounds):
        return builtins.range(*bounds)
    numbers = [int(b.handle.data.item()) if isinstance(b, tl.tensor) else int(getattr(b, "value", b)) for b in bounds]
    return map(interpreter._implicit_cvt, builtins.range(*numbers))


def errors(case, dtype):
    _, run = CASES[case]
    z = drawn(SIZES, dtype=dtype)
    with use_kernels("torch"):
        exact = outputs_and_gradients(run, z)
    with use_kernels("fla"):  # or an error
        found = outputs_and_gradients(run, z)
    return [float((a - b).norm() / b.norm()) for a, b in zip(found, exact, strict=True)]


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # on import fla says that there is no device
    on_a_cpu()
    found = {}
    for case, (engine, _) in CASES.items():
        kernel = kernels.KERNELS[engine]
        if kernel.package == "fla":
            found[case] = {name: errors(case, t) for name, t in FORMATS.items() if t in kernel.dtypes}
    sys.stdout.write(json.dumps(found))
