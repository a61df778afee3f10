"""Profiles as files: written and read again, whole or not at all."""

import contextlib
import re
import resource
import signal
from dataclasses import replace

import pytest
from toy_machine import learnt, machine, value

from seqcost.errors import BadMachine, BadTarget
from seqcost.machines import Cache, Value, Worth, known_machines, machine_named, read, write
from seqcost.machines.reading import parse
from seqcost.machines.writing import to_toml

H100 = machine_named("h100")


@pytest.mark.parametrize("machine", known_machines(), ids=lambda machine: machine.key)
def test_what_is_written_is_read_again(machine, tmp_path):
    write(machine, tmp_path / "profile.toml")
    assert read(tmp_path / "profile.toml") == machine


def test_what_runs_taught_is_read_again():
    taught = machine(learnt={"float32": learnt(products=1.5, calls=1 / 3, decode=1.4), "bfloat16": learnt()})
    assert parse(to_toml(taught)) == taught


def test_pools_and_loops_are_read_again():
    looped = machine(again=value(0.62, "1"), inner=value(1 / 3, "1", 0.2))
    marked = replace(looped, series=tuple(replace(one, again=True) for one in looped.series))
    assert parse(to_toml(marked)) == marked != looped
    text = to_toml(looped)
    assert parse(text) == looped
    assert [series.pool for series in parse(text).series] == [0, 2**27, 0]
    assert text.count("pool = ") == 1  # a series whose operands follow each other does not name one
    assert parse(to_toml(machine())).again is parse(to_toml(machine())).inner is None


@pytest.mark.parametrize(
    ("pool", "said"),
    [
        ("-1", "series 2 (add): pool: -1 was given; a whole number of bytes of at least 0 is allowed"),
        ("1.5", "series 2.pool: 1.5 was given; a whole number is allowed"),
        ("true", "series 2.pool: True was given; a whole number is allowed"),
        ('"L3"', "series 2.pool: 'L3' was given; a whole number is allowed"),
    ],
)
def test_a_pool_that_cannot_be_is_refused_in_one_sentence(pool, said):
    with pytest.raises(BadMachine) as told:
        parse(to_toml(machine()).replace(f"pool = {2**27}", f"pool = {pool}"))
    assert str(told.value) == said + "."


def test_a_mark_of_older_profiles_is_refused_with_those_that_there_are():
    with pytest.raises(BadMachine, match=r"series 2: unknown key 'cold'; choose from .*pool"):
        parse(to_toml(machine()).replace(f"pool = {2**27}", "cold = true"))


def test_names_that_toml_quotes_come_back():
    value = Value(amount=1 / 3, unit="s", kind=Worth.ASSUMED, source='it says "so": \\ é\x7f', date="2026", error=0.1)
    odd = replace(H100, host={"nn.Linear": {"plain": value}, 'a "b".c': {"backward": value}}, threads=3)
    assert parse(to_toml(odd)) == odd


@pytest.fixture
def full_disk():
    """No file of this process grows beyond 1,000 bytes, as where no more fit on the disk."""
    limits, answer = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    @contextlib.contextmanager
    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    yield full
    signal.signal(signal.SIGXFSZ, answer)


def test_a_full_disk_is_one_sentence_and_leaves_nothing(full_disk, tmp_path):
    with pytest.raises(BadTarget, match="cannot be written") as told, full_disk():
        write(H100, tmp_path / "profile.toml")
    assert "\n" not in str(told.value)
    assert not list(tmp_path.iterdir())


def test_what_stood_there_stays_when_the_disk_is_full(full_disk, tmp_path):
    write(machine_named("l4"), tmp_path / "profile.toml")
    with pytest.raises(BadTarget), full_disk():
        write(H100, tmp_path / "profile.toml")
    assert read(tmp_path / "profile.toml") == machine_named("l4")
    assert [path.name for path in tmp_path.iterdir()] == ["profile.toml"]


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ("", "a line is not sizes, FLOPs, bytes, seconds"),
        ("1 2 3", "a line is not sizes, FLOPs, bytes, seconds"),
        ("1 2 3 4 5", "a line has no sizes"),
        ("8 8 x 8 1 1 1", "a line is not sizes, FLOPs, bytes, seconds"),
        ("8 8 8 8 -1 1 1", "in this order is allowed"),
        ("8 8 8 8 nan nan nan", "in this order is allowed"),
        ("8 8 8 8 2 3 4", "in this order is allowed"),
        ("8 8 -8 8 1 1 1", "flops: -8.0 was given"),
        ("0 8 8 8 1 1 1", "not whole numbers above 0"),
        ("8 8 8 8 1 1 1\n8 8 8 8 1 1 1 1", "as many at each point"),
    ],
)
def test_points_that_cannot_be_are_refused(points, said):
    text = to_toml(replace(H100, series=H100.series[:1]))
    text = re.sub(r"points = '''\n.*'''", lambda _: f"points = '''\n{points}\n'''", text, flags=re.DOTALL)
    with pytest.raises(BadMachine) as told:
        parse(text)
    assert said in str(told.value)
    assert "\n" not in str(told.value)
    assert str(told.value).startswith("series 1")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "H 100"}, "name: 'H 100' was given"),
        ({"device": "npu"}, "device: 'npu' was given"),
        ({"edition": "yesterday"}, "edition: 'yesterday' was given"),
        ({"threads": 0}, "threads: 0 was given"),
        ({"peaks": {"float17": H100.memory}}, "'float17' was given"),
        ({"links": {"there": H100.memory}}, "'there' was given"),
        ({"rounding": {"blocks": H100.memory}}, "'blocks' was given"),
        ({"caches": (Cache(name="L2", size=H100.memory),) * 2}, "one level stands there twice"),
        ({"caches": (Cache(name="L9", size=H100.memory),)}, "'L9' was given"),
        ({"host": {"add": {"sideways": H100.launch}}}, "'sideways' was given"),
        ({"error": {"all": (0.1,)}}, "two numbers of at least 0"),
        ({"again": value(0.0, "1")}, "again.amount: 0.0 was given; a finite number above 0 is allowed"),
        ({"inner": value(-0.5, "1")}, "inner.amount: -0.5 was given"),
        ({"again": value(0.5, "s")}, "again.unit: 's' was given; 1 is its unit"),
        ({"learnt": {"float17": learnt()}}, "'float17' was given"),
        ({"learnt": {"float32": learnt(sums=1.0)}}, "'sums' was given"),
        ({"learnt": {"float32": learnt(calls=0.0)}}, "learnt.float32.parts.calls.amount: 0.0 was given"),
        ({"learnt": {"float32": replace(learnt(), num_runs=3)}}, "10 of 3"),
        ({"learnt": {"float32": replace(learnt(), after=(0.1,))}}, "learnt.float32.after: (0.1,) was given"),
        ({"error": {"sums": (0.1, 0.2)}}, "'sums' was given"),
        ({"memory": replace(H100.memory, source=" ")}, "its source is empty"),
        ({"memory": replace(H100.memory, error=-1.0)}, "memory.error: -1.0 was given"),
        ({"peaks": {"int8": replace(H100.peaks["bfloat16"])}}, "OP/s is its unit"),
    ],
)
def test_a_machine_that_cannot_be_is_refused_in_one_sentence(change, said):
    with pytest.raises(BadMachine) as told:
        replace(H100, **change)
    assert said in str(told.value)
    assert "\n" not in str(told.value)


def test_a_file_far_too_large_is_refused_unread(tmp_path):
    with (tmp_path / "large.toml").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(BadMachine, match=r"1,073,741,824 bytes"):
        read(tmp_path / "large.toml")
