"""Every answer shows itself in the same ways: text, HTML, plain data, CSV; where it has formulas LaTeX too."""

import csv
import io
import json

import pytest

import seqcost

ANSWERS = {
    "count": lambda: seqcost.count("lstm-layer", length=8),
    "view": lambda: seqcost.count("lstm-layer", length=8).by("line"),
    "derivation": lambda: seqcost.count("lstm-layer", length=8).derive("flops"),
    "diff": lambda: seqcost.diff("lstm-layer", "gru-layer", length=8),
    "comparison": lambda: seqcost.compare(["lstm-layer", "gru-layer"], lengths=[8, 16]),
    "explanation": lambda: seqcost.explain("lstm-layer"),
    "letters": lambda: seqcost.letters("lstm-layer", "D", length=8),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_text_html_data_and_csv(name):
    answer = ANSWERS[name]()
    assert str(answer).strip()
    assert "<table" in answer._repr_html_()
    assert json.loads(json.dumps(answer.to_dict()))
    rows = list(csv.DictReader(io.StringIO(answer.to_csv())))
    assert rows
    assert all(None not in row for row in rows)


@pytest.mark.parametrize("name", ["count", "letters"])
def test_formulas_are_latex(name):
    text = ANSWERS[name]().to_latex()
    assert text.startswith(r"\begin{aligned}")
    assert text.count("{") == text.count("}")
    assert r"\text{FLOPs (contractions)} &=" in text


def test_the_command_prints_latex(capsys):
    from seqcost.cli.count import count_command

    count_command("gpt2", latex=True)
    assert r"291\,648\,307\,200\,\text{FLOP} = 36864\,T^{2} + 247064064\,T" in capsys.readouterr().out
