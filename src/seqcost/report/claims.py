"""Claims with their verdicts as tables, as one page in Markdown, and their pictures. Reads plain rows of an answer."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seqcost.algebra.rendering import scaled
from seqcost.report.plots import Panel, Series, draw, to_png
from seqcost.report.table import Table
from seqcost.writing import write_bytes, write_text

Row = Mapping[str, Any]

PICTURES = "pictures"  # beside the page
HEAD = """# Claims that circulate

Each claim with its formula, figures that were computed or measured for this page, and a verdict that a rule reads off
those figures: on another machine it may be another one. The page is made by `seqcost claims --page docs/claims.md`.
*Formula* is exact; *measured here* is the median of several processes, with the interval between them; *run here* is
what a layer that was run has shown.
"""


def tables(answer: Row) -> list[Table]:
    """The verdicts; of a single claim its figures as well."""
    claims = answer["claims"]
    shown = [verdicts_table(answer)]
    return [*shown, *(figures_table(claim) for claim in claims)] if len(claims) == 1 else shown


def verdicts_table(answer: Row) -> Table:
    """One row a claim."""
    rows = [(_number(claim), claim["claim"], claim["verdict"]) for claim in answer["claims"]]
    return Table.of("claims, judged on this machine", ("", "<claim", "<verdict"), rows)


def figures_table(claim: Row) -> Table:
    """What a verdict was read off."""
    rows = [
        (
            f["what"],
            f["text"] if f["value"] is not None else f["why"],
            f["interval_text"],
            f["source"] + " *" * bool(f.get("busy")),
        )
        for f in claim["figures"].values()
    ]
    note = "* while others kept the machine busy" if any(f.get("busy") for f in claim["figures"].values()) else ""
    return Table.of("", ("<figure", "value", "interval", "<from"), rows, note)


def sentences(claim: Row) -> list[str]:
    """A claim in words: its verdict with the reason, its formulas, what they do not show."""
    joint = " " if claim["verdict"] == "true when" else ": "
    out = [f"{_title(claim)}", f"{claim['verdict']}{joint}{claim['sentence']}", *claim["formulas"]]
    return [*out, f"Not shown: {claim['beyond']}."] if claim["beyond"] else out


def _number(claim: Row) -> str:
    return "" if claim["number"] is None else str(claim["number"])


def _title(claim: Row) -> str:
    return claim["claim"] if claim["number"] is None else f"{claim['number']}. {claim['claim']}"


def page(answer: Row) -> str:
    """All claims in Markdown."""
    parts = [HEAD, verdicts_table(answer).to_markdown()]
    for claim in answer["claims"]:
        parts += [f"## {_title(claim)}", *_asked_in(claim), _verdict(claim), *_formulas(claim)]
        parts.append(figures_table(claim).to_markdown())
        parts += [f"Not shown: {claim['beyond']}."] * bool(claim["beyond"])
        parts += [f"![{title}]({PICTURES}/{name}.png)" for name, title, _ in _named(claim)]
    return "\n\n".join([*parts, *_footer(answer)]) + "\n"


def _asked_in(claim: Row) -> list[str]:
    return [f"Asked in {', '.join(claim['asked_in'])}."] * bool(claim["asked_in"])


def _verdict(claim: Row) -> str:
    joint = "" if claim["verdict"] == "true when" else ":"
    return f"**{claim['verdict'].capitalize()}**{joint} {claim['sentence']}"


def _formulas(claim: Row) -> list[str]:
    return ["\n".join(["```text", *claim["formulas"], "```"])] * bool(claim["formulas"])


def _footer(answer: Row) -> list[str]:
    where = answer["environment"]
    text = (
        f"Measured on {where['cpu_model']}, {where['num_cores']} cores, {scaled(where['memory_bytes'], 'B')}; Python "
        f"{where['python_version']}, torch {where['torch_version']}, seqcost {where['seqcost_version']}."
    )
    busy = answer["busy"]
    runs = f"{len(busy)} runs were" if len(busy) != 1 else "1 run was"
    return (
        [text, f"{runs} made while others kept the machine busy (marked *), and no verdict is read off them."]
        if busy
        else [text]
    )


def _named(claim: Row) -> Iterator[tuple[str, str, Row]]:
    """File name, title and curves of each picture."""
    stem = "claim-mamba" if claim["number"] is None else f"claim-{claim['number']}"
    for i, picture in enumerate(claim["pictures"]):
        yield f"{stem}{f'-{i + 1}' * (i > 0)}", picture["title"], picture


def write_page(answer: Row, path: Path) -> list[Path]:
    """The page, and its pictures in a folder beside it; what was written. Raises MissingExtra without matplotlib."""
    written = []
    for claim in answer["claims"]:
        for name, title, picture in _named(claim):
            series = [Series(c["name"], c["x"], c["y"], c["low"], c["high"]) for c in picture["curves"]]
            file = path.parent / PICTURES / f"{name}.png"
            write_bytes(file, to_png(draw([Panel(title, picture["unit"], series)], columns=1)))
            written.append(file)
    write_text(path, page(answer))
    return [path, *written]
