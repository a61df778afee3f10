"""What a remedy costs in predicted time: by the machine that is asked about, else by this one's profile."""

import pytest
import toy_machine

from seqcost import fit, predict
from seqcost.errors import BadMachine
from seqcost.prediction import carried
from seqcost.questions.asked.request import Request
from seqcost.questions.fitting.clock import Clock
from seqcost.questions.fitting.remedies import remedies
from seqcost.questions.fitting.setup import Setup
from seqcost.questions.fitting.solver import Solver
from seqcost.questions.targets.resolve import resolve

ASKED = {"memory": "64MiB", "sizes": {"D": 32, "L": 2, "U": 64}, "length": 64, "phase": "train"}
LINKS = {"from_device": toy_machine.value(2e9, "B/s"), "to_device": toy_machine.value(1e9, "B/s")}
OFFLOAD = "offload what is kept"


def test_the_time_of_the_target_itself_is_that_of_predict():
    toy = toy_machine.machine()
    found = fit("transformer", machine=toy, **ASKED)
    alone = predict("transformer", machine=toy, length=64, sizes=ASKED["sizes"], phase="train")
    assert abs(found.trials.own_seconds / alone.seconds.mid - 1) < 1e-9
    times = [tried.seconds for tried in found.trials.tried if tried.seconds is not None]
    assert times
    assert all(seconds > 0 for seconds in times)
    narrow = [tried for tried in found.trials.tried if any("bfloat16" in name for name in tried.names)]
    assert narrow
    assert all(tried.seconds is None for tried in narrow), "a format that the machine does not know has no time"
    assert "the time of bfloat16 is not known: toy has no peak for bfloat16" in " ".join(str(found).split())
    front = [found.trials.tried[i].seconds for i in found.trials.front if i >= 0]
    assert front
    assert None not in front


def offloaded():
    """The setup that keeps nothing on the device, and how it looks."""
    setup = Setup(subject=resolve("transformer", ASKED["sizes"]), request=Request.of(phase="train").at(64))
    (remedy,) = (remedy for remedy in remedies(accelerator=True) if remedy.name == OFFLOAD)
    away = remedy.apply(setup)
    return away, Solver(away, "length").look(64)


def test_an_offload_takes_the_time_of_its_link():
    """As many bytes as a run of the layer keeps for its way back, there and back again."""
    torch = pytest.importorskip("torch")
    from seqcost.programs import load

    away, look = offloaded()
    endless = {name: toy_machine.value(1e30, "B/s") for name in LINKS}
    on, free = (
        Clock(toy_machine.machine(device="gpu", links=links)).seconds(look, away).mid for links in (LINKS, endless)
    )
    program = load({"kind": "catalogue", "name": "transformer", "sizes": ASKED["sizes"]}, phase="train", B=1, T=64)
    weights = {p.untyped_storage().data_ptr() for p in program.module.parameters()}
    kept, forward = [], program.module.forward

    def pack(tensor):
        if tensor.untyped_storage().data_ptr() not in weights:
            kept.append(tensor.numel() * tensor.element_size())
        return tensor

    def watched(*args, **kwargs):
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            return forward(*args, **kwargs)

    program.module.forward = watched
    program.run_once()
    assert on - free == pytest.approx(sum(kept) / 2e9 + sum(kept) / 1e9)


def test_an_offload_without_a_link_has_no_time():
    away, look = offloaded()
    half = toy_machine.machine(device="gpu", links={"from_device": LINKS["from_device"]})
    with pytest.raises(BadMachine, match=r"toy has no speed of its link to the host \(links.to_device\)"):
        Clock(half).seconds(look, away)
    found = fit("transformer", machine=toy_machine.machine(device="gpu"), **ASKED)
    (one,) = (one for one in found.trials.tried if one.names == (OFFLOAD,))
    assert one.seconds is None
    assert found.trials.own_seconds > 0
    assert f"the time of {OFFLOAD} is not known: toy has no speed of its link" in " ".join(str(found).split())
    assert all(OFFLOAD not in found.trials.tried[i].names for i in found.trials.front if i >= 0)


def test_a_link_errs_as_its_profile_says():
    close, far = (
        carried(1e9, toy_machine.machine(links=dict.fromkeys(LINKS, toy_machine.value(1e9, "B/s", error))))
        for error in (0.01, None)
    )
    assert close.mid == far.mid == pytest.approx(2)
    assert close.high < 1.01 * 2 < far.high


def test_without_a_profile_nobody_can_say(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQCOST_STORE", str(tmp_path / "runs.sqlite"))
    assert fit("transformer", **ASKED).trials.own_seconds is None
