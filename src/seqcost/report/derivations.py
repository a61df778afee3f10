"""How a number came about, as a table: expression, sizes put in, amount, share; what is alike in many layers once."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from seqcost.algebra.quantity import QUANTITIES
from seqcost.report.folding import numbers_apart, spans
from seqcost.report.memory import LABELS
from seqcost.report.table import Table

_HEADINGS = {"FLOP": "FLOPs", "byte": "bytes", "second": "seconds"}
_ALIKE = ("direction", "operator", "expression", "numbers", "note")


@dataclass
class _Row:
    step: Mapping[str, Any]
    path: str
    numbers: list[int]
    calls: int
    amount: Fraction


def derivation_table(found: Mapping[str, Any], *, most: int = 16) -> Table:
    """The largest steps of `Derivation.to_dict()`, how many are left out and with what share, and the total."""
    rows = _alike(found["steps"])
    rows.sort(key=lambda row: -row.amount)
    total, rest = Fraction(found["total"]), rows[most:]
    shown = [(_where(row), _how(row), row.amount) for row in rows[:most]]
    if rest:
        shown.append((f"and {len(rest):,} more", "", sum((row.amount for row in rest), start=Fraction(0))))
    shown.append(("total", "", total))
    explained = any(how for _, how, _ in shown)  # what autograd keeps, and what was alive, have no formula
    quantity = QUANTITIES[found["quantity"]]
    headings = [
        "<",
        *(["<how"] if explained else []),
        _HEADINGS.get(quantity.unit, "number"),
        "share",
    ]
    cells = [[where, *([how] if explained else []), _exact(n), _share(n, total)] for where, how, n in shown]
    notes = [f"{len(rest):,} more: --lines {len(rows)} shows them, --json gives all"] if rest else []
    if found["quantity"] == "peak_bytes" and rows:
        notes.append(rows[0].step["note"])
    if found["path"]:
        notes.append(f"{_share(total, Fraction(found['whole']))} of {_exact(Fraction(found['whole']))}")
    where = f" of {found['path']}" if found["path"] else ""
    return Table.of(f"{quantity.label}{where}, step by step", headings, cells, "; ".join(notes))


def _alike(steps: list[Mapping[str, Any]]) -> list[_Row]:
    """Steps that differ in the number of a layer alone, together."""
    rows: dict[tuple[Any, ...], _Row] = {}
    for step in steps:
        path, number = numbers_apart(step["path"])
        amount = Fraction(step["amount"])
        shapes = "" if step["numbers"] else step["shapes"]
        key = (path, number is None, amount / step["calls"], shapes, *(step[name] for name in _ALIKE))
        row = rows.setdefault(key, _Row(step, path, [], 0, Fraction(0)))
        row.calls += step["calls"]
        row.amount += amount
        if number is not None:
            row.numbers.append(number)
    return list(rows.values())


def _where(row: _Row) -> str:
    """Module or line, then the operator on a line of its own."""
    step, path = row.step, row.path
    if row.numbers:
        path = path.replace("*", spans(row.numbers), 1)
        times = len(set(row.numbers))
        path += f" (×{times})" if times > 1 else ""
    operator = LABELS.get(step["operator"]) or step["operator"].split("::")[-1]
    words = " ".join(word for word in (step["direction"], operator) if word)
    return "\n".join(word for word in (path, words) if word) or "the module itself"


def _how(row: _Row) -> str:
    """Letters, then numbers on a line of their own; of several calls, how often."""
    expression, numbers = row.step["expression"], row.step["numbers"]
    times = f"{row.calls:,} × " if row.calls > 1 else ""
    if not numbers:
        return f"{times}{row.step['shapes']}" if row.step["shapes"] else ""
    if not expression or expression == numbers:
        return f"{times}{numbers}"
    return f"{times}{expression}\n= {times}{numbers}"


def _share(amount: Fraction, total: Fraction) -> str:
    return f"{float(100 * amount / total):.1f} %" if total else ""


def _exact(amount: Fraction) -> str:
    return f"{amount.numerator:,}" if amount.denominator == 1 else str(amount)
