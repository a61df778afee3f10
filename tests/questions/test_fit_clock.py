"""What a remedy costs in predicted time: by the machine that is asked about, else by this one's profile."""

import toy_machine

from seqcost import fit, predict

ASKED = {"memory": "64MiB", "sizes": {"D": 32, "L": 2, "U": 64}, "length": 64, "phase": "train"}


def test_the_time_of_the_target_itself_is_that_of_predict():
    toy = toy_machine.machine()
    found = fit("transformer", machine=toy, **ASKED)
    alone = predict("transformer", machine=toy, length=64, sizes=ASKED["sizes"], phase="train")
    assert abs(found.trials.own_seconds / alone.seconds.mid - 1) < 1e-9
    times = [tried.seconds for tried in found.trials.tried if tried.seconds is not None]
    assert times
    assert all(seconds > 0 for seconds in times)


def test_a_remedy_in_a_format_that_the_machine_does_not_know_has_no_time():
    found = fit("transformer", machine=toy_machine.machine(), **ASKED)
    narrow = [tried for tried in found.trials.tried if any("bfloat16" in name for name in tried.names)]
    assert narrow
    assert all(tried.seconds is None for tried in narrow)


def test_without_a_profile_nobody_can_say(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQCOST_STORE", str(tmp_path / "runs.sqlite"))
    assert fit("transformer", **ASKED).trials.own_seconds is None
