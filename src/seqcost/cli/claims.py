"""`seqcost claims [N …]`: the claims that circulate, each with formula, figures and a verdict."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from seqcost.cli import options
from seqcost.cli.waiting import waiting
from seqcost.errors import BadTarget
from seqcost.extras import need
from seqcost.questions.asked.lengths import parse_whole
from seqcost.writing import check_file


def claims_command(
    numbers: Annotated[list[str] | None, typer.Argument(help="which, from 1 to 20 [default: all]")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="start no runs; what is on record stands")] = False,
    page: Annotated[
        Path | None, typer.Option("--page", metavar="FILE.md", help="also write the page, with pictures beside it")
    ] = None,
    processes: options.Processes = "2",
    store: options.RunStore = None,
    time_limit: options.TimeLimit = "60",
    memory_limit: options.MemoryLimit = None,
    again: options.Again = False,
    as_json: options.Json = False,
) -> None:
    """Claims about Transformers and RNNs: formula, measurement on this machine and a verdict read off them."""
    asked = [parse_whole(text, "claim") for text in numbers or ()] or None
    if page is not None:
        if page.suffix != ".md":
            raise BadTarget(f"--page {page} was given; a name that ends in .md is allowed.")
        need("matplotlib", "the pictures of the page need")
        check_file(page)
    need("torch", "claims are looked at with layers that run, which")
    from rich.text import Text

    from seqcost.measure import Limits
    from seqcost.questions.claims import claims
    from seqcost.report.claims import figures_table, sentences, tables, write_page

    with waiting("judging claims") as on_start:
        found: dict[str, Any] = claims(
            asked,
            quick=quick,
            processes=parse_whole(processes, "--processes"),
            store=store,
            limits=Limits(**options.bounds_of(time_limit, memory_limit)),
            again=again,
            on_start=on_start,
        ).to_dict()
    written = [] if page is None else write_page(found, page)

    def shown() -> Iterator[object]:
        for claim in found["claims"]:
            first, *others = sentences(claim)
            yield Text(first, "bold")
            yield from map(Text, others)
            if asked is not None:
                yield figures_table(claim)
        if len(found["claims"]) > 1:
            yield from tables(found)
        yield from (f"wrote {path}" for path in written)

    options.show(as_json=as_json, as_csv=False, data=lambda: found, csv=str, rich=shown)
