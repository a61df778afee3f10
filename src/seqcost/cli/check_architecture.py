"""`seqcost check-architecture NAME`: what the catalogue asks of an architecture."""

from typing import Annotated

import typer

from seqcost.cli import completion, options
from seqcost.cli.waiting import waiting


def check_architecture_command(
    name: Annotated[
        str,
        typer.Argument(help="an architecture, registered or of the catalogue", autocompletion=completion.names),
    ],
    assignments: options.SetOption = None,
    as_json: options.Json = False,
    as_csv: options.Csv = False,
) -> None:
    """Hold an architecture to what the catalogue asks: formula = trace = layer, and the invariants of check.

    Exit code 1 where something fails.
    """
    from seqcost.questions.check_architecture import check_architecture

    with waiting(f"checking {name}"):
        found = check_architecture(name, sizes=options.sizes_from(assignments, None, None, None, None))

    def csv() -> str:
        from seqcost.report.table import rows_to_csv

        return rows_to_csv([{"name": found.name, **vars(row)} for row in found.rows])

    def tables() -> list[object]:
        from seqcost.report.checks import check_table

        return [check_table(found.rows, found.title)]

    options.show(as_json=as_json, as_csv=as_csv, data=found.to_dict, csv=csv, rich=tables)
    if not found.sound:
        raise typer.Exit(1)
