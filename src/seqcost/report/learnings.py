"""What runs on record taught, as tables and sentences. Reads the plain rows of an answer."""

from collections.abc import Iterator, Mapping
from typing import Any

from seqcost.report.table import Table

Row = Mapping[str, Any]

WORDS = {
    "products": "products", "attention": "fused attention", "convolutions": "convolutions, FFTs",
    "recurrences": "fused recurrences", "streams": "element by element", "copies": "copies, gathers, scatters",
    "rows": "row by row: sums, softmax, norms, scans, sorts", "calls": "calls around them", "fresh": "fresh memory",
}  # fmt: skip


def tables(answer: Row) -> list[Table]:
    """How far predictions are off without and with it; the factors."""
    rows = [(word, *_errors(answer[key])) for word, key in (("by kernels", "before"), ("as learnt", "after"))]
    note = "error of predicted time, each target held out while all others teach; held: within the 90 % interval."
    factors = [(WORDS[part], f"× {factor:.2f}") for part, factor in answer["parts"].items()]
    factors += [(f"all of it, {phase}", f"× {factor:.2f}") for phase, factor in answer["phases"].items()]
    runs = f"{answer['num_runs']:,} runs of {answer['num_targets']:,} targets"
    return [
        Table.of(f"{runs}, {answer['dtype']}", ("<predicted", "median error", "p90", "held"), rows, note),
        Table.of("what they have in common", ("<part of a run", "takes"), factors),
    ]


def flat(answer: Row) -> list[dict[str, object]]:
    """Rows of CSV: the errors without and with it."""
    head = {name: answer[name] for name in ("machine", "dtype", "num_runs", "num_targets", "kept")}
    return [{**head, "predicted": key, **answer[key]} for key in ("before", "after")]


def _errors(found: Row) -> tuple[str, ...]:
    return tuple(f"{100 * found[name]:.0f} %" for name in ("median", "p90", "held"))


def sentences(answer: Row) -> Iterator[str]:
    """Whether it is kept, and what was left out."""
    if answer["helps"]:
        spread = answer["spread"]
        yield (
            f"kept in {answer['machine']}: predictions in {answer['dtype']} use it from now on; models are taken to "
            f"stray by {100 * spread['after']:.0f} %, {100 * spread['before']:.0f} % before."
        )
    else:
        yield "It brings no target nearer that was held out: nothing was changed."
    if answer["left_out"]:
        told = ", ".join(f"{count:,} {why}" for why, count in answer["left_out"].items())
        yield f"left out: {told}."
