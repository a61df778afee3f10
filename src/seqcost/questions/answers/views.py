"""Who costs what? A count divided by module, by operator or by line, ranked by the quantity that is asked for."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from seqcost.algebra import Size
from seqcost.algebra.quantity import QUANTITIES, Told
from seqcost.algebra.rendering import plain
from seqcost.errors import BadTarget, UnknownName
from seqcost.questions.answers.derivation import known, origin_of

WAYS = ("module", "operator", "line")


def ranks(by: str = "line") -> tuple[str, ...]:
    """What a count that is divided in this way can be ranked by; last what no length changes."""
    if by == "operator":
        return tuple(row.name for row in QUANTITIES.of_operators())
    return tuple(row.name for row in sorted(QUANTITIES.told(Told.DIVIDED), key=lambda row: Told.CURVE not in row.told))


@dataclass(frozen=True, kw_only=True)
class View:
    """Rows of plain data: `name`, the divided quantities (None where they are unknown), `calls` of an operator.

    By module each row is a path with what lies below it included, parents first; the row "" is the whole. Otherwise
    rows fall by `rank`.
    """

    target: str
    by: str
    rank: str
    totals: Mapping[str, Size | None]
    rows: tuple[Mapping[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "target": self.target,
            "by": self.by,
            "rank": self.rank,
            "totals": {name: plain(total) for name, total in self.totals.items()},
            "rows": [{key: plain(value) for key, value in row.items()} for row in self.rows],
        }

    def to_csv(self) -> str:
        """Its rows."""
        from seqcost.report.table import rows_to_csv

        return rows_to_csv(self.to_dict()["rows"])

    def __str__(self) -> str:
        from seqcost.report.views import view_table

        return view_table(self.to_dict()).to_text()

    def __rich__(self) -> Any:
        from seqcost.report.views import view_table

        return view_table(self.to_dict())

    def _repr_html_(self) -> str:
        from seqcost.report.notebook import in_notebook
        from seqcost.report.views import view_table

        return in_notebook([view_table(self.to_dict())])


def view(count: Any, by: str, rank: str = "flops") -> View:
    """A `Count` divided in one of WAYS and ranked by one of `ranks`.

    Raises UnknownName for another way or rank, BadTarget where the count cannot be divided so or does not know the
    quantity.
    """
    check_view(by, rank)
    known(count, rank)
    if by == "operator":
        rows = sorted(origin_of(count).operators(), key=lambda row: _rank(row, rank, ranks(by)), reverse=True)
    else:
        rows = list(_modules(count) if by == "module" else _lines(count))
        if by == "line":
            rows.sort(key=lambda row: _rank(row, rank, ranks(by)), reverse=True)
    totals = {name: count.amount(name) for name in ranks(by)}
    return View(target=count.target, by=by, rank=rank, totals=totals, rows=tuple(rows))


def check_view(by: str, rank: str) -> None:
    """Refuse what is no way to divide, no rank, or both of which do not go together."""
    if by not in WAYS:
        raise UnknownName.among("way to divide a count", str(by), WAYS)
    if rank not in ranks():
        raise UnknownName.among("quantity to rank by", str(rank), ranks())
    if rank not in ranks(by):
        raise BadTarget(
            f"{rank} is no cost of operators; rank them by {', '.join(ranks(by))}, or ask by module or by line."
        )


def _rank(row: Mapping[str, Any], rank: str, names: Iterable[str]) -> list[Size]:
    return [row[name] or 0 for name in dict.fromkeys((rank, *names))]


def _lines(count: Any) -> Iterator[Mapping[str, Any]]:
    """The lines of all bills, those of one name together."""
    empty, found = _empty(count), dict[str, dict[str, Any]]()
    for quantity in QUANTITIES.told(Told.DIVIDED):
        for line in count.bills.lines(quantity):
            row = found.setdefault(line.name, dict(empty))
            row[quantity.name] += line.amount
    return ({"name": name, **row} for name, row in found.items())


def _modules(count: Any) -> Iterator[Mapping[str, Any]]:
    """Every path with what is below it, parents before children, in the order of their first operator."""
    origin, empty = origin_of(count), _empty(count)
    found: dict[str, dict[str, Any]] = {"": dict(empty)}
    for quantity in (name for name in ranks() if empty[name] is not None):
        for path, amount in origin.amounts(quantity):
            parts = path.split(".") if path else []
            for n in range(len(parts) + 1):
                row = found.setdefault(".".join(parts[:n]), dict(empty))
                row[quantity] += amount
    return ({"name": name, **row} for name, row in found.items())


def _empty(count: Any) -> dict[str, Any]:
    return {name: None if count.amount(name) is None else 0 for name in ranks()}
