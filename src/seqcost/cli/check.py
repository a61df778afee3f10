"""`seqcost check TARGET`: the invariants of a sequence model held against a module."""

from typing import Annotated

import typer

from seqcost.cli import completion, options
from seqcost.cli.waiting import waiting
from seqcost.questions.asked.lengths import parse_whole


def check_command(
    target: Annotated[
        str,
        typer.Argument(help="an architecture or preset, or package.module:callable", autocompletion=completion.names),
    ],
    length: Annotated[str, typer.Option("--length", metavar="N", help="tokens of the trial")] = "48",
    batch: options.Batch = "3",
    tolerance: Annotated[float, typer.Option("--tolerance", help="largest relative error that passes")] = 1e-4,
    sees: Annotated[
        str,
        typer.Option(
            "--sees", help="what an output may depend on: past, both or auto", autocompletion=completion.sights
        ),
    ] = "auto",
    assignments: options.SetOption = None,
    width: options.Width = None,
    layers: options.Layers = None,
    heads: options.Heads = None,
    vocab: options.Vocab = None,
    as_json: options.Json = False,
    as_csv: options.Csv = False,
) -> None:
    """Hold the invariants of a sequence model against TARGET: splits, steps, causality, batch, padding, state.

    Exit code 1 where something fails.
    """
    from seqcost.questions.check import check

    sizes = options.sizes_from(assignments, width, layers, heads, vocab)
    with waiting(f"checking {target}"):
        found = check(
            target,
            sizes=sizes,
            length=parse_whole(length, "--length"),
            batch=parse_whole(batch, "--batch"),
            tolerance=tolerance,
            sees=sees,  # type: ignore[arg-type]  # check() reads the word
        )

    def csv() -> str:
        from seqcost.report.table import rows_to_csv

        return rows_to_csv([{"target": found.target, **vars(row)} for row in found.rows])

    def tables() -> list[object]:
        from seqcost.report.checks import check_table

        return [check_table(found.rows, found.title)]

    options.show(as_json=as_json, as_csv=as_csv, data=found.to_dict, csv=csv, rich=tables)
    if not found.sound:
        raise typer.Exit(1)
