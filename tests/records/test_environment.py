import subprocess
import sys
from dataclasses import replace
from importlib import metadata

import pytest

from seqcost.records import Environment, environment, this_environment


def test_facts_are_those_of_this_process_and_repeat():
    here = this_environment()
    assert here.torch_version == metadata.version("torch")
    assert here.python_version == sys.version.split()[0]
    assert here.num_cores >= 1
    assert here.memory_bytes > 2**28
    again = replace(this_environment(), commit=here.commit, dirty=here.dirty, source_sha256=here.source_sha256)
    assert again.fingerprint == here.fingerprint


def test_reading_them_loads_no_torch():
    script = "import sys, seqcost.measure, seqcost.records as r; r.this_environment(); print('torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"


@pytest.mark.parametrize(
    "change",
    [{"torch_version": "2.12.0"}, {"machine_id": "x"}, {"dirty": True}, {"source_sha256": "1"}, {"num_cores": 1}],
)
def test_every_fact_is_in_the_fingerprint(environment, change):
    other = replace(environment, **change)
    assert other.fingerprint != environment.fingerprint
    assert list(environment.differences(other)) == list(change)


def test_there_and_back(environment):
    assert Environment.from_dict(environment.to_dict()) == environment


def test_machine_is_told_apart_but_not_named():
    import platform

    assert len(this_environment().machine_id) == 12
    assert platform.node() not in this_environment().machine_id


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with a package in it, and our eyes turned to it."""
    package = tmp_path / "src" / "seqcost"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(environment, "PACKAGE", package)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], check=True)
    return package, git


def test_commit_and_dirt_are_those_of_the_package(checkout):
    package, git = checkout
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "first"], check=True)
    clean = this_environment()
    assert len(clean.commit) == 40
    assert clean.dirty is False
    (package.parent / "notes.txt").write_text("beside the package")
    assert this_environment() == clean
    (package / "new.py").write_text("")
    assert this_environment().dirty is True
    assert this_environment().commit == clean.commit


def test_two_dirty_trees_of_one_commit_differ(checkout):
    package, _ = checkout
    (package / "new.py").write_text("one")
    one = this_environment()
    (package / "new.py").write_text("two")
    assert this_environment().fingerprint != one.fingerprint


def test_a_repository_that_does_not_track_us_is_not_ours(checkout):
    package, git = checkout
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "somebody else's"], check=True)
    assert package.exists()
    assert this_environment().commit is None
    assert this_environment().dirty is None
