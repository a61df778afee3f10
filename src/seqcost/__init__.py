"""What a sequence model costs, from three sides that must agree: theory, code and machine.

    import seqcost
    seqcost.count("gpt2", length=1024).flops           # from the formulas, no PyTorch
    seqcost.count(my_module, inputs=(x,), phase="train")  # traced, not run
    seqcost.explain("lstm")                            # the formula page
    seqcost.letters("hf:gpt2").flops                   # 4·L·D·T² + 24·L·D²·T + 2·D·U·T, found by tracing

Importing this imports no PyTorch; what needs it imports it when called, and says so where it is not installed.
"""

from typing import TYPE_CHECKING, Any

from seqcost.algebra import Bill as Bill
from seqcost.algebra import sweep as sweep
from seqcost.errors import MissingExtra as MissingExtra
from seqcost.errors import SeqcostError as SeqcostError
from seqcost.formulas.catalogue import configure as configure
from seqcost.formulas.core.workload import Workload as Workload
from seqcost.formulas.registration import register as register

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqcost.questions.calibrate import calibrate as calibrate
    from seqcost.questions.check import check as check
    from seqcost.questions.check_architecture import check_architecture as check_architecture
    from seqcost.questions.claims import claims as claims
    from seqcost.questions.compare import compare as compare
    from seqcost.questions.count import count as count
    from seqcost.questions.diff import diff as diff
    from seqcost.questions.explain import explain as explain
    from seqcost.questions.fit import fit as fit
    from seqcost.questions.letters import letters as letters
    from seqcost.questions.predict import predict as predict
    from seqcost.trace import register_operator as register_operator
    from seqcost.trace import watch as watch

__version__ = "0.1.0"

__all__ = [
    "Bill",
    "MissingExtra",
    "SeqcostError",
    "Workload",
    "__version__",
    "calibrate",
    "check",
    "check_architecture",
    "claims",
    "compare",
    "configure",
    "count",
    "diff",
    "explain",
    "fit",
    "letters",
    "predict",
    "register",
    "register_operator",
    "sweep",
    "watch",
]

# Imported when they are asked for: name -> where it lies.
_LATE = {
    name: f"seqcost.questions.{name}"
    for name in (
        "calibrate",
        "check",
        "check_architecture",
        "claims",
        "compare",
        "count",
        "diff",
        "explain",
        "fit",
        "letters",
        "predict",
    )
}
_LATE |= dict.fromkeys(("register_operator", "watch"), "seqcost.trace")


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _LATE:
        raise AttributeError(f"module 'seqcost' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_LATE[name]), name)
    except MissingExtra as error:
        return _refusing(error)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE})


def _refusing(error: MissingExtra) -> "Callable[..., Any]":
    """In the place of a function whose package is missing: a call says so, while looking (help, dir) goes well."""

    def refuse(*args: object, **kwargs: object) -> Any:
        raise error

    return refuse
