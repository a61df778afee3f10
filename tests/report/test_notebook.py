"""What a notebook asks of an answer, by IPython's own formatters where it is installed."""

import html.parser
import re

import pytest
import torch
from torch import nn

import seqcost
from seqcost.algebra import Bill, Kind, Line
from seqcost.report.notebook import in_notebook
from seqcost.report.table import Table


class Page(html.parser.HTMLParser):
    """Notes tags, what is open, and text."""

    def __init__(self):
        super().__init__()
        self.tags, self.open, self.text = set(), [], []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.open.append(tag)
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attributes)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(shown):
    page = Page()
    page.feed(shown)
    assert page.open == [], "every tag is closed"
    assert "table" in page.tags
    assert not page.tags & {"script", "link", "img", "iframe", "b", "i"}
    return "".join(page.text)


def named(name):
    part = nn.Linear(4, 4)
    model = nn.Sequential()
    model.add_module(name, part)
    return model


ANSWERS = {
    "count": lambda: seqcost.count("gpt2"),
    "trace": lambda: seqcost.count(nn.Linear(4, 4), inputs=(torch.randn(1, 3, 4),), length=3),
    "view": lambda: seqcost.count("gpt2").by("module"),
    "explanation of a number": lambda: seqcost.count("gpt2").derive("flops"),
    "diff": lambda: seqcost.diff("gpt2", "gpt2", sizes_b={"norm": "rms"}),
    "equal diff": lambda: seqcost.diff("gpt2", "gpt2"),
    "comparison": lambda: seqcost.compare(["rnn-layer", "lstm-layer"], lengths=[64], trace=False),
    "check": lambda: seqcost.check("rnn-layer", sizes={"D": 8}),
    "letters": lambda: seqcost.letters("rnn-layer", "D"),
    "bill": lambda: seqcost.count("gpt2").bills.flops,
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_shows_itself_as_a_table(kind):
    assert re.search(r"\d", read(ANSWERS[kind]()._repr_html_()))


def test_names_of_the_user_are_escaped():
    count = seqcost.count(named("<b>&"), inputs=(torch.randn(1, 3, 4),), length=3)
    for shown in (count, count.by("module"), count.derive("flops"), count.bills.flops):
        assert "<b>&" in read(shown._repr_html_())


def test_remarks_are_escaped():
    assert "<i>" in read(in_notebook([Table.of("", ("a",), [("1",)])], ["no <i>formula</i>"]))


def test_a_bill_is_an_equation_whatever_its_lines_are_called():
    latex = Bill([Line("a_b%{c}", 1234, Kind.STATE)])._repr_latex_()
    assert latex.startswith("$$")
    assert latex.endswith("$$")
    assert r"\text{a\_b\%\{c\}} &= 1\,234" in latex


def test_a_count_by_ipython():
    formatters = pytest.importorskip("IPython.core.formatters")
    data, _ = formatters.DisplayFormatter().format(seqcost.count("gpt2"))
    assert "291,648,307,200" in data["text/html"]
    data, _ = formatters.DisplayFormatter().format(seqcost.count("gpt2").bills.state)
    assert {"text/html", "text/latex", "text/plain"} <= set(data)
