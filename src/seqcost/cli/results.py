"""`seqcost results`: what has been measured, and its export."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqcost.cli import options
from seqcost.errors import BadTarget

if TYPE_CHECKING:
    from seqcost.records import Store


def results_command(
    store: Annotated[Path | None, typer.Option("--store", metavar="FILE", help="where runs are kept")] = None,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="write FILE.csv or FILE.parquet")
    ] = None,
    as_json: options.Json = False,
    as_csv: options.Csv = False,
) -> None:
    """Every job on record, its processes pooled; --json, --csv and --export give each run. Machines stay apart."""
    from seqcost.records import Store
    from seqcost.records.export import row

    if store is not None and not store.exists():
        raise BadTarget(f"the store {store} does not exist; give one that measure or compare --measure has written.")
    with Store(store) as kept:
        if export is not None:
            _export(kept, export)
            typer.echo(f"wrote {export}")
            return
        runs = list(kept.runs())
    rows = [row(run) for run in runs]

    def csv() -> str:
        from seqcost.report.table import rows_to_csv

        return rows_to_csv(rows)

    def tables() -> list[object]:
        from rich.markup import escape

        from seqcost.report.runs import runs_tables

        shown: list[object] = [*runs_tables(runs)] or [f"nothing has been measured yet; {kept.path} is empty."]
        return [
            *shown,
            *(f"row {row} is no run and was passed by: {escape(why)}" for row, why in kept.odd_rows.items()),
        ]

    options.show(as_json=as_json, as_csv=as_csv, data=lambda: [run.to_dict() for run in runs], csv=csv, rich=tables)


def _export(kept: "Store", path: Path) -> None:
    writers = {".csv": kept.export_csv, ".parquet": kept.export_parquet}
    if path.suffix not in writers:
        raise BadTarget(f"--export {path} was given; a name that ends in .csv or .parquet is allowed.")
    writers[path.suffix](path)
