"""Fixtures of the rooms that trace: the peak that PyTorch's allocator reached, beside the traced one."""

import pytest
import torch

from seqcost.measure.peak import peak_allocated_bytes
from seqcost.programs import Target
from seqcost.programs.inputs import Inputs
from seqcost.programs.program import prepare
from seqcost.trace.rungs import fake_rung


@pytest.fixture
def measured_peak():
    """What PyTorch's allocator really reached while a program ran."""

    def measure(program):
        program.run()  # what is made only once is made here
        return peak_allocated_bytes(program.run_once, program.lasting_tensors(), torch.device("cpu"))

    return measure


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def peaks(measured_peak):
    """Peak bytes of a module's run, traced on fake tensors and real."""

    def both(module, inputs, phase="train"):
        rung = fake_rung(Target.of_module(module, inputs), phase=phase, B=2, dtype="float32")
        traced = rung.look(16).peak_bytes
        return traced, measured_peak(prepare(module, Inputs.of(inputs), phase=phase))

    return both
