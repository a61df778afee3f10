"""Options that several commands share, and how they are read. Words are parsed here so that errors are ours."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from seqcost.cli import completion
from seqcost.cli.streams import holds_everything
from seqcost.errors import BadSize, BadTarget
from seqcost.extras import need
from seqcost.foreign import harmless, harmless_json, harmless_lines
from seqcost.questions.asked.assignments import parse_assignment
from seqcost.questions.asked.lengths import parse_whole
from seqcost.writing import check_file

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="LETTER=VALUE",
        help="override a size or choice: D=512, norm=rms",
        autocompletion=completion.settings,
    ),
]
Width = Annotated[str | None, typer.Option("--width", metavar="N", help="width D")]
Layers = Annotated[str | None, typer.Option("--layers", metavar="N", help="layers L")]
Heads = Annotated[str | None, typer.Option("--heads", metavar="N", help="heads H")]
Vocab = Annotated[str | None, typer.Option("--vocab", metavar="N", help="vocabulary U")]
Batch = Annotated[str, typer.Option("--batch", metavar="N", help="sequences B")]
DType = Annotated[
    str, typer.Option("--dtype", help="float32, bfloat16 (bf16), float16 or float64", autocompletion=completion.formats)
]
# Of one target, which may have sizes and formats of its own.
OwnBatch = Annotated[str | None, typer.Option("--batch", metavar="N", help="sequences B [default: the target's, or 1]")]
OwnDType = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        help="float32, bfloat16 (bf16), float16 or float64 [default: the target's own, or float32]",
        autocompletion=completion.formats,
    ),
]
Phase = Annotated[
    str, typer.Option("--phase", help="forward, train, prefill or decode", autocompletion=completion.phases)
]
Optimizer = Annotated[
    str | None,
    typer.Option(
        "--optimizer",
        metavar="NAME",
        help="end training with its step: adamw, sgd:momentum=0.9",
        autocompletion=completion.optimizers,
    ),
]
Accumulate = Annotated[str, typer.Option("--accumulate", metavar="K", help="passes before the step")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
Csv = Annotated[bool, typer.Option("--csv", help="print CSV")]
Source = Annotated[str | None, typer.Option("--source", help="tokens S of the source [default: as --length asks for]")]
Causal = Annotated[
    str, typer.Option("--causal", help="pairs of causal attention: full or half", autocompletion=completion.conventions)
]
Lines = Annotated[str, typer.Option("--lines", help="how many lines to show")]
RunStore = Annotated[Path | None, typer.Option("--store", metavar="FILE", help="where runs are kept")]
TimeLimit = Annotated[str, typer.Option("--time-limit", metavar="SECONDS", help="of one run")]
MemoryLimit = Annotated[
    str | None, typer.Option("--memory-limit", metavar="BYTES", help="of one run: 8G [default: 80 % of what is free]")
]
Processes = Annotated[
    str, typer.Option("--processes", metavar="N", help="started processes a job, spread over time, at least")
]
Retries = Annotated[
    str, typer.Option("--retries", metavar="N", help="how often a run is repeated that other processes disturbed")
]
Again = Annotated[bool, typer.Option("--again", help="measure anew what was measured before")]
Parquet = Annotated[
    Path | None, typer.Option("--parquet", metavar="FILE.parquet", help="also write the rows of --csv, with types")
]


def sizes_from(
    assignments: Sequence[str] | None, width: str | None, layers: str | None, heads: str | None, vocab: str | None
) -> dict[str, Any]:
    """`--set` and the friendly words as one mapping."""
    sizes = dict(parse_assignment(text) for text in assignments or ())
    friendly = {"width": width, "layers": layers, "heads": heads, "vocab": vocab}
    return sizes | {word: parse_whole(value, f"--{word}") for word, value in friendly.items() if value is not None}


_BYTES = "a whole number of bytes (8G, 512M, 10^9) is allowed, in which k, M and G are powers of 1024"
_SECONDS = "a whole number of seconds (60, 300) is allowed"


def bounds_of(time_limit: str, memory_limit: str | None) -> dict[str, Any]:
    """What `Limits` of a run takes."""
    bounds: dict[str, Any] = {"time_s": float(parse_whole(time_limit, "--time-limit", _SECONDS))}
    if memory_limit is not None:
        bounds["memory_bytes"] = parse_whole(memory_limit, "--memory-limit", _BYTES)
    return bounds


def check_parquet(path: Path | None) -> None:
    """Refuse a name that says something else, a place that cannot be written and want of pyarrow at once."""
    if path is None:
        return
    if path.suffix != ".parquet":
        raise BadTarget(f"--parquet {path} was given; a name that ends in .parquet is allowed.")
    need("pyarrow", "Parquet needs")
    check_file(path)


def write_parquet(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """The rows as a Parquet file."""
    from seqcost.records.export import write_rows

    write_rows(rows, path)


def alone(option: str, others: Mapping[str, object]) -> None:
    """Refuse what was asked for beside an option that prints all there is to print."""
    given = [name for name, value in others.items() if value not in (None, False)]
    if given:
        raise BadSize(f"{option} was given with {' and '.join(given)}; it prints by itself: leave one of them out.")


def show(
    *, as_json: bool, as_csv: bool, data: Callable[[], Any], csv: Callable[[], str], rich: Callable[[], Iterable[Any]]
) -> None:
    """Print an answer in the form that was asked for."""
    if as_json:
        typer.echo(harmless_json(json.dumps(data(), ensure_ascii=not holds_everything())))
    elif as_csv:
        typer.echo(csv(), nl=False)
    else:
        from rich.console import Console
        from rich.text import Text

        console = Console(highlight=False)
        for item in rich():
            # What is printed as text is no markup: names may have brackets in them.
            console.print(Text(harmless_lines(item)) if isinstance(item, str) else item)


def remark(text: str) -> Any:
    """A line below the tables."""
    from rich.text import Text

    return Text(harmless(text), "dim")
