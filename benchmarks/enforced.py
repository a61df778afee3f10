"""A run under a limit of memory that PyTorch's own allocator enforces: what would pass it is refused, and the run ends.

`limited_allocator.cpp` is compiled at the first use, which needs g++. It stands in for the allocator of the CPU: the
bytes that it counts are those that tensors ask for, as in `measure.peak`; Python, libraries and what malloc keeps for
later are not among them, nor scratchpads of oneDNN and MKL.
"""

import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch

SOURCE = Path(__file__).with_name("limited_allocator.cpp")


@cache
def allocator() -> ctypes.CDLL:
    """The compiled allocator, loaded into this process."""
    home = Path(torch.__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "limited_allocator.so"
        libraries = ["-L", str(home / "lib"), "-lc10"]
        order = ["g++", "-shared", "-fPIC", "-O1", "-std=c++20", "-I", str(home / "include"), str(SOURCE)]
        subprocess.run([*order, "-o", str(built), *libraries], check=True)
        found = ctypes.CDLL(str(built))
    found.begin.argtypes = (ctypes.c_int64, ctypes.c_int64)
    found.most_held.restype = found.refused.restype = ctypes.c_int64
    return found


def enforced(run: Callable[[], object], base_bytes: int, limit_bytes: int) -> dict[str, int]:
    """Run within a limit, of which `base_bytes` are taken: the most bytes `held`, and those `refused` (0: none were).

    A refusal ends the run, as an accelerator's would.
    """
    library = allocator()
    library.begin(base_bytes, limit_bytes)
    try:
        run()
    except torch.OutOfMemoryError:
        pass
    finally:
        library.end()
    return {"held": library.most_held(), "refused": library.refused()}
