"""Blocks made from the formulas: equations, counts, totals, presets. No torch here.

`name` is a name of the catalogue; further arguments are assignments such as `implementation=materialised`.
"""

import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import sympy

import seqcost
from seqcost.algebra import Kind, symbol
from seqcost.algebra.rendering import size_to_text, titled_totals
from seqcost.formulas.catalogue import CATALOGUE
from seqcost.formulas.core import pointwise
from seqcost.questions.asked.assignments import parse_assignment
from seqcost.questions.explain import Explanation, Section
from seqcost.report import formulas
from seqcost.report.table import Table

PUBLISHED = Path(__file__).with_name("published.toml")


@cache
def page_of(name: str, *assignments: str) -> Explanation:
    """Formula page of a name."""
    return seqcost.explain(name, **dict(map(parse_assignment, assignments)))


def section_of(name: str, *assignments: str) -> Section:
    """The section of a page that is about the name itself."""
    return page_of(name, *assignments).sections[-1]


def equations(name: str) -> str:
    """As the paper writes them, in our letters."""
    return "\n\n".join(f"$$\n{equation}\n$$" for equation in section_of(name).equations)


def source(name: str) -> str:
    """Paper and equation."""
    return section_of(name).source


def sizes(name: str) -> str:
    """Letters and choices of a config with their defaults."""
    rows = [(f"`{letter}`", f"`{json.dumps(value)}`") for letter, value in seqcost.configure(name).sizes().items()]
    return Table.of("", ("<size or choice", "<default"), rows).to_markdown()


def steps(name: str, *assignments: str) -> str:
    """What one token costs, line by line, and what all of them cost."""
    section = section_of(name, *assignments)
    table = formulas.steps_table(section)
    flops = section.bills["flops"]
    total = flops.total(Kind.CONTRACTION)
    per_token = total / (section.run.B * section.run.T)
    foot = ("**total**", "", size_to_text(per_token), size_to_text(total))
    body = Table.of("", table.headings, (*table.rows, foot)).to_markdown()
    leading = size_to_text(section.leading("flops"))
    return f"{body}\n\nLeading term as T grows: {leading}."


def totals(name: str, *assignments: str) -> str:
    """Each question's total and its leading term."""
    table = formulas.totals_table(section_of(name, *assignments))
    return f"{table.to_markdown()}\n\n{table.note}"


def lines(name: str, question: str, *assignments: str) -> str:
    """One question, line by line."""
    bill = section_of(name, *assignments).bills[question]
    rows = [(line.name, line.note, str(line.kind), size_to_text(line.amount)) for line in bill]
    rows += [(f"**{title}**", "", bill.unit, size_to_text(total)) for title, total in titled_totals(bill.lines)]
    return Table.of("", ("<line", "<what it is", "<kind", "amount"), rows).to_markdown()


def equal_at(name: str, few: str, many: str) -> str:
    """The length at which two groups of lines of the forward FLOPs cost the same."""
    flops = section_of(name).bills["flops"].only(Kind.CONTRACTION)

    def named(words: str) -> Any:
        return sum(line.amount for line in flops if any(word in line.name for word in words.split(",")))

    first, second = named(few), named(many)
    T = symbol("T")
    (length,) = (root for root in sympy.solve(sympy.Eq(first, second), T) if root != 0)
    parts = f"the lines {few} cost {size_to_text(first)} and the lines {many} {size_to_text(second)}"
    return f"With the defaults {parts}: equal at T = {size_to_text(length)}."


def pairs(name: str, *assignments: str) -> str:
    """Query-key pairs of a sparse pattern over the length, a head and a sequence: all, seen, multiplied."""
    config: Any = seqcost.configure(name, **dict(map(parse_assignment, assignments)))
    rows = []
    for T in (256, 1024, 4096, 16384, 65536):
        seen, multiplied = config.pairs(T), config.executed_pairs(T)
        share, waste = f"{seen / T**2:.1%}", f"{multiplied / seen:.2f}"
        rows.append((f"{T:,}", f"{T**2:,}", f"{seen:,}", share, f"{multiplied:,}", waste))
    headings = ("T", "all pairs", "seen", "of all", "multiplied", "multiplied / seen")
    return Table.of("", headings, rows).to_markdown()


def break_even(costly: str, cheap: str, farthest: str = "65536") -> str:
    """From which length on one layer's contractions cost more than another's, with the defaults of both."""
    run = seqcost.Workload(T=seqcost.sweep(range(1, int(farthest) + 1)))
    costs = [seqcost.configure(name).flops(run).total(Kind.CONTRACTION) for name in (costly, cheap)]
    dearer = costs[0] > costs[1]
    first, always = int(dearer.argmax()) + 1, len(dearer) - int((~dearer)[::-1].argmax()) + 1
    sizes = seqcost.configure(cheap).sizes()
    given = ", ".join(f"{letter} = {sizes[letter]}" for letter in ("D", "H", "K", "V", "C") if letter in sizes)
    start = f"With the defaults ({given}) the contractions of `{costly}` cost more than those of `{cheap}`"
    if first == always:
        return f"{start} from T = {first:,} on."
    return f"{start} from T = {always:,} on, and at some lengths from T = {first:,} on, as full as the last chunk is."


def pointwise_weights() -> str:
    """The table that formulas and trace share."""
    rows = [(name.lower().replace("_", " "), str(value)) for name, value in vars(pointwise).items() if name.isupper()]
    return Table.of("", ("<operator", "operations per element"), rows).to_markdown()


def catalogue(group: str = "") -> str:
    """Names of the catalogue, all or those of one group."""
    rows = [
        (f"`{name}`", entry.group, entry.summary, f"[{entry.page}]({entry.page}.md)")
        for name, entry in CATALOGUE.items()
        if group in ("", entry.group)
    ]
    return Table.of("", ("<name", "<kind", "<what it is", "<page"), rows).to_markdown()


def presets() -> str:
    """Parameters, FLOPs and cache of each preset beside the published number."""
    published = tomllib.loads(PUBLISHED.read_text("utf-8"))
    rows = []
    for name, entry in CATALOGUE.items():
        if entry.group != "preset":
            continue
        count = seqcost.count(name, length=1, dtype="bfloat16")
        known = published["parameters"].get(name)
        rows.append(
            (
                f"`{name}`",
                f"{count.params:,}",
                "" if known is None else f"{known['count']:,}" if known["exact"] else f"≈ {known['count']:,}",
                "" if known is None or not known["exact"] else f"{count.params - known['count']:,}",
                str(count.polynomials["flops"]),
                _cache_a_token(count),
            )
        )
    headings = ("<preset", "parameters", "published", "difference", "forward FLOPs, T tokens", "cache, bytes per token")
    return Table.of("", headings, rows).to_markdown()


def preset_sources() -> str:
    """Where each preset's sizes come from: the first line of its function."""
    rows = [
        (f"`{name}`", (entry.make.__doc__ or "").strip())
        for name, entry in CATALOGUE.items()
        if entry.group == "preset"
    ]
    return Table.of("", ("<preset", "<source"), rows).to_markdown()


def _cache_a_token(count: Any) -> str:
    curve = count.polynomials.get("state_bytes")
    if curve is None:
        return "none"
    if len(curve.coefficients) == 1:
        return f"0; {int(curve.coefficients[0]):,} in all"
    return f"{int(curve.coefficients[1]):,}"
