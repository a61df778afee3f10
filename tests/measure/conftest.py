"""Jobs for the programs in loaders.py, which the measured process finds because it is told our import path."""

from pathlib import Path

import pytest

from seqcost.records import Job, environment


@pytest.fixture(autouse=True)
def own_loaders(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)


@pytest.fixture
def still_source(monkeypatch):
    """No edit of a source file while a test runs makes another environment."""
    monkeypatch.setattr(environment, "_checkout", lambda: (None, None))
    monkeypatch.setattr(environment, "_source_sha256", lambda: "0" * 32)


@pytest.fixture
def make_job():
    def make(kind="sleeps", *, T=1, text_sha256=None, threads=1, **target):
        return Job(target={"kind": kind, **target}, phase="forward", B=1, T=T, threads=threads, text_sha256=text_sha256)

    return make
