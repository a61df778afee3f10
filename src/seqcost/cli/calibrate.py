"""`seqcost calibrate`: the profile of this machine, in a minute."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from seqcost.cli import completion, options
from seqcost.cli.waiting import waiting
from seqcost.questions.asked.lengths import parse_whole


def calibrate_command(
    dtype: Annotated[
        str, typer.Option("--dtype", help="format of the kernels", autocompletion=completion.formats)
    ] = "float32",
    threads: Annotated[
        str | None, typer.Option("--threads", metavar="N", help="of each kernel [default: all cores]")
    ] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="also while other processes keep the machine busy")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.toml", help="where to [default: read as 'here']")
    ] = None,
    from_records: Annotated[
        bool,
        typer.Option("--from-records", help="time nothing: teach the profile by what runs on record have in common"),
    ] = False,
    store: options.RunStore = None,
    as_json: options.Json = False,
    as_csv: options.Csv = False,
) -> None:
    """Time this machine's kernels for a minute and keep its profile, with the error that it has at other sizes."""
    from seqcost.errors import BadTarget
    from seqcost.questions.answers.learning import Learning
    from seqcost.questions.calibrate import calibrate
    from seqcost.report import calibrations, learnings
    from seqcost.report.table import rows_to_csv
    from seqcost.writing import check_file

    if output is not None:
        if output.suffix != ".toml":
            raise BadTarget(f"--output {output} was given; a name that ends in .toml is allowed.")
        check_file(output)
    count = None if threads is None else parse_whole(threads, "--threads")
    if from_records:
        with waiting("reading runs"):
            learning = calibrate(
                dtype=dtype, threads=count, anyway=anyway, output=output, from_records=True, store=store
            )
        assert isinstance(learning, Learning)
        told = learning.to_dict()
        options.show(
            as_json=as_json,
            as_csv=as_csv,
            data=lambda: told,
            csv=lambda: rows_to_csv(learnings.flat(told)),
            rich=lambda: [*learnings.tables(told), *learnings.sentences(told)],
        )
        return
    with waiting("calibrating") as under:

        def on_case(done: int, total: int) -> None:
            under.total, under.begun = total, done
            under.say(f"timing kernels, {done} of {total}")

        machine = calibrate(
            dtype=dtype,
            threads=count,
            anyway=anyway,
            output=output,
            store=store,
            on_case=on_case,
        )
    found = calibrations.plain(machine)

    def shown() -> Iterator[object]:
        yield from calibrations.tables(found)
        yield from calibrations.sentences(found)

    options.show(
        as_json=as_json, as_csv=as_csv, data=lambda: found, csv=lambda: rows_to_csv(found["kernels"]), rich=shown
    )
