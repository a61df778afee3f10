"""Live bytes over the operators of a step, stacked by category, with the phases marked below."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from seqcost.errors import BadTarget
from seqcost.extras import need
from seqcost.report.memory import LABELS
from seqcost.report.plots import COLOURS, to_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What stays lies below, what comes and goes above.
_COLOURS = dict(zip(LABELS, (COLOURS[0], COLOURS[7], "#B8B8B8", *COLOURS[4:6], *COLOURS[2:4], COLOURS[1]), strict=True))
_MOST_POINTS = 4000  # of one curve: more cannot be told apart on the page


def timeline_png(count: Mapping[str, Any]) -> bytes:
    """The timeline of a count as PNG.

    Raises BadTarget where the count has none.
    """
    return to_png(draw_timeline(count))


def draw_timeline(count: Mapping[str, Any]) -> "Figure":
    """A figure of one panel: bytes alive at every operator, the peak marked.

    Raises MissingExtra without matplotlib.
    """
    need("matplotlib", "plots need")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    timeline = count.get("timeline")
    if not timeline or not timeline["moments"]:
        raise BadTarget(
            f"{count['target']} has no timeline at T = {count['sizes']['T']:,}: the run was derived from shorter ones; "
            "ask for a shorter length."
        )
    figure = Figure(figsize=(8.4, 4.4), layout="constrained", dpi=144)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(1, 1, 1)
    _stack(axes, timeline)
    _name_phases(axes, [row[2] for row in timeline["moments"]])
    step = f", {count['optimizer']}" if count.get("optimizer") else ""
    if count.get("accumulate", 1) > 1:
        step += f", {count['accumulate']} passes"
    sizes = count["sizes"]
    title = f"{count['target']} · {count['phase']}{step} · {count['dtype']} · B = {sizes['B']}, T = {sizes['T']:,}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
    return figure


def _stack(axes: "Axes", timeline: Mapping[str, Any]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

    from seqcost.algebra.rendering import scaled

    live = [row[1] for row in timeline["moments"]]
    shown = _thinned(live)
    names = [name for name in LABELS if any(timeline["categories"][name])]
    bands = [[timeline["categories"][name][i] for i in shown] for name in names]
    axes.stackplot(
        shown, bands, labels=[LABELS[name] for name in names], colors=[_COLOURS[name] for name in names],
        linewidth=0, step="mid",
    )  # fmt: skip
    axes.plot(shown, [live[i] for i in shown], color="#222222", linewidth=0.8, drawstyle="steps-mid")
    worst = max(range(len(live)), key=live.__getitem__)
    axes.annotate(
        f"peak {scaled(live[worst], 'B')}", (worst, live[worst]), textcoords="offset points", xytext=(0, 6),
        ha="center", fontsize=8.5,
    )  # fmt: skip
    axes.set_xlim(-0.5, len(live) - 0.5)
    axes.set_ylim(0, 1.12 * live[worst])
    axes.set_xlabel("operator of the step", fontsize=8.5)
    axes.set_title("bytes alive", loc="left", fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MultipleLocator(2 ** max(live[worst].bit_length() - 3, 0)))  # 256 MiB, 512 MiB …
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: scaled(int(y), "B")))
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(  # in the order of the stack
        handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8.5
    )


def _name_phases(axes: "Axes", phases: Sequence[str]) -> None:
    """A thin line where a phase begins, its name at the top where there is room."""
    start = 0
    for phase, rows in groupby(phases):
        length = len(list(rows))
        if start:
            axes.axvline(start - 0.5, color="#444444", linewidth=0.6, linestyle=(0, (3, 3)))
        if length > 0.08 * len(phases):
            axes.text(
                start + length / 2, 0.985, phase, transform=axes.get_xaxis_transform(), ha="center", va="top",
                fontsize=8.5, color="#444444",
            )  # fmt: skip
        start += length


def _thinned(live: Sequence[int]) -> list[int]:
    """Indices to show: of very many, the largest of each stretch."""
    stride = -(-len(live) // _MOST_POINTS)
    return [
        max(range(start, min(start + stride, len(live))), key=live.__getitem__) for start in range(0, len(live), stride)
    ]
