import pytest

import seqcost
from seqcost.algebra import Kind, symbols
from seqcost.algebra.quantity import QUANTITIES
from seqcost.algebra.rendering import formula_to_latex, size_to_text
from seqcost.errors import UnknownName
from seqcost.formulas.catalogue import CATALOGUE
from seqcost.report.formulas import page_html, totals_table


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_name_has_a_page(name):
    page = seqcost.explain(name)
    assert page.sections[-1].name == name
    for section in page.sections:
        assert section.source
        assert section.steps or name == "norm"
        assert name == "norm" or section.leading("flops") != 0
    assert "\\begin{aligned}" in page.to_latex()


def test_a_transformer_block_is_the_textbook_s():
    s = symbols("BDT")
    section = seqcost.explain("transformer-block").sections[0]
    contractions = sum(total for _, _, _, total in section.steps)
    assert (contractions - (24 * s["B"] * s["D"] ** 2 * s["T"] + 4 * s["B"] * s["D"] * s["T"] ** 2)).expand() == 0


@pytest.mark.parametrize(("name", "products"), [("rnn-layer", 1), ("gru-layer", 3), ("lstm-layer", 4)])
def test_recurrent_pages_count_matrix_vector_products(name, products):
    s = symbols("DN")
    steps = {line: per_token for line, _, per_token, _ in seqcost.explain(name).sections[0].steps}
    assert steps["input"] == 2 * products * s["D"] * s["N"]
    assert steps["hidden"] == 2 * products * s["N"] ** 2


def test_a_decoding_step_is_at_position_t():
    T, D = symbols("TD").values()
    step = seqcost.explain("transformer-block").sections[0].bills["step_flops"].select("attention.attend").lines[0]
    assert (step.amount / symbols("B")["B"] - 4 * D * T).expand() == 0


def test_given_sizes_are_put_in():
    section = seqcost.explain("lstm-layer", D=8, N=8).sections[0]
    assert section.bills["params"].total() == 4 * 64 + 4 * 64 + 64


def test_unknown_names():
    with pytest.raises(UnknownName, match="did you mean lstm"):
        seqcost.explain("lstn")


def test_no_total_adds_pointwise_operations_to_contractions():
    """Known from the lines: no text of the page is the sum of both kinds."""
    page = seqcost.explain("attention-layer", D=512, H=8)
    (section,) = page.sections
    rows = {row[0]: row[1] for row in totals_table(section).rows}
    for question, title in ((row.name, row.page_label) for row in QUANTITIES.on_pages()):
        if not question.endswith("flops"):
            continue
        bill = section.bills[question]
        kinds = {Kind.CONTRACTION: title, Kind.POINTWISE: title.replace("FLOPs", "pointwise operations")}
        for kind, name in kinds.items():
            assert rows[name] == size_to_text(sum(line.amount for line in bill if line.kind == kind))
        mixed = sum(line.amount for line in bill)
        for text in (page.to_latex(), page_html(page), str(page), str(page.to_dict())):
            assert size_to_text(mixed) not in text
            assert formula_to_latex(mixed) not in text
            assert str(mixed) not in text
