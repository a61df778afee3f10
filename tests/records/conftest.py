"""Rows to test with: a job, an environment and runs of them, each with what the test wants changed."""

from dataclasses import replace

import pytest

from seqcost.records import Environment, Job, Run

ENVIRONMENT = Environment(
    machine_id="0123456789ab",
    cpu_model="a processor",
    num_cores=2,
    memory_bytes=24 * 2**30,
    gpu_models=("a GPU",),
    os="Linux 6.1 x86_64",
    python_version="3.11.7",
    torch_version="2.13.0",
    numpy_version="2.4.6",
    seqcost_version="0.1.0",
    commit=None,
    dirty=None,
    source_sha256="0" * 32,
)


@pytest.fixture
def environment():
    return ENVIRONMENT


@pytest.fixture
def make_job():
    def make(**changes):
        target = {"kind": "catalogue", "name": "lstm", "sizes": {"D": 256, "L": 2}}
        return Job(**{"target": target, "phase": "train", "B": 2, "T": 100, **changes})

    return make


@pytest.fixture
def make_run(make_job):
    def make(*, environment=ENVIRONMENT, job=None, **changes):
        run = Run(
            job=job or make_job(),
            environment=environment,
            status="ok",
            wall_s=(0.3, 0.1, 0.2, 0.1 + 0.2, 0.25, 0.4),
            num_warmup=2,
            peak_allocated_bytes=1000,
            peak_resident_bytes=3000,
            baseline_resident_bytes=2000,
            started_at="2026-01-02T03:04:05+00:00",
            time_limit_s=300.0,
            memory_limit_bytes=2**34,
        )
        return replace(run, **changes)

    return make
