import pytest

from seqcost.formulas.catalogue import CATALOGUE
from seqcost.questions.explain import explain
from seqcost.report.formulas import equation_to_text, page_html


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"h_t = \tanh(W x_t + b + U h_{t-1} + b')", "hₜ = tanh(W xₜ + b + U hₜ₋₁ + b')"),
        (r"y = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta", "y = (x - μ) / (√(σ^2 + ϵ)) + β"),
        (r"c_t = f_t \odot c_{t-1}", "cₜ = fₜ ⊙ cₜ₋₁"),
        (r"h_t = \exp(\delta_t A) h_{t-1}", "hₜ = exp(δₜ A) hₜ₋₁"),
    ],
)
def test_equations_read_as_text(latex, text):
    assert equation_to_text(latex) == text


def test_no_equation_keeps_a_backslash():
    for entry in CATALOGUE.values():
        for equation in entry.config.EQUATIONS:
            assert "\\" not in equation_to_text(equation)


def test_the_page_stands_alone():
    page = page_html(explain("transformer"))
    assert page.startswith("<!doctype html>")
    assert "24·B·D²·T" in page or "24·B·D²·L·T" in page
    assert "http" not in page
