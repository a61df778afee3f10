"""What is optional: which packages the small install leaves out, and the `pip install` line that brings each.

`pip install seqcost` answers all that formulas answer. A room that needs more asks for it here, in the first line of
its `__init__`, so that whoever imports it without the package reads one sentence instead of a traceback.
"""

import sys
from importlib.util import find_spec

from seqcost.errors import MissingExtra

# package, as it is imported -> (as people call it, the extra of pyproject.toml that brings it)
PACKAGES = {
    "torch": ("PyTorch", "torch"),
    "psutil": ("psutil", "torch"),
    "transformers": ("the transformers package", "hf"),
    "onnx": ("the onnx package", "onnx"),
    "pyarrow": ("pyarrow", "parquet"),
    "matplotlib": ("matplotlib", "plot"),
}


def installed(package: str) -> bool:
    """Whether one of `PACKAGES` can be imported; nothing is."""
    assert package in PACKAGES
    return sys.modules.get(package) is not None or find_spec(package) is not None


def need(package: str, who: str) -> None:
    """Nothing where one of `PACKAGES` is installed; `who` begins the sentence where it is not: "a trace needs".

    Raises MissingExtra, which names the `pip install` line.
    """
    if not installed(package):
        raise MissingExtra(missing(package, who))


def missing(package: str, who: str) -> str:
    """The sentence: "a trace needs PyTorch: pip install 'seqcost[torch]'."."""
    called, extra = PACKAGES[package]
    return f"{who} {called}: pip install 'seqcost[{extra}]'."
