"""`seqcost diff A B`: what a change cost."""

from typing import Annotated

import typer

from seqcost.cli import completion, options
from seqcost.cli.waiting import waiting
from seqcost.questions.asked.assignments import parse_assignment
from seqcost.questions.asked.lengths import parse_whole
from seqcost.questions.diff import diff

SetA = Annotated[
    list[str] | None,
    typer.Option(
        "--set-a",
        metavar="LETTER=VALUE",
        help="override a size or choice of A alone",
        autocompletion=completion.settings,
    ),
]
SetB = Annotated[
    list[str] | None,
    typer.Option(
        "--set-b",
        metavar="LETTER=VALUE",
        help="override a size or choice of B alone",
        autocompletion=completion.settings,
    ),
]


def diff_command(
    a: Annotated[
        str, typer.Argument(metavar="A", help="what it was: as TARGET of count", autocompletion=completion.targets)
    ],
    b: Annotated[
        str, typer.Argument(metavar="B", help="what it became: as TARGET of count", autocompletion=completion.targets)
    ],
    length: Annotated[
        str | None, typer.Option("--length", "-n", metavar="N", help="tokens T [default: the targets', or 1024]")
    ] = None,
    batch: options.OwnBatch = None,
    source: options.Source = None,
    phase: options.Phase = "forward",
    dtype: options.OwnDType = None,
    causal: options.Causal = "full",
    assignments: options.SetOption = None,
    set_a: SetA = None,
    set_b: SetB = None,
    width: options.Width = None,
    layers: options.Layers = None,
    heads: options.Heads = None,
    vocab: options.Vocab = None,
    trace: Annotated[bool, typer.Option("--trace", help="trace both working layers")] = False,
    lines: options.Lines = "16",
    as_json: options.Json = False,
    as_csv: options.Csv = False,
) -> None:
    """What B costs beside A: every quantity, the lines that appear, vanish or change, both functions of T."""
    most = parse_whole(lines, "--lines")
    with waiting(f"counting {a} and {b}"):
        answer = diff(
            a,
            b,
            length=None if length is None else parse_whole(length, "--length"),
            batch=None if batch is None else parse_whole(batch, "--batch"),
            source=None if source is None else parse_whole(source, "--source"),
            phase=phase,
            dtype=dtype,
            causal=causal,
            sizes=options.sizes_from(assignments, width, layers, heads, vocab),
            sizes_a=dict(parse_assignment(text, "--set-a") for text in set_a or ()),
            sizes_b=dict(parse_assignment(text, "--set-b") for text in set_b or ()),
            trace=trace,
        ).to_dict()

    def csv() -> str:
        from seqcost.report.diffs import flat_rows
        from seqcost.report.table import rows_to_csv

        return rows_to_csv(flat_rows(answer))

    def tables() -> list[object]:
        from seqcost.report import diffs

        return [
            *diffs.tables(answer, most=most),
            *(options.remark(f"not counted — {note}") for note in diffs.notes(answer)),
        ]

    options.show(as_json=as_json, as_csv=as_csv, data=lambda: answer, csv=csv, rich=tables)
