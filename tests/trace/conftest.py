import pytest
import torch

from seqcost.measure.peak import peak_allocated_bytes


@pytest.fixture
def measured_peak():
    """What PyTorch's allocator really reached while a program ran."""

    def measure(program):
        program.run()  # what is made only once is made here
        return peak_allocated_bytes(program.run, program.resident_tensors(), torch.device("cpu"))

    return measure


@pytest.fixture(autouse=True)
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
