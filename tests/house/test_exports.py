"""What each package offers: pinned, so that a change of it is meant."""

import importlib
import inspect

import pytest

from seqcost.layers.build import TWINS

EXPORTS = {
    "seqcost": (
        "Bill MissingExtra SeqcostError Workload __version__ calibrate check check_architecture claims compare "
        "configure count diff explain fit letters predict register register_operator sweep watch"
    ),
    "seqcost.algebra": (
        "Bill Curve Kind Line Size ceil_div fit leading_term lift maximum minimum sweep symbol symbols where"
    ),
    "seqcost.formulas": "Component Workload",
    "seqcost.layers": (
        "ClassHead Classifier Embedding FeedForward Head LanguageModel Layer LearnedPositions Norm Reversible "
        "SinusoidalPositions State build kernels use_kernels "
        + " ".join(twin.__name__ for twin in TWINS.values() if ".mixers." in twin.__module__)
    ),
    "seqcost.prediction": "Basis Bound Interval Kernels Timed TimedRow added as_learnt carried ratio timed",
    "seqcost.calibration": "Told differences left_out levels merged profile_of",
    "seqcost.measure": "Limits measure sweep",
    "seqcost.records": (
        "Best Environment Interval Job PHASES Pooled Reference Run STATUSES Store default_path median_interval pool "
        "this_environment"
    ),
    "seqcost.plan": "Choice Largest front largest",
    "seqcost.programs": "PHASES Phase Program Target load",
    "seqcost.trace": ("Coverage Trace Uncounted Watched forget_operator register_operator symbolic_totals trace watch"),
}


@pytest.mark.parametrize("package", EXPORTS)
def test_all_is_pinned(package):
    assert sorted(importlib.import_module(package).__all__) == sorted(EXPORTS[package].split())


@pytest.mark.parametrize("package", EXPORTS)
def test_all_is_true_and_complete(package):
    module = importlib.import_module(package)
    assert all(getattr(module, name) is not None for name in module.__all__)
    offered = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not inspect.ismodule(value) and name not in ("TYPE_CHECKING", "Any")
    }
    assert offered <= set(module.__all__)


def test_what_is_not_offered_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'seqcost' has no attribute 'cuont'"):
        importlib.import_module("seqcost").cuont  # noqa: B018
