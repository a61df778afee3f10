"""Claims: facts that papers and arithmetic give, and rules on made-up figures, whose verdicts must follow them."""

import pytest

from seqcost.errors import BadSize
from seqcost.questions.answers.claims import Figure, Verdict
from seqcost.questions.asked.runs import Runs
from seqcost.questions.claiming import forms, learning, mamba, memory, recurrences, transformers
from seqcost.questions.claiming.bench import Bench, Wanted, filled, ratio
from seqcost.questions.claiming.plain import attention
from seqcost.questions.claims import CLAIMS, claims
from seqcost.records import Run, pool, this_environment


class Numbers(dict):
    """Figures by name; a tuple is (low, value, high), None what is not known."""

    def __init__(self, **given):
        super().__init__({name: self.figure(name, value) for name, value in given.items()})

    @staticmethod
    def figure(name, value):
        low, value, high = value if isinstance(value, tuple) else (None, value, None)
        return Figure(what=name, value=value, low=low, high=high)


RULES = [
    # rule, figures, verdict
    (
        transformers.rule_square,
        Numbers(square=2048, linear=6e6, equal_at=3072, equal_in_widths=6, share_512=14, share_32k=91),
        "true when",
    ),
    (transformers.rule_square, Numbers(square=2048, linear=0), "true"),
    (transformers.rule_square, Numbers(square=0, linear=6e6), "false"),
    (transformers.rule_parts, Numbers(attention=2, feed_forward=1, own_linear=2, equal_at=1024), "true when"),
    (transformers.rule_parts, Numbers(attention=2, feed_forward=1, own_linear=0, equal_at=0), "true"),
    (transformers.rule_parts, Numbers(attention=1, feed_forward=1, own_linear=2, equal_at=0), "false"),
    (transformers.rule_position, Numbers(growth=32.0, lstm=1, doubled_at=3072, time=1.3), "false"),
    (transformers.rule_position, Numbers(growth=1.5, lstm=1, doubled_at=300_000, time=None), "true when"),
    (transformers.rule_position, Numbers(growth=1.0, lstm=1, doubled_at=1, time=None), "true"),
    (transformers.rule_softmax, Numbers(square=2, linear=1, share=0.02, time=(0.02, 0.03, 0.05)), "true"),
    (transformers.rule_softmax, Numbers(square=2, linear=1, share=0.02, time=(0.2, 0.3, 0.4)), "true when"),
    (transformers.rule_softmax, Numbers(square=2, linear=1, share=0.02, time=(0.05, 0.08, 0.2)), "not told"),
    (transformers.rule_softmax, Numbers(square=2, linear=1, share=0.3, time=(0.2, 0.3, 0.4)), "false"),
    (transformers.rule_softmax, Numbers(square=1, linear=1, share=0.02, time=(0.02, 0.03, 0.05)), "false"),
    (transformers.rule_exponential, Numbers(power=2, power_fused=1, last=16.0, fused=4.0), "false"),
    (transformers.rule_exponential, Numbers(power=2, power_fused=1, last=1e9, fused=4.0), "true"),
    (
        recurrences.rule_at_once,
        Numbers(attention=3, attention_long=3, rnn=515, rnn_long=65_539, generating=1536, time=4.0),
        "true when",
    ),
    (
        recurrences.rule_at_once,
        Numbers(attention=3, attention_long=3, rnn=515, rnn_long=65_539, generating=3, time=None),
        "true",
    ),
    (
        recurrences.rule_at_once,
        Numbers(attention=3, attention_long=9, rnn=515, rnn_long=65_539, generating=3, time=None),
        "false",
    ),
    (
        recurrences.rule_at_once,
        Numbers(attention=3, attention_long=3, rnn=5, rnn_long=5, generating=3, time=None),
        "false",
    ),
    (recurrences.rule_chat, Numbers(a=1.9, b=0.51), "true"),
    (recurrences.rule_chat, Numbers(a=1.9, b=5.2, c=None), "true when"),
    (recurrences.rule_chat, Numbers(a=2.1, b=0.4), "false"),
    (recurrences.rule_translation, Numbers(time_rnn=(3, 4, 5), time_lstm=(1.6, 2, 3)), "true"),
    (recurrences.rule_translation, Numbers(time_rnn=(3, 4, 5), time_lstm=(0.9, 1, 1.1)), "true when"),
    (recurrences.rule_translation, Numbers(time_rnn=(0.9, 1, 1.1), time_lstm=(0.9, 1, 1.1)), "false"),
    (recurrences.rule_translation, Numbers(time_rnn=(0.9, 2, 4), time_lstm=(0.9, 2, 4)), "not told"),
    (recurrences.rule_translation, Numbers(time_rnn=None, time_lstm=2, flops_rnn=17, flops_lstm=5), "not told"),
    (forms.rule_heads, Numbers(heads=8, tokens=48, width=512, tokens_a_head=48, width_a_head=64, flops=1.0), "false"),
    (forms.rule_heads, Numbers(heads=8, tokens=48, width=512, tokens_a_head=6, width_a_head=512, flops=1.0), "true"),
    (
        forms.rule_heads,
        Numbers(heads=8, tokens=48, width=512, tokens_a_head=6, width_a_head=64, flops=1.0),
        "true when",
    ),
    (forms.rule_in_python, Numbers(error=1e-7, times=(90, 100, 110), rate=1e7), "true"),
    (forms.rule_in_python, Numbers(error=1e-7, times=(3, 4, 5), rate=1e7), "true when"),
    (forms.rule_in_python, Numbers(error=1e-7, times=(0.5, 0.6, 0.7), rate=1e7), "false"),
    (forms.rule_in_python, Numbers(error=0.1, times=(90, 100, 110), rate=1e7), "false"),
    (forms.rule_as_an_rnn, Numbers(error=1e-7, power=0, attention=1, short=576, long=576), "true when"),
    (forms.rule_as_an_rnn, Numbers(error=1e-7, power=0, attention=0, short=576, long=576), "true"),
    (forms.rule_as_an_rnn, Numbers(error=1e-7, power=1, attention=1, short=96, long=576), "false"),
    (forms.rule_as_an_rnn, Numbers(error=0.3, power=0, attention=1, short=576, long=576), "false"),
    (
        forms.rule_converted,
        Numbers(error=1e-7, power=0, attention=1, short=8, long=8, equal_at=33, weights=99.8),
        "true when",
    ),
    (
        forms.rule_converted,
        Numbers(error=1e-7, power=0, attention=1, short=8, long=48, equal_at=33, weights=99.8),
        "false",
    ),
    (memory.rule_reversible, Numbers(kept=0.01, peak=None, lsh=1, attention=2, cheaper_from=358), "true when"),
    (memory.rule_reversible, Numbers(kept=0.01, peak=0.4, lsh=1, attention=2, cheaper_from=1), "true"),
    (memory.rule_reversible, Numbers(kept=0.01, peak=0.4, lsh=2, attention=2, cheaper_from=None), "true when"),
    (memory.rule_reversible, Numbers(kept=1.2, peak=None, lsh=1, attention=2, cheaper_from=358), "false"),
]


@pytest.mark.parametrize(
    ("rule", "figures", "verdict"), RULES, ids=[f"{row[0].__name__}-{row[2]}-{i}" for i, row in enumerate(RULES)]
)
def test_a_verdict_follows_the_figures(rule, figures, verdict):
    ruling = rule(figures)
    assert ruling.verdict == verdict
    assert ruling.sentence.endswith(".")


def products(**changed):
    same = {"rnn_power": 1, "lstm_power": 1, "rnn_power_of_width": 2, "lstm_power_of_width": 2}
    return Numbers(**{"rnn": 2, "lstm": 8, **same, **changed})


@pytest.mark.parametrize(
    ("changed", "verdict"), [({}, "true"), ({"lstm": 9}, "true when"), ({"lstm_power": 2}, "false")]
)
def test_products_a_step(changed, verdict):
    assert recurrences.rule_products(products(**changed)).verdict == verdict


@pytest.mark.parametrize(
    ("short", "long", "verdict"),
    [
        ((3, 4, 5), (8, 9, 10), "true"),
        ((0.9, 1, 1.1), (8, 9, 10), "true when"),
        ((0.9, 1, 1.1), (0.5, 0.6, 0.7), "false"),
        (None, (8, 9, 10), "not told"),
    ],
)
def test_one_thread(short, long, verdict):
    rates = {f"rate_{name}": 1e9 for name in ("transformer", "rnn", "lstm")}
    assert recurrences.rule_alone(Numbers(time_rnn_64=short, time_rnn_4096=long, **rates)).verdict == verdict


def ends(materialised, fused, powers=(2, 2, 1)):
    rooms = {
        f"{kind}_{room}": n for kind, n in (("materialised", materialised), ("fused", fused)) for room in memory.ROOMS
    }
    return Numbers(**dict(zip(("flops", "materialised", "fused"), powers, strict=True)), **rooms, alone=40_000)


@pytest.mark.parametrize(
    ("figures", "verdict"),
    [
        (ends(512, 512, (2, 2, 2)), "true"),
        (ends(512, 4000), "true when"),
        (ends(4000, 4000), "true when"),  # the squares still hold
        (ends(4000, 4000, (2, 1, 1)), "false"),
        (ends(512, 512, (1, 1, 1)), "false"),
    ],
)
def test_square_memory(figures, verdict):
    assert memory.rule_square_memory(figures).verdict == verdict


def million(*, speed=1e11, room=24e9, peaks=(16e9, 270e9, 800e9), days=1.0):
    keys = zip(memory.READERS, peaks, strict=True)
    models = {f"{what}_{key}": value for key, peak in keys for what, value in (("peak", peak), ("time", days * 86_400))}
    remedies = {f"{what}_{name}": 1.0 for name in memory.REMEDIES for what in ("time", "cache")}
    return Numbers(speed=speed, memory=room, **models, **remedies)


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "true when"),
        ({"room": 1e12}, "false"),
        ({"room": 1e9}, "true"),
        ({"days": 30.0}, "true"),
        ({"speed": None}, "not told"),
    ],
)
def test_a_million_tokens(changed, verdict):
    assert memory.rule_million(million(**changed)).verdict == verdict


def minimal(params=0.3, depth=0.1, step=(0.1, 0.2, 0.3)):
    parts = {"params": params, "depth": depth, "step": step}
    return Numbers(**{f"{part}_{name}": value for part, value in parts.items() for name in learning.PAIRS})


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "true"),
        ({"step": (0.8, 0.9, 1.1)}, "true when"),
        ({"step": None}, "not told"),
        ({"params": 2, "depth": 2, "step": (2, 3, 4)}, "false"),
    ],
)
def test_minimal_cells(changed, verdict):
    assert learning.rule_minimal(minimal(**changed)).verdict == verdict


def learned(power=1, grows=0, state=260_000):
    names = ("ttt-linear", "ttt-mlp")
    values = {"power": power, "grows": grows, "state": state}
    return Numbers(**{f"{what}_{name}": value for what, value in values.items() for name in names}, state_rnn=2048)


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [({}, "true when"), ({"power": 2}, "false"), ({"grows": 1}, "false"), ({"state": 1000}, "false")],
)
def test_states_that_learn(changed, verdict):
    assert learning.rule_test_time(learned(**changed)).verdict == verdict


LOST, KEPT = (1e-9, 1e-8, 1e-7), (0.5, 1.0, 1.5)


@pytest.mark.parametrize(
    ("rnn", "lstm", "transformer", "mean", "verdict"),
    [
        (LOST, LOST, KEPT, LOST, "true"),
        (LOST, LOST, KEPT, KEPT, "true when"),
        (LOST, KEPT, KEPT, LOST, "true when"),
        (KEPT, KEPT, KEPT, KEPT, "false"),
        (LOST, LOST, LOST, KEPT, "false"),
    ],
)
def test_gradients(rnn, lstm, transformer, mean, verdict):
    found = learning.rule_gradients(Numbers(rnn=rnn, lstm=lstm, transformer=transformer, mean=mean))
    assert found.verdict == verdict


def overtaken(crossed=None, back=None, faster=0, slower=0, time=1.0):
    times = {f"time_{T}": time for T in mamba.LENGTHS}
    return Numbers(**times, crossed=crossed, crossed_back=back, faster_at=faster, slower_at=slower, params=1.1)


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({"crossed": (900, 1000, 1100)}, "true when"),
        ({"back": (900, 1000, 1100)}, "true when"),
        ({"faster": 3}, "true"),
        ({"slower": 3}, "false"),
        ({"faster": 1}, "not told"),
        ({"time": None}, "not told"),
    ],
)
def test_mamba(changed, verdict):
    assert mamba.rule_overtaking(overtaken(**changed)).verdict == verdict


def test_there_are_twenty_claims_and_a_question():
    assert list(CLAIMS) == list(range(1, 21))
    assert mamba.QUESTION.asked_in[0] == "state-spaces/mamba 69"


def test_what_the_formulas_say():
    """24NH² + 4N²H; scores and mixing reach the projections at 2H; two products an RNN step, eight an LSTM step."""
    found = {claim.number: claim for claim in claims([1, 2, 7], quick=True).claims}
    one, two, seven = (found[n].evidence for n in (1, 2, 7))
    assert one.formulas == ("FLOPs of a block = 24·D²·T + 4·D·T²", "the two terms are equal at T = 6·D")
    assert one.figures["equal_at"].value == 6 * 512
    assert two.figures["equal_at"].value == 2 * 512
    assert (seven.figures["rnn"].value, seven.figures["lstm"].value) == (2, 8)
    assert [found[n].verdict for n in (1, 2, 7)] == [Verdict.WHEN, Verdict.WHEN, Verdict.TRUE]


def test_what_layers_show_when_they_run():
    """Eight heads of 64 features see all tokens; Aaren and SUPRA in steps are what they are whole."""
    found = {claim.number: claim for claim in claims([5, 16, 18], quick=True).claims}
    heads = {name: figure.value for name, figure in found[5].evidence.figures.items()}
    assert (heads["heads"], heads["tokens_a_head"], heads["width_a_head"]) == (8, 48, 64)
    assert found[5].verdict == Verdict.FALSE
    for number in (16, 18):
        figures = found[number].evidence.figures
        assert 0 < figures["error"].value < 1e-4
        assert figures["short"].value == figures["long"].value > 0


def test_attention_in_plain_python_is_attention():
    """Two tokens, worked out by hand: equal scores give the mean of the values."""
    assert attention([[1.0], [1.0]], [[1.0], [1.0]], [[2.0, 0.0], [4.0, 1.0]]) == [[3.0, 0.5], [3.0, 0.5]]


def test_the_gradient_of_a_tanh_network_is_lost_and_attention_keeps_its_share():
    assert 0 < learning.first_token("rnn", 256).most < 1e-45  # below what float32 holds
    assert 0.5 < learning.first_token("transformer", 64).value < 2


def test_no_random_number_of_the_caller_is_used_up():
    import torch

    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    claims([5, 16], quick=True)
    learning.first_token("rnn", 8)
    assert torch.rand(1) == expected


def test_a_ratio_is_as_wide_as_its_two_intervals_allow():
    one = Figure(what="one", value=4.0, unit="s", low=3.0, high=6.0)
    other = Figure(what="other", value=2.0, unit="s", low=1.0, high=3.0)
    found = ratio("both", one, other)
    assert (found.value, found.low, found.high) == (2.0, 1.0, 6.0)
    assert ratio("none", one, Figure(what="other", value=None, why="not run")).why == "not run"


def test_quick_starts_nothing(monkeypatch, tmp_path):
    def started(*_, **__):
        raise AssertionError("a run was started")

    monkeypatch.setattr("seqcost.measure.sweep", started)
    how = Runs.of(store=tmp_path / "runs.sqlite")
    bench = filled([Wanted.of("rnn", 8)], how, quick=True)
    assert bench.time(Wanted.of("rnn", 8), "a pass").why == "not measured; leave --quick out"


@pytest.mark.parametrize(("busy", "verdict"), [(0.0, "true"), (2.0, "not told")])
def test_no_verdict_is_read_off_a_run_that_others_disturbed(busy, verdict):
    """A Transformer of ten seconds beside networks of one, on a quiet machine and on a busy one."""

    def pooled(wanted, seconds):
        runs = (made(wanted.job(2), seconds * factor, busy) for factor in (0.99, 1.01))
        return pool(runs, 2)

    runs = {w: pooled(w, 10.0 if w.name == "transformer" else 1.0) for w in CLAIMS[10].runs}
    found = CLAIMS[10].answered(Bench(cores=2, runs=runs))
    assert found.verdict == verdict
    assert found.evidence.figures["time_rnn"].value == pytest.approx(10.0)
    assert found.evidence.figures["time_rnn"].busy == (busy > 0)


def made(job, seconds, other_cores):
    return Run(
        job=job, environment=this_environment(), status="ok", wall_s=(seconds,) * 6, peak_allocated_bytes=1000,
        other_cores=other_cores, started_at="2026-01-01T00:00:00+00:00", time_limit_s=1, memory_limit_bytes=1,
    )  # fmt: skip


def test_times_come_from_several_processes_and_a_peak_from_one(monkeypatch, tmp_path):
    asked = []

    def sweep(jobs, *_, processes, **__):
        asked.append(([job.target["name"] for job in jobs], processes))
        return jobs

    monkeypatch.setattr("seqcost.measure.sweep", sweep)
    wanted = [Wanted.of("rnn", 8), Wanted.of("lstm", 8, once=True)]
    filled(wanted, Runs.of(store=tmp_path / "runs.sqlite", processes=5), quick=False)
    assert asked == [(["rnn"], 5), (["lstm"], 1)]


@pytest.mark.slow
def test_a_run_is_made_once_and_then_known(tmp_path):
    how = Runs.of(store=tmp_path / "runs.sqlite", processes=2)
    wanted = Wanted.of("rnn", 8, alone=True, D=16, L=1)
    started = []
    made = filled([wanted], how, quick=False, on_start=started.append).time(wanted, "a pass")
    known = filled([wanted], how, quick=True).time(wanted, "a pass")
    assert (made.value, made.low, made.high) == (known.value, known.low, known.high)
    assert len(started) == 2
    assert 0 < made.low <= made.value <= made.high


@pytest.mark.parametrize("wrong", [0, 21, -1, True, "x", 1.5, [1, 21], []])
def test_a_claim_that_does_not_exist_is_refused(wrong):
    with pytest.raises(BadSize, match="claim"):
        claims(wrong, quick=True)


def test_shown():
    answer = claims(1, quick=True)
    assert "true when" in str(answer)
    assert "<table>" in answer._repr_html_()
    assert answer.to_dict()["claims"][0]["figures"]["equal_at"]["text"] == "3,072 tokens"


def test_units_in_words():
    def text(value, unit):
        return str(Figure(what="", value=value, unit=unit))

    assert [text(3 * 86_400.0, "s"), text(0.002, "s"), text(2**31, "B"), text(6, "D")] == [
        "3 days",
        "2 ms",
        "2 GiB",
        "6·D",
    ]
    assert text(None, "s") == "—"


def test_an_empty_bench_leaves_no_verdict_that_needs_a_time():
    for one in (CLAIMS[10], CLAIMS[11], mamba.QUESTION):
        assert one.answered(Bench(quick=True)).verdict == Verdict.OPEN
