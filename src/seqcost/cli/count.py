"""`seqcost count TARGET`: the cost of one target."""

from typing import Annotated

import typer

from seqcost.cli import options
from seqcost.questions.count import count
from seqcost.questions.lengths import parse_lengths, parse_whole


def count_command(
    target: Annotated[str, typer.Argument(help="an architecture, a preset, or package.module:callable")],
    length: Annotated[
        list[str] | None, typer.Option("--length", "-n", help="1024, 128k, 1M, 64,256 or 128..1M [default: 1024]")
    ] = None,
    batch: options.Batch = "1",
    source: Annotated[
        str | None, typer.Option("--source", help="tokens S of the source [default: as --length asks for]")
    ] = None,
    phase: options.Phase = "forward",
    dtype: options.DType = "float32",
    causal: Annotated[str, typer.Option("--causal", help="pairs of causal attention: full or half")] = "full",
    assignments: options.SetOption = None,
    width: options.Width = None,
    layers: options.Layers = None,
    heads: options.Heads = None,
    vocab: options.Vocab = None,
    trace: Annotated[
        bool, typer.Option("--trace", help="trace the working layer: peak memory, depth of training")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="refuse to answer while operators are uncounted")] = False,
    lines: Annotated[str, typer.Option("--lines", help="how many lines to show")] = "16",
    as_json: options.Json = False,
    as_csv: options.Csv = False,
) -> None:
    """FLOPs, memory, traffic and depth of TARGET, by line, with the formula in T."""
    lengths = parse_lengths(length or ["1024"])
    most = parse_whole(lines, "--lines")
    answers = count(
        target,
        length=lengths,
        batch=parse_whole(batch, "--batch"),
        source=None if source is None else parse_whole(source, "--source"),
        phase=phase,
        dtype=dtype,
        causal=causal,
        sizes=options.sizes_from(assignments, width, layers, heads, vocab),
        trace=trace,
        strict=strict,
    )
    data = [answer.to_dict() for answer in answers]

    def csv() -> str:
        from seqcost.report.counts import flat_row
        from seqcost.report.table import rows_to_csv

        return rows_to_csv([flat_row(row) for row in data])

    def tables() -> list[object]:
        from seqcost.report.counts import lengths_table, lines_table, totals_table, uncounted_notes

        shown = [totals_table(data[0]), lines_table(data[0], most=most)] if len(data) == 1 else [lengths_table(data)]
        return [*shown, *(f"[dim]not counted — {note}[/dim]" for note in uncounted_notes(data[0]))]

    options.show(as_json=as_json, as_csv=as_csv, data=lambda: data[0] if len(data) == 1 else data, csv=csv, rich=tables)
