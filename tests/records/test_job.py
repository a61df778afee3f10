import subprocess
import sys

import pytest

from seqcost.errors import BadSize, BadTarget, UnknownName
from seqcost.records import Job

TARGET = {"kind": "catalogue", "name": "lstm", "sizes": {"D": 256, "L": 2}}


def test_order_of_keys_and_kind_of_mapping_make_no_other_job(make_job):
    reordered = {"sizes": {"L": 2, "D": 256}, "name": "lstm", "kind": "catalogue"}
    assert make_job(target=reordered) == make_job(target=TARGET)
    assert len({make_job(target=reordered), make_job(target=TARGET)}) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"target": {**TARGET, "sizes": {"D": 257, "L": 2}}}, {"phase": "forward"}, {"B": 3}, {"T": 101},
        {"dtype": "bfloat16"}, {"device": "cuda"}, {"threads": 2}, {"text_sha256": "0" * 64},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_every_field_makes_another_job(make_job, change):
    assert make_job(**change) != make_job()
    assert make_job(**change).key != make_job().key


def test_key_is_stable_across_processes_and_versions(make_job):
    # a change of this literal orphans every run in every store: raise the store's version with it
    assert make_job().key == "79f637824e4dd0348a3a2189395ff23f"
    script = f"from seqcost.records import Job; print(Job(**{make_job().to_dict()!r}).key)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == make_job().key


def test_later_changes_of_the_callers_dict_do_not_reach_the_job(make_job):
    target = {"kind": "callable", "path": "a:b", "sizes": {"D": 1}}
    job = make_job(target=target)
    target["sizes"]["D"] = 2
    assert job.target["sizes"]["D"] == 1


def test_a_job_reads_as_a_line(make_job):
    assert str(make_job()) == "lstm, train, B 2, T 100, float32 on cpu, 1 thread"
    assert str(make_job(target={"kind": "callable", "path": "a:b"}, threads=2)).startswith("a:b, train")


def test_there_and_back(make_job):
    assert Job(**make_job(text_sha256="ab").to_dict()) == make_job(text_sha256="ab")


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"phase": "backward"}, UnknownName, "unknown phase 'backward'"),
        ({"T": 0}, BadSize, "T of a job is a whole number from 1 on, not 0"),
        ({"B": 2.0}, BadSize, "not 2.0"),
        ({"threads": True}, BadSize, "not True"),
        ({"target": {"name": "lstm"}}, BadTarget, "a mapping with a 'kind'"),
        ({"target": "lstm"}, BadTarget, "not 'lstm'"),
        ({"target": {"kind": "callable", "path": object()}}, BadTarget, "what JSON can hold"),
        ({"target": {"kind": "catalogue", "sizes": {"D": float("nan")}}}, BadTarget, "what JSON can hold"),
    ],
)
def test_what_a_job_refuses(make_job, change, error, words):
    with pytest.raises(error, match=words):
        make_job(**change)
