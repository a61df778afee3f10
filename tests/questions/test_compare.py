import pytest
import torch

import seqcost
from seqcost.algebra import Curve
from seqcost.algebra.crossings import crossings
from seqcost.errors import BadSize, BadTarget, UnknownName
from seqcost.questions.answers.complexity import complexity_row
from seqcost.questions.answers.verdicts import balance, cheapest
from seqcost.questions.measure import WAITING
from seqcost.report.comparisons import points_table
from seqcost.report.sentences import sentences

SMALL = {"width": 24, "heads": 3, "layers": 2}


def test_vaswani_table_1_from_the_formulas():
    # Vaswani et al. 2017, table 1: self-attention n²·d, O(1), O(1); recurrent n·d², O(n), O(n).
    rows = {name: complexity_row(name) for name in ("transformer", "rnn", "lstm", "gru")}
    assert rows["transformer"] | {"leading_flops": ""} == {
        "target": "transformer", "layer": "transformer-block", "complexity": "O(D·T²)", "leading_flops": "",
        "sequential": "O(1)", "path": "O(1)",
    }  # fmt: skip
    for name in ("rnn", "lstm", "gru"):
        assert (rows[name]["complexity"], rows[name]["sequential"], rows[name]["path"]) == ("O(D²·T)", "O(T)", "O(T)")


@pytest.mark.parametrize("targets", ["lstm", None, [3]], ids=["a text", "none", "a number"])
def test_what_is_no_list_of_names_is_one_sentence(targets):
    with pytest.raises(BadTarget, match=r"a list of names is allowed|a torch.nn.Module or a pair"):
        seqcost.compare(targets, lengths=[8])


def test_a_length_that_a_table_of_positions_lacks_is_confirmed_at_its_end():
    answer = seqcost.compare(["gpt2"], lengths=2048, sizes=SMALL | {"vocab": 11, "M": 64}, trace=True)
    (agreement,) = answer.agreement
    assert agreement.length == 64
    assert agreement.agrees
    assert answer.points[0].length == 2048


def test_points_crossovers_and_orders():
    answer = seqcost.compare(["transformer", "lstm", "rnn"], lengths=[8, 64], sizes=SMALL, trace=False)
    assert [(p.target, p.length) for p in answer.points] == [
        ("transformer", 8), ("transformer", 64), ("lstm", 8), ("lstm", 64), ("rnn", 8), ("rnn", 64),
    ]  # fmt: skip
    assert {(d.costly, d.cheap) for d in answer.dominances if d.quantity == "flops"} == {
        ("transformer", "lstm"), ("transformer", "rnn"), ("lstm", "rnn"),
    }  # fmt: skip


def test_a_crossover_is_exact_to_the_token():
    # 24·D²·T + 4·D·T² of a wide-enough LSTM against a block: at D = 64, L = 1 and an LSTM of N = 160.
    answer = seqcost.compare(
        ["transformer", "lstm"], lengths=[8], trace=False, sizes={"layers": 1, "D": 64, "N": 160, "tied": False}
    )
    (crossed,) = [c for c in answer.crossovers if c.quantity == "flops"]
    a, b = (answer.of(name)[0].count.polynomials["flops"] for name in ("transformer", "lstm"))
    assert a(int(crossed.length)) > b(int(crossed.length))
    assert a(int(crossed.length) - 1) <= b(int(crossed.length) - 1)
    assert (crossed.rising, crossed.how) == ("transformer", "solved")


def test_crossings_of_polynomials_and_of_plain_functions():
    line, parabola = Curve.polynomial((0, 100)), Curve.polynomial((0, 0, 3))
    (found,) = crossings(("line", line), ("parabola", parabola))
    assert (found.rising, found.length) == ("parabola", 34)
    (same,) = crossings(("line", lambda t: 100 * t), ("parabola", lambda t: 3 * t * t))
    assert same == found
    twice = Curve.polynomial((200, -90, 10))  # 10 (T − 4)(T − 5)
    assert [c.length for c in crossings(("zero", Curve.polynomial((0,))), ("twice", twice))] == []
    dip = Curve.polynomial((270, -120, 10))  # below zero for 3 < T < 9
    assert [(c.rising, c.length) for c in crossings(("zero", Curve.polynomial((0,))), ("dip", dip))] == [
        ("zero", 4),
        ("dip", 10),
    ]


def test_who_costs_least_is_told_for_every_length_where_all_have_a_function():
    line, parabola = Curve.polynomial((0, 100)), Curve.polynomial((0, 0, 3))
    found = cheapest("flops", {"line": line, "parabola": parabola}, {})
    assert [(c.target, c.start, c.exact) for c in found] == [("parabola", 1, True), ("line", 34, True)]
    values = {"line": {8: 800, 64: 6400}, "other": {8: 900, 64: 500}}
    found = cheapest("flops", {"line": line, "other": None}, values)
    assert [(c.target, c.start, c.exact) for c in found] == [("line", 8, False), ("other", 64, False)]
    assert cheapest("flops", {"line": line, "other": None}, {"line": {8: 1}, "other": {8: None}}) == []


def test_what_grows_as_the_square_is_half_of_all_where_the_formulas_say_so():
    (found,) = seqcost.compare(["transformer"], lengths=[8], trace=False).balances
    count = seqcost.count("transformer", length=[found.length - 1, found.length])
    square = seqcost.count("transformer").polynomials["flops"].coefficients[2]
    shares = [square * c.sizes["T"] ** 2 / c.flops for c in count]
    assert shares[0] < 0.5 <= shares[1]
    assert balance("line", Curve.polynomial((1, 2))) is None


def test_a_comparison_begins_with_sentences_and_says_whose_sizes():
    answer = seqcost.compare(["transformer", "lstm", "gpt2"], lengths=[2048], trace=False)
    said = sentences(answer.to_dict())
    assert said[0] == "FLOPs of contractions: lstm costs least at every length."
    assert any(
        text.startswith("Not of one size: gpt2 has 124 M parameters in 12 layers, lstm has 4.33 M") for text in said
    )
    assert any("gpt2: T = 2,048 exceeds the 1,024 learned positions" in text for text in said)
    alike = seqcost.compare(["rnn"], lengths=[8], trace=False)
    assert not any("Not of one size" in text for text in sentences(alike.to_dict()))
    text = str(answer)
    assert text.index("costs least") < text.index("what is compared") < text.index("by formula")
    assert "L = 12, D = 768, H = 12, F = 3,072" in text
    assert "D width" in text


def test_the_trace_agrees_to_the_flop():
    answer = seqcost.compare(["transformer", "gru"], lengths=[16], sizes=SMALL, trace=True)
    assert [a.agrees for a in answer.agreement] == [True, True]


def test_runs_stand_beside_the_formulas(tmp_path):
    book = tmp_path / "book.txt"
    book.write_text("In the beginning was the Word. " * 20, "utf-8")
    asked = {"lengths": [8, 32], "sizes": {"width": 24}, "trace": False, "measure": True, "text": book, "retries": 0}
    asked["store"] = tmp_path / "runs.sqlite"
    started = []

    def starts(what):
        if what != WAITING:  # where another measurement runs on this machine
            started.append(what)

    answer = seqcost.compare(["rnn"], **asked, processes=1, on_start=starts)
    assert [(p.run.status, p.run.num_processes, p.run.interval_s) for p in answer.points] == [("ok", 1, None)] * 2
    assert [getattr(what, "T", what) for what in started] == [8, 32, "counting rnn"]
    again = seqcost.compare(["rnn"], **asked, processes=1, on_start=starts)
    assert started[3:] == ["counting rnn"], "what was measured before is not measured again"
    assert again.points[0].run == answer.points[0].run
    (row, _) = again.to_dict()["points"]
    assert (row["num_processes"], row["interval_basis"]) == (1, "one process gives no interval")


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"lengths": []}, BadSize, "no length"), ({"lengths": [0]}, BadSize, "lengths = 0"),
        ({"lengths": [10**30], "measure": True}, BadSize, "formulas take any length"),
        ({"sizes": {"Z": 3}}, UnknownName, "unknown size of lstm 'Z'"),
        ({"sizes": {"heads": 3}}, UnknownName, "unknown size of lstm 'heads'"),
        ({"text": "no-such-file"}, BadTarget, "cannot be read"),
        ({"phase": "sideways"}, UnknownName, "unknown phase"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(given, error, says):
    with pytest.raises(error, match=says):
        seqcost.compare(["lstm"], **({"lengths": [8], "trace": False} | given))


def test_no_target_is_refused():
    with pytest.raises(BadTarget, match="name at least one"):
        seqcost.compare([], lengths=[8])


def test_a_text_that_is_no_text(tmp_path):
    latin, empty = tmp_path / "latin", tmp_path / "empty"
    latin.write_bytes(b"na\xefve")
    empty.write_bytes(b"")
    with pytest.raises(BadTarget, match=r"not UTF-8 \(byte 2 is 0xef\)"):
        seqcost.compare(["lstm"], lengths=[8], text=latin)
    with pytest.raises(BadTarget, match="is empty"):
        seqcost.compare(["lstm"], lengths=[8], text=empty)


def test_targets_of_every_kind_stand_side_by_side(tmp_path, monkeypatch):
    (tmp_path / "my_pkg.py").write_text("from torch import nn\n\ndef make():\n    return nn.Linear(8, 8)\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    live, other = torch.nn.Linear(8, 8), torch.nn.Linear(8, 16)
    sizes = {"D": 16, "num_hidden_layers": 1}
    targets = ["lstm-layer", "my_pkg:make", live, (other, torch.zeros(1, 8, 8)), "hf:gpt2"]
    answer = seqcost.compare(targets, lengths=8, sizes=sizes)
    assert answer.targets == ("lstm-layer", "my_pkg:make", "Linear", "Linear (2)", "hf:gpt2")
    flops = {point.target: point.count.flops for point in answer.points}
    assert flops["my_pkg:make"] == flops["Linear"] == flops["Linear (2)"] // 2 == 2 * 8 * 8 * 8
    assert flops["lstm-layer"] == seqcost.count("lstm-layer", length=8, sizes={"D": 16}).flops
    assert flops["hf:gpt2"] == seqcost.count("hf:gpt2", length=8, sizes={"num_hidden_layers": 1}).flops
    assert [point.count.rung for point in answer.points] == ["formula", *["fake tensors"] * 4]
    table = points_table(answer.to_dict())
    assert table.title == "forward, by formula and trace"
    assert [row[2] for row in table.rows] == ["formula", *["fake tensors"] * 4]
    assert [row["target"] for row in answer.complexity] == ["lstm-layer"]
    with pytest.raises(UnknownName, match="unknown size"):
        seqcost.compare(["my_pkg:make", live], lengths=8, sizes={"D": 16})


def test_what_two_traces_say_holds_from_their_shortest_length_on():
    answer = seqcost.compare([torch.nn.Linear(8, 8), torch.nn.Linear(8, 16)], lengths=[8, 64])
    starts = {row.start for row in answer.dominances}
    assert starts == {max(point.count.polynomials["flops"].valid_from for point in answer.points)}
    assert min(starts) > 1
    assert "costs least from T = " in str(answer)


def test_a_real_run_of_what_has_no_weights_is_refused(tmp_path):
    with pytest.raises(BadTarget, match="cannot be sent to another process"):
        seqcost.compare([torch.nn.Linear(8, 8)], lengths=8, measure=True, store=tmp_path / "runs.sqlite")
    with pytest.raises(BadTarget, match="followed by its shapes"):
        seqcost.compare(["spoilt.onnx"], lengths=8, measure=True, store=tmp_path / "runs.sqlite")
