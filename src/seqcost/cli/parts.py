"""Options of `seqcost count` that divide a number: --by and --explain, and how their answers are shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqcost.cli import completion
from seqcost.errors import BadSize
from seqcost.questions.answers.derivation import check_quantity
from seqcost.questions.answers.views import check_view, ranks
from seqcost.questions.asked.lengths import parse_whole

if TYPE_CHECKING:
    from seqcost.questions.answers.count import Count

By = Annotated[
    str | None,
    typer.Option(
        "--by",
        metavar="WAY",
        help="by module, operator or line [default: line; of a trace module]",
        autocompletion=completion.ways,
    ),
]
Rank = Annotated[
    str | None,
    typer.Option(
        "--rank",
        metavar="QUANTITY",
        help=f"rank by {', '.join(ranks()[:-1])} or {ranks()[-1]} [default: flops]",
        autocompletion=completion.ranked,
    ),
]
Depth = Annotated[str | None, typer.Option("--depth", metavar="N", help="levels of modules to show [default: all]")]
Explain = Annotated[
    str | None,
    typer.Option(
        "--explain",
        metavar="QUANTITY[:PATH]",
        help="how a number came about: flops, or flops:blocks.attention",
        autocompletion=completion.explained,
    ),
]
_LEVELS = 3  # of modules, where none were asked for


@dataclass(frozen=True)
class Wanted:
    """What was asked for."""

    by: str | None
    rank: str
    depth: int | None
    explain: str | None

    def of(self, count: "Count") -> dict[str, Any]:
        """Plain data: `view` where a division was asked for, `explanation` where a number was to be explained."""
        found: dict[str, Any] = {}
        if self.by is not None:
            found["view"] = count.by(self.by, self.rank).to_dict()
        if self.explain is not None:
            quantity, _, path = self.explain.partition(":")
            found["explanation"] = count.derive(quantity, path).to_dict()
        return found

    def tables(self, count: "Count", found: Mapping[str, Any], *, most: int) -> list[object]:
        """The view; where none was asked for, formulas by their lines and traces by module, equal layers as one."""
        from seqcost.report.derivations import derivation_table
        from seqcost.report.views import view_table

        shown: list[object] = []
        if "view" in found or "explanation" not in found:
            depth = self.depth
            if "view" in found:
                view = found["view"]
            elif count.rung == "formula":
                view = count.by("line", self.rank).to_dict()
            else:
                view, depth = count.by("module", self.rank).to_dict(), _LEVELS
            shown.append(view_table(view, most=most, depth=depth))
        if "explanation" in found:
            shown.append(derivation_table(found["explanation"], most=most))
        return shown


def wanted(
    by: str | None, rank: str | None, depth: str | None, explain: str | None, *, num_lengths: int, rows: bool
) -> Wanted:
    """The options read, before anything is worked out; `rows`: one flat table is to be written.

    Raises BadSize for options that do not go together, UnknownName for words that mean nothing.
    """
    if rank is not None and by is None:
        by = "line"
    for option, value in (("--by" if rank is None else "--rank", by), ("--explain", explain)):
        if value is not None and num_lengths > 1:
            raise BadSize(f"{option} was given with {num_lengths} lengths; it divides one: give --length once.")
    if depth is not None and by != "module":
        raise BadSize(f"--depth {depth} was given without --by module; only modules lie in each other: add it.")
    if rows and by is not None and explain is not None:
        raise BadSize("--by and --explain were given for one table of rows; give one of them, or --json.")
    if by is not None:
        check_view(by, rank or "flops")
    if explain is not None:
        check_quantity(explain.partition(":")[0])
    levels = None if depth is None else parse_whole(depth, "--depth")
    return Wanted(by, rank or "flops", levels, explain)


def rows(found: Mapping[str, Any]) -> list[dict[str, object]]:
    """The rows of what was found, flat."""
    return list(found["view"]["rows"] if "view" in found else found["explanation"]["steps"])
