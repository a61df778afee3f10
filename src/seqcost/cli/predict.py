"""`seqcost predict TARGET --machine here|h100|FILE`: time and memory on a machine, before anything runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from seqcost.cli import completion, options
from seqcost.cli.waiting import waiting
from seqcost.errors import BadTarget
from seqcost.extras import need
from seqcost.questions.asked.lengths import parse_lengths, parse_whole
from seqcost.writing import check_file


def predict_command(
    target: Annotated[str, typer.Argument(help="what count takes", autocompletion=completion.targets)],
    machine: Annotated[
        str,
        typer.Option(
            "--machine",
            "-m",
            metavar="NAME",
            help="here, one of seqcost machines, or a .toml file",
            autocompletion=completion.machines,
        ),
    ] = "here",
    length: Annotated[
        list[str] | None, typer.Option("--length", "--lengths", "-n", help="1024, 1k,4k or 64..8k [default: 1024]")
    ] = None,
    batch: options.OwnBatch = None,
    source: options.Source = None,
    phase: options.Phase = "forward",
    dtype: options.OwnDType = None,
    assignments: options.SetOption = None,
    width: options.Width = None,
    layers: options.Layers = None,
    heads: options.Heads = None,
    vocab: options.Vocab = None,
    trace: Annotated[bool, typer.Option("--trace", help="trace the working layer instead of its formula")] = False,
    optimizer: options.Optimizer = None,
    accumulate: options.Accumulate = "1",
    threads: Annotated[str | None, typer.Option("--threads", metavar="N", help="of a CPU's profile")] = None,
    lines: options.Lines = "12",
    roofline: Annotated[
        Path | None, typer.Option("--roofline", metavar="FILE.png", help="plot the rows under the machine's roofline")
    ] = None,
    as_json: options.Json = False,
    as_csv: options.Csv = False,
) -> None:
    """How long TARGET takes on a machine, how much memory, and what bounds it: with a 90 % interval."""
    from rich.text import Text

    from seqcost.questions.predict import predict
    from seqcost.report import predictions
    from seqcost.report.table import rows_to_csv

    lengths = None if length is None else parse_lengths(length)
    most = parse_whole(lines, "--lines")
    if roofline is not None:
        if roofline.suffix != ".png":
            raise BadTarget(f"--roofline {roofline} was given; a name that ends in .png is allowed.")
        need("matplotlib", "plots need")
        check_file(roofline)
    with waiting(f"predicting {target}"):
        found = predict(
            target,
            machine=machine,
            length=lengths,
            batch=None if batch is None else parse_whole(batch, "--batch"),
            source=None if source is None else parse_whole(source, "--source"),
            phase=phase,
            dtype=dtype,
            sizes=options.sizes_from(assignments, width, layers, heads, vocab),
            trace=trace,
            optimizer=optimizer,
            accumulate=parse_whole(accumulate, "--accumulate"),
            threads=None if threads is None else parse_whole(threads, "--threads"),
        )
    answers = found if isinstance(found, list) else [found]
    data = [answer.to_dict() for answer in answers]
    if roofline is not None:
        from seqcost.report.rooflines import roofline_png
        from seqcost.writing import write_bytes

        write_bytes(roofline, roofline_png(data[-1], answers[-1].roofline()))

    def csv() -> str:
        return rows_to_csv([predictions.flat_row(row) for row in data])

    def shown() -> Iterator[object]:
        yield from predictions.tables(data, most)
        yield from (Text(sentence) for sentence in predictions.sentences(data))
        if roofline is not None:
            yield f"wrote {roofline}"

    options.show(as_json=as_json, as_csv=as_csv, data=lambda: data if len(data) > 1 else data[0], csv=csv, rich=shown)
