"""`seqcost fit TARGET`: what fits in so much memory and time."""

from typing import Annotated

import typer

from seqcost.cli import completion, options
from seqcost.cli.count import TARGET
from seqcost.cli.waiting import waiting
from seqcost.questions.asked.lengths import parse_whole


def fit_command(
    target: Annotated[str, typer.Argument(help=TARGET, autocompletion=completion.targets)],
    memory: Annotated[
        str | None,
        typer.Option("--memory", "-m", metavar="24GiB", help="what tensors may take [default: all of this machine's]"),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option("--time", metavar="1h", help="what one run of the phase may take, as predicted for the machine"),
    ] = None,
    machine: Annotated[
        str | None,
        typer.Option(
            "--machine",
            metavar="NAME",
            help="h100, here or FILE.toml: the memory that it leaves, and its times",
            autocompletion=completion.machines,
        ),
    ] = None,
    find: Annotated[
        str,
        typer.Option("--for", metavar="SIZE", help="length, batch, D or L", autocompletion=completion.found),
    ] = "length",
    length: Annotated[
        str | None,
        typer.Option("--length", "-n", metavar="N", help="tokens T to ask about; with --for batch those of a sequence"),
    ] = None,
    batch: options.OwnBatch = None,
    source: options.Source = None,
    phase: options.Phase = "train",
    dtype: options.OwnDType = None,
    optimizer: options.Optimizer = None,
    accumulate: options.Accumulate = "1",
    assignments: options.SetOption = None,
    width: options.Width = None,
    layers: options.Layers = None,
    heads: options.Heads = None,
    vocab: options.Vocab = None,
    trace: Annotated[bool, typer.Option("--trace", help="trace the working layer instead of its formula")] = False,
    remedies: Annotated[
        bool, typer.Option("--remedies/--no-remedies", help="try what would make more fit; traces take seconds each")
    ] = True,
    lines: options.Lines = "8",
    as_json: options.Json = False,
    as_csv: options.Csv = False,
) -> None:
    """The longest text (or the largest batch, width, number of layers) that fits, and what stands at the peak."""
    from seqcost.questions.fit import fit  # and with it NumPy, which most commands do without

    most = parse_whole(lines, "--lines")
    with waiting(f"looking what fits of {target}"):
        answer = fit(
            target,
            memory=memory,
            time=time,
            machine=machine,
            find=find,
            length=None if length is None else parse_whole(length, "--length"),
            batch=None if batch is None else parse_whole(batch, "--batch"),
            source=None if source is None else parse_whole(source, "--source"),
            phase=phase,
            dtype=dtype,
            sizes=options.sizes_from(assignments, width, layers, heads, vocab),
            optimizer=optimizer,
            accumulate=parse_whole(accumulate, "--accumulate"),
            trace=trace,
            remedies=remedies,
        ).to_dict()

    def csv() -> str:
        from seqcost.report.fits import flat_row
        from seqcost.report.table import rows_to_csv

        return rows_to_csv([flat_row(answer)])

    def tables() -> list[object]:
        from seqcost.report import fits

        return [
            fits.heading(answer),
            *fits.sentences(answer),
            "",
            *fits.tables(answer, most=most),
            *map(options.remark, answer["notes"]),
        ]

    options.show(as_json=as_json, as_csv=as_csv, data=lambda: answer, csv=csv, rich=tables)
