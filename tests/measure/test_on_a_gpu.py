"""A job on a CUDA device: seconds are the device's too, and the peak is that of its allocator."""

import pytest

from seqcost.measure import Limits, measure
from seqcost.records import Job

pytestmark = pytest.mark.gpu
MIB = 2**20
BLOCK = 512  # what the allocator rounds to
WORKSPACE = 40 * MIB  # of cuBLAS, taken at its first product and kept


def job(name, phase="forward", T=512, **sizes):
    target = {"kind": "catalogue", "name": name, "sizes": sizes}
    return Job(target=target, phase=phase, B=2, T=T, device="cuda", threads=1)


def test_a_norm_holds_what_its_tensors_take():
    T, D = 1000, 1000
    run = measure(job("norm", T=T, D=D), Limits(time_s=120))
    assert run.status == "ok", run.reason
    tensors = 4 * (2 * 2 * T * D + 2 * D)  # x and y, gain and shift
    statistics = 4 * 2 * 2 * T
    assert tensors <= run.peak_allocated_bytes <= tensors + statistics + 6 * BLOCK
    assert run.environment.gpu_models


@pytest.mark.parametrize("phase", ["forward", "train", "decode"])
def test_a_model_is_measured_in_every_phase(phase):
    run = measure(job("transformer", phase, D=64, L=2, U=256, H=4), Limits(time_s=120))
    assert run.status == "ok", run.reason
    assert min(run.wall_s) > 1e-5
    assert 0 < run.peak_allocated_bytes < 64 * MIB + WORKSPACE
