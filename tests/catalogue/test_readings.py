"""Every formula of the catalogue: one answer in all readings, with its unit, its source and its page."""

import itertools
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from strategies import VARIANTS, drawn_config, examples, typical

from seqcost.algebra import Bill, Kind, sweep, symbol, symbols
from seqcost.formulas import Workload
from seqcost.formulas.catalogue import CATALOGUE, configure, entry
from seqcost.formulas.core import sweeps

DOCS = Path(__file__).parents[2] / "docs"
UNITS = {
    "flops": "FLOP",
    "backward_flops": "FLOP",
    "bytes_moved": "byte",
    "saved_bytes": "byte",
    "state_bytes": "byte",
    "step_flops": "FLOP",
    "depth": "step",
    "path_length": "step",
}
every_variant = pytest.mark.parametrize("variant", VARIANTS, ids=attrgetter("id"))
SIZES = st.integers(1, 10**9)


def questions(config):
    return [q for q in UNITS if config.decodes or q not in ("state_bytes", "step_flops")]


def answers(config, **sizes):
    """All eight Bills, the parameters among them."""
    run = Workload(**sizes)
    return {"params": config.params()} | {q: getattr(config, q)(run) for q in questions(config)}


def amounts(bill):
    return {(line.name, line.kind): line.amount for line in bill}


def without_zeros(bill):
    return {key: amount for key, amount in amounts(bill).items() if amount}


def workload_sizes(config, B, T, S, P):
    sizes = {"B": B, "T": T}
    if config.takes_source:
        sizes["S"] = S
    if config.decodes:
        sizes["P"] = P
    return sizes


@every_variant
@examples(8)
@given(data=st.data(), B=SIZES, T=SIZES, S=SIZES, P=SIZES)
def test_symbolic_equals_numeric(variant, data, B, T, S, P):
    numeric = data.draw(drawn_config(variant))
    sizes = {letter: numeric.sizes()[letter] for letter in variant.sizes(min)}
    run = workload_sizes(numeric, B, T, S, P)
    letters = symbols([*sizes, *run])
    symbolic = entry(variant.name).make(**{letter: letters[letter] for letter in sizes} | variant.choices)
    by_symbol = answers(symbolic, **{letter: letters[letter] for letter in run})
    for question, bill in answers(numeric, **run).items():
        substituted = by_symbol[question].substitute(**sizes, **run)
        assert substituted.total(*Kind) == bill.total(*Kind), question
        assert all(type(line.amount) is int for line in bill), question
        # Two chains may be as long as each other, and a formula names the one of many turns; a stack without further
        # layers hands its seam to the first.
        if question != "depth" and (question != "saved_bytes" or sizes.get("L") != 1):
            assert without_zeros(substituted) == without_zeros(bill), question


# Sizes, choices, and the letters left open: one divides another that is a number (J of 4/J sub-chunks, H of 16/H
# features per head), or one that is open too.
SOME_OPEN = {
    "gla": ("gla-layer", {"D": 16, "H": 2, "K": 4, "V": 8, "R": 16, "C": 4, "J": 2}, {}, "DHKVRJ"),
    "gla-sub-chunks": ("gla-layer", {"D": 16, "H": 2, "K": 4, "V": 8, "R": 16, "C": 12, "J": 3}, {}, "J"),
    "gla-heads": ("gla-layer", {"D": 16, "H": 2, "R": 16, "C": 4, "J": 2}, {}, "H"),
    "mamba": ("mamba-layer", {"D": 6, "N": 2, "C": 4, "J": 3}, {}, "J"),
    "mamba2": ("mamba2-layer", {"G": 2, "H": 4, "N": 5, "C": 2, "D": 4}, {}, "GHNC"),
    "lsh": ("lsh-layer", {"R": 2, "E": 6, "H": 1, "D": 6}, {"causal": False}, "REH"),
    "window": ("window-layer", {"H": 3, "D": 18, "W": 4, "C": 3}, {}, "HC"),
}


@pytest.mark.parametrize("case", SOME_OPEN)
def test_symbolic_equals_numeric_where_some_sizes_are_numbers(case):
    name, sizes, choices, letters = SOME_OPEN[case]
    opened = symbols(letters)
    by_symbol = answers(entry(name).make(**sizes | choices | opened), **symbols("BT"))
    for T in (1, 2, 13, 33):
        for question, bill in answers(configure(name, **sizes, **choices), B=2, T=T).items():
            at = {"B": 2, "T": T} | {letter: sizes[letter] for letter in letters}
            assert by_symbol[question].substitute(**at).total(*Kind) == bill.total(*Kind), (question, T)


@every_variant
@pytest.mark.parametrize("exact", [True, False], ids=["object", "float64"])
def test_sweep_equals_numeric(variant, exact, monkeypatch):
    monkeypatch.setattr(sweeps, "ONE_BY_ONE", 0)  # by the formula,
    monkeypatch.setattr(sweeps, "MOST", 0)  # and by nothing else
    config = typical(variant)
    points = [workload_sizes(config, B, T, S, P) for B, T, S, P in ((3, 4, 2, 7), (2, 63, 5, 2**31), (5, 2**40, 7, 9))]
    columns = {letter: sweep([point[letter] for point in points], exact=exact) for letter in points[0]}
    swept = answers(config, **columns)
    for i, point in enumerate(points):
        for question, bill in answers(config, **point).items():
            expected, found = amounts(bill), amounts(swept[question])
            if question == "depth":  # a sweep is read off a formula, which names the chain of many turns
                expected, found = {"depth": bill.total()}, {"depth": swept[question].total()}
            for key, amount in found.items():
                value = np.broadcast_to(np.asarray(amount, dtype=object), len(points))[i]
                assert value == expected.get(key, 0) if exact else value == pytest.approx(expected.get(key, 0), 1e-12)
                assert not exact or type(value) is int, (question, key)


@pytest.mark.slow
@pytest.mark.parametrize("exact", [True, False], ids=["object", "float64"])
@every_variant
def test_sweep_over_the_widths_equals_numeric(variant, exact):
    few = [variant.config(lambda sizes, i=i: sizes[i % len(sizes)]) for i in range(2)]
    columns = {letter: sweep([config.sizes()[letter] for config in few], exact=exact) for letter in variant.sizes(min)}
    swept = answers(entry(variant.name).make(**columns | variant.choices), **workload_sizes(few[0], 3, 63, 5, 2))
    for i, config in enumerate(few):
        for question, bill in answers(config, **workload_sizes(config, 3, 63, 5, 2)).items():
            total = np.broadcast_to(np.asarray(swept[question].total(*Kind), dtype=object), 2)[i]
            assert total == (bill.total(*Kind) if exact else pytest.approx(bill.total(*Kind), rel=1e-12)), question


@every_variant
def test_units(variant):
    for question, bill in answers(typical(variant), B=3, T=63, S=5).items():
        assert bill.unit in ({"params": "scalar"} | UNITS)[question], question


@every_variant
def test_positive_and_monotone_in_length(variant):
    config = typical(variant)
    asked = [answers(config, B=3, T=T, S=5) for T in (1, 2, 3, 16, 17, 63, 64, 100, 10**6)]
    for question in questions(config):
        totals = [bills[question].total(*Kind) for bills in asked]
        assert all(a <= b for a, b in itertools.pairwise(totals)), question
        # Positions do not mix in a feed-forward or a norm, which carry nothing either.
        assert totals[0] > 0 or question in ("state_bytes", "path_length"), question
    assert {bills["params"].total() for bills in asked} == {config.params().total()}


@every_variant
def test_no_line_is_negative(variant):
    twice = {"shared", "overlap"}  # what the two sides of an encoder-decoder both count is taken off once
    for question, bill in answers(typical(variant), B=3, T=63, S=5).items():
        assert all(line.amount >= 0 for line in bill if line.name not in twice), question


@pytest.mark.parametrize("name", [name for name in CATALOGUE if entry(name).symbols])
def test_formula_page_in_its_open_letters(name):
    found = entry(name)
    config = found.make(**symbols(found.symbols))
    run = {letter: symbol(letter) for letter in workload_sizes(config, 1, 1, 1, 1)}
    for question, bill in answers(config, **run).items():
        assert isinstance(bill, Bill)
        free = {str(letter) for letter in sympy.sympify(bill.total(*Kind)).free_symbols}
        assert free <= {*found.symbols, *run}, question
    assert configure(name).params().total() == config.params().substitute(
        **{letter: configure(name).sizes()[letter] for letter in found.symbols}
    ).total(*Kind)  # fmt: skip


@pytest.mark.parametrize("name", CATALOGUE)
def test_source_and_equations_are_named(name):
    config = configure(name)
    assert len(config.SOURCE) > 10
    assert any(character.isdigit() for character in config.SOURCE) or "torch.nn" in config.SOURCE
    if entry(name).group in ("mixer", "part", "block"):
        assert config.EQUATIONS
    assert all(equation.count("{") == equation.count("}") for equation in config.EQUATIONS)


@pytest.mark.parametrize("page", sorted({found.page for found in CATALOGUE.values()}))
def test_docs_page_exists(page):
    assert (DOCS / f"{page}.md").is_file()


def test_every_name_of_the_catalogue_has_a_variant():
    assert {variant.name for variant in VARIANTS} == set(CATALOGUE)
    assert len({variant.id for variant in VARIANTS}) == len(VARIANTS)
