"""`seqcost compare NAMES…`: side by side, with crossovers, and real runs beside them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from seqcost.cli import completion, options
from seqcost.cli.waiting import waiting
from seqcost.errors import BadSize, BadTarget
from seqcost.extras import installed, missing, need
from seqcost.questions.asked.lengths import parse_lengths, parse_whole
from seqcost.records.pooling import PROCESSES
from seqcost.writing import check_folder


def compare_command(
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="each as TARGET of count; the first is the yardstick", autocompletion=completion.targets),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="every architecture's language model, after the targets named")
    ] = False,
    lengths: Annotated[list[str] | None, typer.Option("--lengths", "-n", help="64..8192 [default: 64..4096]")] = None,
    measure: Annotated[bool, typer.Option("--measure", help="also run each on this machine")] = False,
    machine: Annotated[
        str | None,
        typer.Option(
            "--machine",
            "-m",
            metavar="NAME",
            help="also predict the time on it: here, one of seqcost machines, or a .toml file",
            autocompletion=completion.machines,
        ),
    ] = None,
    text: Annotated[Path | None, typer.Option("--text", metavar="FILE", help="UTF-8 text whose bytes are run")] = None,
    batch: options.Batch = "1",
    phase: options.Phase = "forward",
    dtype: options.DType = "float32",
    assignments: options.SetOption = None,
    width: options.Width = None,
    layers: options.Layers = None,
    heads: options.Heads = None,
    vocab: options.Vocab = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="where the report goes [default: seqcost-report]")
    ] = None,
    store: options.RunStore = None,
    time_limit: options.TimeLimit = "300",
    memory_limit: options.MemoryLimit = None,
    processes: options.Processes = str(PROCESSES),
    retries: options.Retries = "2",
    again: options.Again = False,
    trace: Annotated[bool, typer.Option("--trace/--no-trace", help="trace each layer beside its formula, too")] = False,
    report: Annotated[
        bool | None,
        typer.Option(
            "--report/--no-report", help="write the page and its pictures [default: with --out and with --measure]"
        ),
    ] = None,
    parquet: options.Parquet = None,
    as_json: options.Json = False,
    as_csv: options.Csv = False,
) -> None:
    """Cost of several targets over lengths: by formula or traced, and with --measure in real runs."""
    folder = out or Path("seqcost-report")
    if report is None:
        report = out is not None or measure
    if report:
        check_folder(folder)
    if text is not None and not measure:
        raise BadSize("--text was given without --measure; formulas do not read text: add --measure.")
    if not targets and not every:
        raise BadTarget("no target was given; name at least one, such as those of seqcost list, or give --all.")
    if trace:
        need("torch", "a trace needs")
    if measure:
        need("torch", "measured runs need")
    from seqcost.formulas.catalogue import language_models

    options.check_parquet(parquet)
    from rich.text import Text

    from seqcost.questions.compare import compare, confirmed
    from seqcost.records import this_environment
    from seqcost.report.comparisons import agreement_table, tables, write_report
    from seqcost.report.measurements import done_text
    from seqcost.report.sentences import sentences

    bounds = options.bounds_of(time_limit, memory_limit)
    num_processes = parse_whole(processes, "--processes")
    limits = None
    if measure:
        from seqcost.measure import Limits

        limits = Limits(**bounds)
    asked = parse_lengths(lengths or ["64..4096"])
    names = list(dict.fromkeys([*(targets or ()), *(language_models() if every else ())]))
    sizes = options.sizes_from(assignments, width, layers, heads, vocab)
    parts = len(names) * (len(asked) * num_processes + 1 if measure else 1)
    with waiting("counting", parts) as on_start:
        answer = compare(
            names,
            lengths=asked,
            sizes=sizes,
            batch=parse_whole(batch, "--batch"),
            phase=phase,
            dtype=dtype,
            trace=False,
            measure=measure,
            machine=machine,
            text=text,
            store=store,
            limits=limits,
            processes=num_processes,
            retries=retries,
            again=again,
            on_start=on_start,
            on_done=lambda done: on_start.end(done_text(done)),
        )
    if parquet is not None:
        options.write_parquet(answer.to_dict()["points"], parquet)

    def finished() -> tuple[dict[str, Any], Path | None]:
        """The answer with its traces, which take a while, and the report of it where one is wanted."""
        found = answer
        if trace:
            with waiting("tracing"):
                found = confirmed(answer)
        whole = found.to_dict()
        where = this_environment().to_dict() if measure else None
        return whole, write_report(whole, folder, environment=where) if report else None

    def csv() -> str:
        from seqcost.report.table import rows_to_csv

        return rows_to_csv(finished()[0]["points"])

    def shown() -> Iterator[object]:
        """The answer at once, then what takes longer."""
        found = answer.to_dict()
        yield from (Text(sentence) for sentence in sentences(found))
        yield ""
        yield from tables(found)
        for point in found["points"]:
            if point.get("reason"):
                yield options.remark(f"{point['target']}, T = {point['T']:,}: {point['reason']}")
        if parquet is not None:
            yield f"wrote {parquet}"
        whole, page = finished()
        if whole["agreement"]:
            yield agreement_table(whole)
        if page is not None:
            yield Text(f"report: {page}")
            if not installed("matplotlib"):
                yield options.remark(missing("matplotlib", "the report has no plots, which need"))

    options.show(as_json=as_json, as_csv=as_csv, data=lambda: finished()[0], csv=csv, rich=shown)
