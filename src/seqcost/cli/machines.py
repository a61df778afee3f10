"""`seqcost machines [NAME]`: what there is to predict for, and what each number of a machine is worth."""

from typing import Annotated

import typer

from seqcost.cli import completion, options
from seqcost.machines import known_machines, machine_named
from seqcost.machines.shelf import calibrated_here
from seqcost.report import machines


def machines_command(
    name: Annotated[
        str | None,
        typer.Argument(
            help="one of them, name@edition, here or a .toml file: all its values [default: the list]",
            autocompletion=completion.machines,
        ),
    ] = None,
    as_json: options.Json = False,
    as_csv: options.Csv = False,
) -> None:
    """Machines with their memory, bandwidth and peaks; with NAME every value, what it is worth and where it is from."""
    from seqcost.report.table import rows_to_csv

    if name is None:
        rows = [machines.listed(machine) for machine in (*calibrated_here(), *known_machines())]
        options.show(
            as_json=as_json,
            as_csv=as_csv,
            data=lambda: rows,
            csv=lambda: rows_to_csv([machines.flat(row) for row in rows]),
            rich=lambda: [machines.list_table(rows)],
        )
        return
    found = machines.plain(machine_named(name))
    options.show(
        as_json=as_json,
        as_csv=as_csv,
        data=lambda: found,
        csv=lambda: rows_to_csv(found["values"]),
        rich=lambda: [*machines.tables(found), *machines.sentences(found)],
    )
