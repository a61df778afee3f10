"""The table of kernels that a profile is made of: what each case launches, what it costs, how it is timed."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from seqcost.algebra.work import Direction, Kernel
from seqcost.measure.kernels import Case
from seqcost.measure.kernels.calls import call_of
from seqcost.measure.kernels.clock import REPETITIONS, middle, quiet, timed
from seqcost.measure.kernels.facts import calls_from_python, empty_kernel
from seqcost.measure.kernels.others import others
from seqcost.measure.kernels.products import fits, products

CPU = torch.device("cpu")
TABLE = [*products("float32"), *others("float32")]
NUM_SIZES = {
    Kernel.PRODUCT: 3, Kernel.BATCHED_PRODUCT: 4, Kernel.ATTENTION: 6, Kernel.CONVOLUTION: 5, Kernel.RECURRENCE: 4,
    Kernel.FFT: 2, Kernel.REDUCTION: 2, Kernel.SCAN: 2, Kernel.SOFTMAX: 2, Kernel.NORM: 2, Kernel.SORT: 2,
    Kernel.ELEMENTWISE: 1, Kernel.COPY: 1, Kernel.GATHER: 1, Kernel.SCATTER: 1, Kernel.FILL: 1, Kernel.RANDOM: 1,
}  # fmt: skip
SMALL = {1: (768,), 2: (3, 16), 3: (4, 5, 6), 4: (2, 3, 4, 5), 5: (2, 6, 6, 3, 10), 6: (2, 2, 7, 7, 8, 8)}


def shrunk(case):
    sizes = (2, 1, 6, 4, 9) if case.operator == "depthwise" else SMALL[len(case.sizes)]
    operator = case.operator.partition(":")[0] + ":64" * (":" in case.operator)
    return replace(case, sizes=sizes, operator=operator, pool=0)


KINDS = list(dict.fromkeys(map(shrunk, TABLE)))


def test_the_table_names_each_case_once_and_gives_the_sizes_of_its_kernel():
    assert len(set(TABLE)) == len(TABLE)
    assert {case.kernel for case in TABLE} == set(NUM_SIZES)
    assert all(len(case.sizes) == NUM_SIZES[case.kernel] for case in TABLE)
    assert all(case.bytes > 0 for case in TABLE)
    assert any(case.sizes[0] == 1 for case in products("bfloat16") if fits(case))  # decoding


@pytest.mark.parametrize("case", KINDS, ids=lambda case: f"{case.operator}-{case.direction}-{case.causal}")
def test_every_operator_of_the_table_runs_again_and_again(case):
    with quiet(CPU):
        call = call_of(case, CPU)
        first, second = call(), call()
    if case.direction == Direction.BACKWARD:
        assert all(torch.isfinite(gradient).all() for gradient in first)
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    "case",
    [
        case
        for case in KINDS
        if case.kernel in (Kernel.PRODUCT, Kernel.BATCHED_PRODUCT, Kernel.CONVOLUTION)
        and case.direction == Direction.FORWARD
    ],
    ids=lambda case: case.operator,
)
def test_flops_are_those_that_pytorch_counts(case):
    with quiet(CPU):
        call = call_of(case, CPU)
        with FlopCounterMode(display=False) as counter:
            call()
    assert counter.get_total_flops() == case.flops


def test_causal_attention_and_its_backward_pass_have_their_share_of_the_products():
    whole = Case(kernel=Kernel.ATTENTION, operator="attention", sizes=(2, 3, 10, 10, 4, 5), dtype="float32")
    assert whole.flops == 2 * 2 * 3 * 10 * 10 * (4 + 5)
    assert replace(whole, causal=True).flops == whole.flops // 2
    assert replace(whole, direction=Direction.BACKWARD).flops == 5 * whole.flops // 2


def test_copies_of_the_operands_take_turns():
    calls = []
    found = timed([lambda: calls.append("a"), lambda: calls.append("b")], CPU)
    assert found.device_s == ()
    assert len(found.called_s) == REPETITIONS
    assert found.launches >= 2
    assert calls[:2] == ["a", "b"]
    assert abs(calls.count("a") - calls.count("b")) <= REPETITIONS


def test_longer_work_takes_longer():
    with quiet(CPU):
        short, long = (timed([torch.zeros(n).exp], CPU) for n in (10, 3_000_000))
    assert min(long.called_s) > 5 * min(short.called_s)


def test_quartiles():
    assert middle([3.0]) == (3.0, 3.0, 3.0)
    assert middle([5.0, 1.0, 2.0, 4.0, 3.0]) == (2.0, 3.0, 4.0)


def test_calls_and_empty_kernels_take_microseconds():
    assert 0 < empty_kernel(CPU)["called_s"] < 1e-2
    with quiet(CPU):
        found = calls_from_python(CPU)
    assert 0 < found["add"]["plain_s"] < 1e-2
    assert found["linear"]["backward_s"] > 0


def test_the_table_loads_no_torch():
    script = (
        "import sys, seqcost.measure.kernels.products, seqcost.measure.kernels.others; print('torch' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"
    )
