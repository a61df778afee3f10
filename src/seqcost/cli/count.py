"""`seqcost count TARGET`: the cost of one target."""

from pathlib import Path
from typing import Annotated, Any

import typer

from seqcost.cli import completion, options, parts
from seqcost.cli.waiting import waiting
from seqcost.errors import BadSize, BadTarget
from seqcost.extras import need
from seqcost.questions.asked.lengths import parse_lengths, parse_whole
from seqcost.questions.count import count
from seqcost.writing import check_file

TARGET = (
    "an architecture, a preset, package.module:callable, hf:MODEL_TYPE, a folder, or a file: config.json, "
    ".safetensors (weights alone), .pt2 (torch.export), .onnx"
)


def count_command(
    target: Annotated[str, typer.Argument(help=TARGET, autocompletion=completion.targets)],
    length: Annotated[
        list[str] | None,
        typer.Option("--length", "-n", help="1024, 128k, 1M, 64,256 or 128..1M [default: the target's, or 1024]"),
    ] = None,
    batch: options.OwnBatch = None,
    source: options.Source = None,
    phase: options.Phase = "forward",
    dtype: options.OwnDType = None,
    causal: options.Causal = "full",
    assignments: options.SetOption = None,
    width: options.Width = None,
    layers: options.Layers = None,
    heads: options.Heads = None,
    vocab: options.Vocab = None,
    trace: Annotated[bool, typer.Option("--trace", help="trace the working layer instead of its formula")] = False,
    optimizer: options.Optimizer = None,
    accumulate: options.Accumulate = "1",
    memory: Annotated[bool, typer.Option("--memory", help="what the peak consists of")] = False,
    timeline: Annotated[
        Path | None,
        typer.Option("--timeline", metavar="FILE.png", help="plot the live bytes over the operators; traces"),
    ] = None,
    letters: Annotated[
        str | None,
        typer.Option(
            "--letters", metavar="auto|D=SETTING,…", help="formulas in T and these sizes: auto, or D=n_embd,L=n_layer"
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="refuse to answer while operators are uncounted")] = False,
    by: parts.By = None,
    rank: parts.Rank = None,
    depth: parts.Depth = None,
    explain: parts.Explain = None,
    lines: options.Lines = "16",
    parquet: options.Parquet = None,
    latex: Annotated[bool, typer.Option("--latex", help="print LaTeX: each quantity, and as a function of T")] = False,
    as_json: options.Json = False,
    as_csv: options.Csv = False,
) -> None:
    """FLOPs, memory, traffic and depth of TARGET, by line, with the formula in T."""
    lengths = None if length is None else parse_lengths(length)
    num_lengths = len(lengths or [None])
    most = parse_whole(lines, "--lines")
    wanted = parts.wanted(by, rank, depth, explain, num_lengths=num_lengths, rows=as_csv or parquet is not None)
    options.check_parquet(parquet)
    if latex:
        besides = {
            "--json": as_json, "--csv": as_csv, "--parquet": parquet, "--timeline": timeline, "--letters": letters,
            "--memory": memory, "--by": by, "--rank": rank, "--depth": depth, "--explain": explain,
        }  # fmt: skip
        options.alone("--latex", besides)
    if timeline is not None and timeline.suffix != ".png":
        raise BadTarget(f"--timeline {timeline} was given; a name that ends in .png is allowed.")
    if timeline is not None:
        need("matplotlib", "plots need")
        check_file(timeline)
    if timeline is not None and num_lengths > 1:
        raise BadSize(f"--timeline was given with {num_lengths} lengths; it plots one: give --length once.")
    if letters is not None and (as_csv or parquet is not None):
        option = "--csv" if as_csv else "--parquet"
        raise BadSize(f"--letters was given with {option}, whose rows have no place for formulas; give --json.")
    if letters is not None and causal != "full":
        raise BadSize("--letters was given with --causal half; letters count the whole rectangle: leave --causal out.")
    asked: dict[str, Any] = {
        "batch": None if batch is None else parse_whole(batch, "--batch"),
        "source": None if source is None else parse_whole(source, "--source"),
        "phase": phase,
        "dtype": dtype,
        "sizes": options.sizes_from(assignments, width, layers, heads, vocab),
        "trace": trace or timeline is not None,
    }
    with waiting(f"counting {target}"):
        found = count(
            target,
            length=lengths,
            causal=causal,
            optimizer=optimizer,
            accumulate=parse_whole(accumulate, "--accumulate"),
            strict=strict,
            **asked,
        )
    answers = found if isinstance(found, list) else [found]
    if latex:
        for answer in answers:
            typer.echo(rf"\[{answer.to_latex()}\]")
        return
    data: list[dict[str, Any]] = [answer.to_dict(timeline=timeline is not None) for answer in answers]
    if timeline is not None:
        from seqcost.report.timelines import timeline_png
        from seqcost.writing import write_bytes

        write_bytes(timeline, timeline_png(data[0]))
    if letters is not None:
        from seqcost.questions.letters import letters as in_letters

        with waiting(f"looking for {letters} in {target}"):
            in_all = in_letters(target, letters, counted=answers, **asked).to_dict()
        data = [row | {"letters": in_all} for row in data]
    found_parts = wanted.of(answers[0])
    data[0] |= found_parts

    def rows() -> list[dict[str, object]]:
        from seqcost.report.counts import flat_row

        return parts.rows(found_parts) if found_parts else [flat_row(row) for row in data]

    def csv() -> str:
        from seqcost.report.table import rows_to_csv

        return rows_to_csv(rows())

    def tables() -> list[object]:
        from seqcost.report import counts
        from seqcost.report.memory import memory_tables

        shown: list[object]
        shown = [counts.totals_table(data[0])] if len(data) == 1 else [counts.lengths_table(data)]
        if "weights" in data[0]:
            shown += [counts.weights_table(data[0]["weights"]), counts.parameters_table(data[0], most=most)]
        elif len(data) == 1:
            shown += wanted.tables(answers[0], found_parts, most=most)
        if memory:
            shown += [table for row in data for table in memory_tables(row, most=most)]
        if timeline is not None:
            shown.append(f"wrote {timeline}")
        if parquet is not None:
            shown.append(f"wrote {parquet}")
        if "letters" in data[0]:
            shown.insert(1, counts.letters_table(data[0]["letters"]))
        shown += [options.remark(note) for note in counts.remarks(data)]
        return [*shown, *(options.remark(f"not counted — {note}") for note in counts.uncounted_notes(data[0]))]

    if parquet is not None:
        options.write_parquet(rows(), parquet)
    options.show(as_json=as_json, as_csv=as_csv, data=lambda: data[0] if len(data) == 1 else data, csv=csv, rich=tables)
