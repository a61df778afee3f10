"""`seqcost explain NAME`: the formula page."""

from pathlib import Path
from typing import Annotated

import typer

from seqcost.cli import completion, options
from seqcost.cli.waiting import waiting
from seqcost.questions.explain import explain
from seqcost.questions.targets.catalogue import resolve_sizes
from seqcost.writing import check_file


def explain_command(
    name: Annotated[
        str, typer.Argument(help="an architecture or preset; see seqcost list", autocompletion=completion.names)
    ],
    assignments: options.SetOption = None,
    latex: Annotated[bool, typer.Option("--latex", help="print LaTeX")] = False,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="write a page")] = None,
    as_json: options.Json = False,
    as_csv: options.Csv = False,
) -> None:
    """Equations, cost by line, totals, leading terms, depth, path length and source of NAME."""
    if latex:
        options.alone("--latex", {"--html": html, "--json": as_json, "--csv": as_csv})
    if html is not None:
        check_file(html)
    sizes = resolve_sizes(name, options.sizes_from(assignments, None, None, None, None))
    with waiting(f"explaining {name}"):
        page = explain(name, **sizes)
    if latex:
        typer.echo(page.to_latex())
        return
    if html is not None:
        from seqcost.report.formulas import page_html
        from seqcost.writing import write_text

        write_text(html, page_html(page))
        typer.echo(f"wrote {html}")
        return

    def tables() -> list[object]:
        from rich.text import Text

        from seqcost.report.formulas import equation_to_text, steps_table, totals_table

        out: list[object] = []
        for section in page.sections:
            out += [Text.assemble((section.name, "bold"), f" — {section.summary}"), Text(section.source, "dim"), ""]
            out += [f"    {equation_to_text(equation)}" for equation in section.equations]
            out += ["", steps_table(section), totals_table(section)]
        return out

    options.show(as_json=as_json, as_csv=as_csv, data=page.to_dict, csv=page.to_csv, rich=tables)
