"""`seqcost list`: every architecture and preset, one line each."""

from seqcost.cli import options
from seqcost.formulas.catalogue import CATALOGUE, load_registered


def list_command(as_json: options.Json = False, as_csv: options.Csv = False) -> None:
    """Architectures and presets, one line each."""
    load_registered()
    rows: list[dict[str, object]] = [
        {"name": name, "kind": entry.group, "summary": entry.summary} for name, entry in CATALOGUE.items()
    ]

    def csv() -> str:
        from seqcost.report.table import rows_to_csv

        return rows_to_csv(rows)

    def tables() -> list[object]:
        from seqcost.report.table import Table

        cells = [[str(row[key]) for key in ("name", "kind", "summary")] for row in rows]
        return [Table.of("", ("<name", "<kind", "<what it is"), cells)]

    options.show(as_json=as_json, as_csv=as_csv, data=lambda: rows, csv=csv, rich=tables)
