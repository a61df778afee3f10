"""`seqcost measure TARGET…`: real runs on this machine, several processes each, beside what was predicted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from seqcost.cli import completion, options
from seqcost.cli.waiting import waiting
from seqcost.errors import BadTarget
from seqcost.extras import need
from seqcost.questions.asked.lengths import parse_lengths, parse_whole
from seqcost.records.pooling import PROCESSES


def measure_command(
    targets: Annotated[
        list[str] | None, typer.Argument(help="each as TARGET of count", autocompletion=completion.targets)
    ] = None,
    lengths: Annotated[
        list[str] | None, typer.Option("--lengths", "--length", "-n", help="512,2k or 64..8192 [default: 1024]")
    ] = None,
    phase: options.Phase = "forward",
    batch: options.Batch = "1",
    dtype: options.DType = "float32",
    assignments: options.SetOption = None,
    width: options.Width = None,
    layers: options.Layers = None,
    heads: options.Heads = None,
    vocab: options.Vocab = None,
    processes: options.Processes = str(PROCESSES),
    retries: options.Retries = "2",
    refine: Annotated[
        str, typer.Option("--refine", metavar="N", help="run N times at further lengths around each crossover in time")
    ] = "0",
    threads: Annotated[
        str | None, typer.Option("--threads", metavar="N", help="of each run [default: all cores]")
    ] = None,
    machine: Annotated[
        str | None,
        typer.Option(
            "--machine", "-m", metavar="NAME", help="whose prediction stands beside [default: here, if calibrated]"
        ),
    ] = None,
    text: Annotated[Path | None, typer.Option("--text", metavar="FILE", help="UTF-8 text whose bytes are run")] = None,
    store: options.RunStore = None,
    time_limit: options.TimeLimit = "300",
    memory_limit: options.MemoryLimit = None,
    again: options.Again = False,
    parquet: options.Parquet = None,
    as_json: options.Json = False,
    as_csv: options.Csv = False,
) -> None:
    """Run targets over lengths on this machine: time and memory with intervals, from several processes each."""
    if not targets:
        raise BadTarget("no target was given; name at least one, such as those of seqcost list.")
    need("torch", "measured runs need")
    options.check_parquet(parquet)
    from rich.text import Text

    from seqcost.measure import Limits
    from seqcost.questions.measure import measure
    from seqcost.report.measurements import done_text, sentences, tables

    asked = parse_lengths(lengths or ["1024"], "--lengths")
    num_processes = parse_whole(processes, "--processes")
    names = list(dict.fromkeys(targets))
    with waiting("measuring", len(names) * len(asked) * num_processes) as on_start:
        answer = measure(
            names,
            lengths=asked,
            sizes=options.sizes_from(assignments, width, layers, heads, vocab),
            batch=parse_whole(batch, "--batch"),
            phase=phase,
            dtype=dtype,
            processes=num_processes,
            retries=retries,
            threads=None if threads is None else parse_whole(threads, "--threads"),
            text=text,
            store=store,
            limits=Limits(**options.bounds_of(time_limit, memory_limit)),
            again=again,
            refine=refine,
            machine=machine,
            on_start=on_start,
            on_done=lambda done: on_start.end(done_text(done)),
        )
    found = answer.to_dict()
    if parquet is not None:
        options.write_parquet(found["points"], parquet)

    def shown() -> Iterator[object]:
        yield from (Text(sentence) for sentence in sentences(found))
        yield ""
        yield from tables(found)
        for point in found["points"]:
            if point["reason"]:
                yield options.remark(f"{point['target']}, T = {point['T']:,}: {point['reason']}")
        if parquet is not None:
            yield f"wrote {parquet}"

    options.show(as_json=as_json, as_csv=as_csv, data=lambda: found, csv=answer.to_csv, rich=shown)
