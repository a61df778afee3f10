"""The profiles that come with seqcost: all read, none says what cannot be."""

import pytest

from seqcost.errors import UnknownName
from seqcost.machines import Worth, known_machines, machine_named
from seqcost.machines.shelf import DATA

MACHINES = known_machines()
GPUS = [machine for machine in MACHINES if machine.device == "gpu"]
ASKED_FOR = [
    "a100-40gb", "a100-80gb", "a100-80gb-pcie", "h100", "h100-pcie", "h200", "b200", "l4", "l40s", "rtx-3090",
    "rtx-4090", "rtx-5090", "mi300x", "tpu-v4", "tpu-v5e", "tpu-v5p", "m1", "m1-max", "m1-ultra", "m2", "m2-max",
    "m2-ultra", "m3", "m3-max", "m4", "m4-max", "epyc-9654", "xeon-8480", "graviton3", "graviton4", "ryzen-7950x",
]  # fmt: skip


@pytest.mark.parametrize("name", ASKED_FOR)
def test_machines_that_people_have_are_there(name):
    machine = machine_named(name)
    assert machine.name == name
    assert machine.bandwidth is not None
    assert machine.peaks


def test_a_file_is_named_as_what_it_holds():
    assert {path.stem for path in DATA.glob("*.toml")} == {f"{m.name}_{m.edition}" for m in MACHINES}
    assert len(list(DATA.glob("*.toml"))) == len(MACHINES)


def test_no_name_means_two_machines():
    named = {}
    for machine in MACHINES:
        for word in (machine.name, *machine.aliases):
            assert named.setdefault(word.lower(), machine.name) == machine.name


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.key)
def test_a_driver_s_name_is_understood(machine):
    assert all(machine_named(alias).name == machine.name for alias in machine.aliases)
    assert machine_named(machine.key) == machine


@pytest.mark.parametrize("machine", GPUS, ids=lambda machine: machine.key)
def test_narrower_formats_of_a_gpu_are_no_slower(machine):
    order = ("float32", "tf32", "bfloat16", "fp8", "fp4")
    peaks = [machine.peaks[name].amount for name in order if name in machine.peaks]
    assert peaks == sorted(peaks)
    if {"bfloat16", "float16"} <= machine.peaks.keys():  # one rate; what was measured strays
        assert machine.peaks["float16"].amount == pytest.approx(machine.peaks["bfloat16"].amount, rel=0.1)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.key)
def test_amounts_are_those_of_a_machine_and_not_of_another_prefix(machine):
    assert 1e10 <= machine.memory.amount <= 1e13
    assert 5e10 <= machine.bandwidth.amount <= 1e13
    assert all(1e12 <= peak.amount <= 2e16 for peak in machine.peaks.values())
    most = max(peak.amount for name, peak in machine.peaks.items() if "int" not in name)
    assert 10 <= most / machine.bandwidth.amount <= 2000  # FLOPs that a byte can wait for


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.key)
def test_every_number_says_where_it_is_from(machine):
    for _, value in machine.values():
        assert value.date
        if value.kind is Worth.DATASHEET:
            assert "https://" in value.source
        else:
            assert len(value.source) > 20


def test_peaks_of_the_h100_are_dense():
    peaks = machine_named("h100@datasheet").peaks
    assert peaks["bfloat16"].amount == 2 * peaks["tf32"].amount == 989.4e12
    assert peaks["fp8"].amount == pytest.approx(2 * peaks["bfloat16"].amount, rel=1e-3)


def test_the_nearest_names_of_an_unknown_machine_are_told():
    with pytest.raises(UnknownName, match="unknown machine 'h10'"):
        machine_named("h10")
    with pytest.raises(UnknownName, match=r"edition of h100 '1999'"):
        machine_named("h100@1999")
