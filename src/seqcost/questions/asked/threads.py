"""How many threads the kernels of PyTorch run on here: some take a buffer for each, which a peak of memory shows."""

import os
import sys

import psutil


def kernel_threads() -> int:
    """PyTorch's own number where it is loaded, else what it would choose: OMP_NUM_THREADS, or the physical cores."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(asked) if asked.isdigit() and int(asked) else psutil.cpu_count(logical=False) or 1
