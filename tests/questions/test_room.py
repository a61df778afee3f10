"""How much memory tensors may take, of machines made for the purpose."""

import pytest

from seqcost import fit
from seqcost.errors import UnknownName
from seqcost.machines import Machine, Value, Worth
from seqcost.questions.fitting.room import room_for


def value(amount):
    return Value(amount=amount, unit="B", kind=Worth.ASSUMED, source="made up", date="2026-01-01")


BARE = {"name": "box", "title": "Box", "device": "gpu", "edition": "2026-01-01", "memory": value(80e9)}
FULL = BARE | {
    "context_bytes": value(500e6),
    "libraries": {"linear": value(20e6), "attention": value(0)},
    "workspaces": {"linear": value(32e6)},
    "rounding": {"block": value(512), "small_segment": value(2 * 2**20), "large_segment": value(20 * 2**20)},
}


def test_what_a_process_has_before_its_first_tensor_is_taken_off():
    room = room_for(None, Machine(**FULL))
    assert room.limit_bytes == 80_000_000_000 - 500_000_000 - 20_000_000 - 32_000_000 - 22 * 2**20
    assert "74.5 GiB of Box less 477 MiB of context, 19.1 MiB of libraries, 30.5 MiB of workspaces" in room.said


def test_what_a_profile_does_not_know_is_not_taken_off():
    room = room_for(None, Machine(**BARE))
    assert (room.limit_bytes, room.said) == (80_000_000_000, "74.5 GiB of Box, its whole memory")


def test_memory_that_is_given_goes_before_the_machine():
    assert room_for("24GiB", Machine(**FULL)).limit_bytes == 24 * 2**30


def test_a_machine_is_asked_by_name_or_given():
    found = fit("transformer", machine="h100", remedies=False)
    assert found.machine.startswith("h100@")
    assert found.largest.cost <= found.limit_bytes < found.largest.next_cost
    assert fit("transformer", machine=Machine(**FULL), remedies=False).size < found.size * 81 / 80
    with pytest.raises(UnknownName, match="unknown machine 'abacus'"):
        fit("transformer", machine="abacus")


def test_a_device_beside_the_host_can_offload():
    found = fit("transformer", machine=Machine(**BARE), sizes={"L": 2, "D": 64})
    names = {one.names for one in found.trials.tried}
    assert ("offload what is kept",) in names
    assert any("form that they have on a CPU" in note for note in found.notes)
