"""How many threads the kernels of PyTorch run on here: some take a buffer for each, which a peak of memory shows."""

import os
import sys
from importlib.util import find_spec


def kernel_threads() -> int:
    """PyTorch's own number where it is loaded, else what it would choose: OMP_NUM_THREADS, or the physical cores."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(asked) if asked.isdigit() and int(asked) else _cores()


def _cores() -> int:
    """The physical ones; all that the system names where psutil, which comes with PyTorch's extra, is not there."""
    if find_spec("psutil") is None:
        return os.cpu_count() or 1
    import psutil

    return psutil.cpu_count(logical=False) or 1
