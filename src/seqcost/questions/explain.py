"""How is that number made? The formula page of an architecture: equations, lines, totals, leading terms, source.

A page begins with the layer (what one token costs, step by step, and T of them), then gives the whole model. Letters
stay letters; a preset keeps its published sizes and leaves only B and T open.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from seqcost.algebra import Bill, Kind, Size, symbol, symbols
from seqcost.algebra.quantity import QUANTITIES, Quantity
from seqcost.algebra.rendering import formula_to_latex, plain, totals_by_kind
from seqcost.errors import BadSize
from seqcost.formulas.catalogue import Entry, configure, entry
from seqcost.formulas.core.component import Component
from seqcost.formulas.core.workload import Workload
from seqcost.questions.answers.complexity import growth


@dataclass(frozen=True)
class Section:
    """The page of one config: its Bills with letters left open."""

    name: str
    summary: str
    source: str
    equations: tuple[str, ...]
    config: Component
    run: Workload
    bills: Mapping[str, Bill]

    @property
    def steps(self) -> tuple[tuple[str, str, Size, Size], ...]:
        """Contractions as a textbook counts them: (line, in words, FLOPs per token, FLOPs of all tokens)."""
        tokens = self.run.B * self.run.T
        return tuple(
            (line.name, line.note, line.amount / tokens, line.amount)
            for line in self.bills["flops"].only(Kind.CONTRACTION)
        )

    def leading(self, question: str, letter: str = "T") -> Size:
        """Leading term of a question's total; of its contractions where it counts FLOPs."""
        kinds = (Kind.CONTRACTION,) if QUANTITIES[question].unit == "FLOP" else ()
        return self.bills[question].leading(letter, *kinds)

    def order(self, question: str, *kinds: Kind) -> str:
        """How the total grows with T alone: O(T²); of contractions where it counts FLOPs and no kind is given."""
        kinds = kinds or ((Kind.CONTRACTION,) if QUANTITIES[question].unit == "FLOP" else ())
        return growth(self.bills[question].total(*kinds), "T")

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is not in these totals because of a choice, and which choice shows it."""
        if getattr(self.config, "implementation", None) != "fused":
            return ()
        return (
            "attention is fused and holds no scores: with --set implementation=materialised T² is in its bytes, too",
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, formulas as strings."""
        return {
            "name": self.name,
            "summary": self.summary,
            "source": self.source,
            "equations": list(self.equations),
            "sizes": {k: plain(v) for k, v in self.config.sizes().items()},
            "bills": {question: bill.to_dict() for question, bill in self.bills.items()},
            "leading": {question: str(self.leading(question)) for question in self.bills},
            "order": {question: self.order(question) for question in self.bills},
            "remarks": list(self.remarks),
        }


@dataclass(frozen=True)
class Explanation:
    """The formula page of one name: the layer, then the whole model where there is one."""

    name: str
    sections: tuple[Section, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"name": self.name, "sections": [section.to_dict() for section in self.sections]}

    def to_latex(self) -> str:
        """A LaTeX fragment: equations, then the FLOPs by line, of each section."""
        out = []
        for section in self.sections:
            out.append(f"% {section.name}: {section.source}")
            out += [rf"\[ {equation} \]" for equation in section.equations]
            out.append(rf"\[ {section.bills['flops'].only(Kind.CONTRACTION).to_latex()} \]")
            totals = [
                rf"\text{{{_title(row, kind)}}} &= {formula_to_latex(total)}"
                for row in QUANTITIES.on_pages()
                for kind, total in totals_by_kind(section.bills.get(row.name, Bill()).lines).items()
            ]
            out.append("\\[\\begin{aligned}\n" + " \\\\\n".join(totals) + "\n\\end{aligned}\\]")
        return "\n".join(out)

    def to_csv(self) -> str:
        """One row per line of every Bill."""
        from seqcost.report.table import rows_to_csv

        return rows_to_csv(
            [
                {"section": section.name, "question": question, **line}
                for section in self.sections
                for question, bill in section.bills.items()
                for line in bill.to_dict()["lines"]
            ]
        )

    def _repr_html_(self) -> str:
        from seqcost.report.formulas import steps_table, totals_table
        from seqcost.report.notebook import in_notebook

        return in_notebook([table(section) for section in self.sections for table in (steps_table, totals_table)])

    def __str__(self) -> str:
        return "\n\n".join(f"{s.name}: {s.summary}\n{s.bills['flops']}" for s in self.sections)

    def _repr_latex_(self) -> str:
        return f"$${self.sections[0].bills['flops'].only(Kind.CONTRACTION).to_latex()}$$"


def explain(name: str, **sizes: Any) -> Explanation:
    """Formula page of an architecture or preset; given sizes are put in, the rest stay letters.

    Raises UnknownName for a name or a size that does not exist, BadSize for a value that is not allowed and for B, T
    and S, which every page leaves open.

    >>> page = explain("lstm-layer")
    >>> print(page.sections[0].bills["params"].total())
    4*D*N + 4*N**2 + 8*N
    """
    found = entry(name)
    if run := [letter for letter in "BTS" if letter in sizes and letter not in found.fields]:
        raise BadSize(
            f"{run[0]} = {sizes[run[0]]!r} was given; a formula page leaves B, T and S open: ask seqcost count {name} "
            "with --batch, --length or --source."
        )
    names = [found.layer, name] if found.layer else [name]
    return Explanation(name, tuple(_section(n, entry(n), sizes if n == name else {}) for n in names))


def _section(name: str, found: Entry, sizes: Mapping[str, Any]) -> Section:
    # Where sizes are given, a letter that follows from others (K = D/H) takes its value and is no letter any more.
    follows = {f.name for f in found.fields.values() if f.default is None} if sizes else set()
    letters = symbols(letter for letter in found.symbols if letter not in follows | set(sizes))
    config = configure(name, **letters | dict(sizes))
    open_letters = symbols("BTS")
    run = Workload(
        B=open_letters["B"],
        T=open_letters["T"],
        S=open_letters["S"] if config.takes_source else 0,
        itemsize=4,
    )
    bills = {row.name: _answer(config, run, row.name) for row in QUANTITIES.on_pages()}
    return Section(
        name=name,
        summary=found.summary,
        source=config.SOURCE,
        equations=config.EQUATIONS,
        config=config,
        run=run,
        bills={question: bill for question, bill in bills.items() if bill is not None},
    )


def _title(row: Quantity, kind: Kind) -> str:
    label = row.page_label
    return label.replace("FLOPs", "pointwise operations") if kind is Kind.POINTWISE else label


def _answer(config: Component, run: Workload, question: str) -> Bill | None:
    if question == "params":
        return config.params()
    if question == "step_flops":
        # At a position beyond the first, the branch of a state that is not empty.
        return config.step_flops(replace(run, T=run.T + 1)).map(_shift) if config.decodes else None
    bill: Bill = getattr(config, question)(run).map(_large)
    return bill


def _shift(amount: Size) -> Size:
    """From the position T + 1 that was asked for back to T."""
    shifted = _large(amount)
    return shifted.subs(symbol("T"), symbol("T") - 1) if hasattr(shifted, "subs") else shifted


def _large(amount: Size) -> Size:
    """The branch for more than one token: a formula page speaks of sequences."""
    if not hasattr(amount, "replace") or isinstance(amount, str | Fraction):
        return amount
    import sympy

    return amount.replace(sympy.Piecewise, lambda *branches: branches[0][0])
