"""The formula page: equations, the step-by-step count, totals with their leading terms; terminal and HTML."""

import html
import re
from typing import Any

from seqcost.algebra import Kind
from seqcost.algebra.quantity import QUANTITIES
from seqcost.algebra.rendering import size_to_text
from seqcost.report.table import Table

_SUBSCRIPTS = {"{t-1}": "ₜ₋₁"} | dict(zip("t12iokvrn", "ₜ₁₂ᵢₒₖᵥᵣₙ", strict=True))


def equation_to_text(latex: str) -> str:
    """A LaTeX equation in Unicode, fractions in brackets: `hₜ = tanh(W xₜ + b)`."""
    from pylatexenc.latex2text import LatexNodes2Text, MacroTextSpec, get_default_latex_context_db

    def subscript(found: re.Match[str]) -> str:
        # The empty group ends the name of a macro before it: α_t is no macro named "alphaₜ".
        return f"{{}}{_SUBSCRIPTS[found[1]]}" if found[1] in _SUBSCRIPTS else found[0]

    context = get_default_latex_context_db()
    context.add_context_category("ours", prepend=True, macros=[MacroTextSpec("frac", "(%s) / (%s)")])
    text = re.sub(r"_(\{t-1\}|[t12iokvrn])(?![a-z])", subscript, latex)
    text = LatexNodes2Text(latex_context=context, math_mode="verbatim").latex_to_text(text)
    return re.sub(r"([⊙←])(?=\S)", r"\1 ", re.sub(r" {2,}", "  ", text)).strip()


def steps_table(section: Any) -> Table:
    """What one token costs, line by line, and what all of them cost."""
    rows = [
        (line, note, size_to_text(per_token), size_to_text(total)) for line, note, per_token, total in section.steps
    ]
    return Table.of("contractions", ("<line", "<what it is", "FLOPs per token", "FLOPs of B·T tokens"), rows)


def totals_table(section: Any) -> Table:
    """Each question's total and its leading term in T."""
    rows = []
    for quantity in QUANTITIES.on_pages():
        question, title = quantity.name, quantity.page_label
        bill = section.bills.get(question)
        if bill is None:
            rows.append((title, "none: it sees the future", "", ""))
        elif not bill:
            rows.append((title, "0", "", ""))
        else:
            rows += _totals(section, question, title)
    note = "Leading terms in T. FLOPs are those of contractions. Bytes are for float32. A step is at position T."
    told = [note, *(f"{remark[0].upper()}{remark[1:]}." for remark in section.remarks)]
    return Table.of("totals", ("<", "<total", "<leading term", "<"), rows, " ".join(told))


def _totals(section: Any, question: str, title: str) -> list[tuple[str, str, str, str]]:
    """One row per kind: pointwise operations stand apart from contractions, which are what "FLOPs" means."""
    bill = section.bills[question]
    named: dict[tuple[Kind, ...], str] = {(): title}
    if bill.unit == Kind.CONTRACTION.unit:
        named = {(Kind.CONTRACTION,): title, (Kind.POINTWISE,): title.replace("FLOPs", "pointwise operations")}
    return [
        (name, size_to_text(bill.total(*k)), size_to_text(bill.leading("T", *k)), section.order(question, *k))
        for k, name in named.items()
    ]


def page_html(explanation: Any) -> str:
    """A self-contained page; equations and formulas as text, LaTeX in their titles."""
    parts = []
    for section in explanation.sections:
        equations = "".join(
            f'<p class="equation" title="{html.escape(e)}">{html.escape(equation_to_text(e))}</p>'
            for e in section.equations
        )
        flops = section.bills["flops"]
        parts.append(
            f"<section><h2>{html.escape(section.name)}</h2><p>{html.escape(section.summary)}</p>"
            f"<p class='source'>{html.escape(section.source)}</p>{equations}"
            f"{steps_table(section).to_html()}{totals_table(section).to_html()}"
            f"<details><summary>all lines</summary>{flops.to_html()}</details>"
            f"<details><summary>LaTeX</summary><pre>{html.escape(flops.to_latex())}</pre></details>"
            "</section>"
        )
    return document(f"seqcost: {explanation.name}", "".join(parts))


def document(title: str, body: str) -> str:
    """An HTML document with the house's style, nothing fetched from elsewhere."""
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{html.escape(title)}</title>"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'><style>{STYLE}</style></head>"
        f"<body><main><h1>{html.escape(title)}</h1>{body}</main></body></html>"
    )


STYLE = """
:root { color-scheme: light; --ink: #1c1e21; --soft: #5f6670; --rule: #d9dce1; --paper: #fff; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 .5rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .25rem; }
p { max-width: 48rem; } .source, .note { color: var(--soft); font-size: .87rem; }
.equation { font-family: 'STIX Two Math', 'Cambria Math', serif; font-size: 1.08rem; margin: .2rem 0 .2rem 1.5rem; }
table { border-collapse: collapse; margin: 1rem 0 .25rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .25rem 0; }
th, td { padding: .22rem .9rem .22rem 0; text-align: left; border-bottom: 1px solid var(--rule); vertical-align: top; }
th { color: var(--soft); font-weight: 600; } .number { text-align: right; white-space: nowrap; }
.scroll { overflow-x: auto; } img { max-width: 100%; height: auto; display: block; margin: 1rem 0; }
details { margin: .75rem 0; } summary { cursor: pointer; color: var(--soft); } pre { overflow-x: auto; }
"""
