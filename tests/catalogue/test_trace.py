"""Formula and trace: two accounts of one cost that agree to the FLOP, the byte and the operator, in every phase."""

from operator import attrgetter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import KINDS, drawn_config, examples, typical

from seqcost.algebra import Kind
from seqcost.algebra.work import Kernel, depth_of
from seqcost.formulas.core.workload import Workload
from seqcost.layers import build
from seqcost.programs import Target
from seqcost.questions.answers.formula import Reading
from seqcost.questions.answers.phases import by_formula, peak_by_formula
from seqcost.questions.asked.request import Request
from seqcost.trace import trace

every_kind = pytest.mark.parametrize("variant", KINDS, ids=attrgetter("id"))
SIZES = {"B": st.integers(1, 3), "T": st.integers(2, 14), "S": st.integers(1, 9)}


def both(config, phase, B, T, S, dtype="float32"):
    """The formula's answer and the trace of the layer, at one size."""
    itemsize, threads = getattr(torch, dtype).itemsize, torch.get_num_threads()
    run = Workload(B=B, T=T, S=S if config.takes_source else 0, itemsize=itemsize, threads=threads)
    target = Target("layer", lambda: build(config), own_mode=True, source=S if config.takes_source else None)
    written = by_formula(config, run, phase, remembering=True)
    composition = peak_by_formula(config, run, phase)
    assert composition.peak_bytes == written.peak_bytes
    traced = trace(target, phase=phase, B=B, T=T, lengths=(), dtype=dtype)
    assert not traced.uncounted
    assert {row.name for row in traced.rows if row.kernel is Kernel.OTHER} == set()
    assert depth_of(traced.rows).total() == traced.depth
    assert traced.memory.categories == composition.categories
    assert traced.memory.phase == composition.phase
    return written, traced


def launched(rows, *of):
    """Launches, bytes and bytes of new memory of rows that are alike in `of`; apart from lines of a kernel's shares."""
    counted = {}
    for row in rows:
        if row.launches:
            key = tuple(getattr(row, name) for name in of)
            before = counted.get(key, (0, 0, 0))
            counted[key] = tuple(a + b for a, b in zip(before, (row.launches, row.bytes, row.fresh), strict=True))
    return counted


def check_the_same(written, traced):
    """FLOPs, bytes, the chain of operators, the peak, and what is launched, of which sizes, how often: exactly."""
    bills = written.bills
    assert traced.flops.total(Kind.CONTRACTION) == bills.flops.total(Kind.CONTRACTION)
    assert traced.flops.total(Kind.POINTWISE) == bills.flops.total(Kind.POINTWISE)
    kinds = ("direction", "operator", "kernel", "sizes", "itemsize")
    assert launched(traced.rows, *kinds) == launched(written.rows, *kinds)
    assert launched(traced.rows, "direction") == launched(written.rows, "direction")
    assert traced.traffic.total() == bills.moved.total()
    assert traced.depth == bills.depth.total()
    assert traced.peak_bytes == written.peak_bytes


@every_kind
@examples(4)
@given(data=st.data(), **SIZES)
def test_forward(variant, data, B, T, S):
    written, traced = both(data.draw(drawn_config(variant)), "forward", B, T, S)
    check_the_same(written, traced)
    assert traced.saved.total() == written.bills.saved.total()
    assert traced.params == traced.trainable_params == written.bills.params.total()


@every_kind
@examples(4)
@given(data=st.data(), **SIZES)
def test_forward_and_backward(variant, data, B, T, S):
    config = data.draw(drawn_config(variant))
    written, traced = both(config, "train", B, T, S)
    check_the_same(written, traced)
    assert traced.saved.total() == written.bills.saved.total()


@every_kind
@pytest.mark.parametrize("phase", ["prefill", "decode"])
@examples(2)
@given(data=st.data(), **SIZES)
def test_with_a_carried_state(variant, phase, data, B, T, S):
    config = data.draw(drawn_config(variant))
    if not config.decodes:
        return
    written, traced = both(config, phase, B, T, S)
    check_the_same(written, traced)
    assert traced.state_bytes == written.bills.state.total()


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
@every_kind
def test_in_numbers_of_another_width(variant, dtype):
    """What is cast, and what is kept in which width; the phases take turns over the kinds."""
    config = typical(variant)
    if dtype == "float64" and variant.id.startswith("lstm"):
        pytest.skip("in float64 torch.nn.LSTM is a loop of small operators, which the formula does not cover")
    phases = ("train", "forward", "prefill", "decode") if config.decodes else ("train", "forward")
    phase = phases[KINDS.index(variant) % len(phases)]
    written, traced = both(config, phase, 2, 5, 3, dtype)
    check_the_same(written, traced)
    if phase in ("train", "forward"):
        assert traced.saved.total() == written.bills.saved.total()
    else:
        assert traced.state_bytes == written.bills.state.total()


LIFTED = ("attention-materialised", "gru-layer", "lstm", "gpt2", "bert-base", "encoder-decoder-pre", "transformer")


@pytest.mark.parametrize("variant", [v for v in KINDS if v.id in LIFTED], ids=attrgetter("id"))
def test_the_polynomials_are_the_same(variant):
    config = typical(variant)
    target = Target("layer", lambda: build(config), own_mode=True)
    traced = trace(target, phase="forward", B=2, T=33)
    formula = Reading("layer", config, Request(B=2)).at(33)
    for name in ("flops", "pointwise", "bytes_moved", "depth"):
        assert traced.polynomials[name].coefficients == formula.polynomials[name].coefficients, name
