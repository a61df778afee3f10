"""Cost curves: small multiples over the length, both axes logarithmic, each curve named at its end.

A series has the same colour in every panel; where there are more of them than colours, in every panel of its place.
What could not be run (time or memory) is a cross at the last length
that did run, with the reason beside it in words; measured points carry their interval.
"""

import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from seqcost.algebra.rendering import scaled, seconds
from seqcost.extras import need

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, GREY = "#333333", "#d4d7dc"
# Okabe & Ito 2008: told apart with any colour vision; dark enough on white, yellow left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#7F7F7F")


@dataclass(frozen=True)
class Series:
    """One curve: y over x, and an interval around y where it was measured."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True)
class Panel:
    """One plot: its title says what and in which unit; `marks` are crossovers (x, y, text)."""

    title: str
    unit: str  # "B" takes binary prefixes, "s" seconds, anything else decimal prefixes
    series: Sequence[Series]
    marks: Sequence[tuple[float, float, str]] = field(default=())
    behind: Sequence[Series] = ()  # grey and unnamed: where the others are
    reference: Series | None = None  # dashed: what all panels are compared with


def draw(panels: Sequence[Panel], *, title: str = "", columns: int = 2) -> "Figure":
    """A figure of small multiples.

    Raises MissingExtra without matplotlib.
    """
    need("matplotlib", "plots need")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(5.6 * min(columns, len(panels)), 3.9 * rows), layout="constrained", dpi=144)
    FigureCanvasAgg(figure)
    names = dict.fromkeys(series.name for panel in panels for series in panel.series)
    named = []
    for i, panel in enumerate(panels):
        own = names if len(names) <= len(COLOURS) else [series.name for series in panel.series]
        colour = dict(zip(own, itertools.cycle(COLOURS), strict=False))
        axes = figure.add_subplot(rows, min(columns, len(panels)), i + 1)
        named.append((axes, _draw_panel(axes, panel, colour), colour))
    figure.draw_without_rendering()  # only now do heights on the page stand, and names can be kept apart
    for axes, ends, colour in named:
        _name_curves(axes, ends, colour)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure


def to_png(figure: "Figure") -> bytes:
    """The figure as PNG."""
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _draw_panel(axes: "Axes", panel: Panel, colour: dict[str, str]) -> list[tuple[float, float, str]]:
    """Everything but the names of the curves, whose places are given back: x, y, name."""
    from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=16 if panel.unit == "B" else 10)  # 16: ticks at 1 MiB, 16 MiB, 256 MiB
    for series in panel.behind:
        axes.plot(series.x, series.y, color=GREY, linewidth=0.8)
    ends: list[tuple[float, float, str]] = []
    if panel.reference is not None:
        colour[panel.reference.name] = INK
    for series in (*panel.series, *([panel.reference] if panel.reference else [])):
        points = [(x, y) for x, y in zip(series.x, series.y, strict=True) if y > 0]
        if not points:
            continue
        xs, ys = zip(*points, strict=True)
        how: dict[str, Any] = {"linestyle": "--"} if series is panel.reference else {"marker": "o", "markersize": 3.5}
        axes.plot(xs, ys, color=colour[series.name], linewidth=1.6, **how)
        if series.low:
            axes.fill_between(series.x, series.low, series.high, color=colour[series.name], alpha=0.2, linewidth=0)
        ends.append((xs[-1], ys[-1], series.name))
    axes.margins(x=0.02)
    for x, y, text in panel.marks:
        axes.plot([x], [y], marker="o", markersize=9, markerfacecolor="none", markeredgecolor="#333333")
        axes.annotate(
            text, (x, y), textcoords="offset points", xytext=(0, 9), fontsize=7.5, ha="center", parse_math=False
        )
    axes.set_title(panel.title, loc="left", fontsize=10, parse_math=False)
    axes.set_xlabel("length T", fontsize=8.5)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _tokens(x)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: _amount(y, panel.unit)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, which="major", color="#e3e5e8", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    return ends


def _name_curves(axes: "Axes", ends: Sequence[tuple[float, float, str]], colour: Mapping[str, str]) -> None:
    """Names right of the curves, moved apart where they would overlap."""
    height = 11.0 * axes.figure.dpi / 72  # of one name, in pixels
    placed: list[tuple[float, Any]] = []
    for x, y, name in sorted(ends, key=lambda end: end[1]):
        at = axes.transData.transform((x, y))[1]
        if placed:
            at = max(at, placed[-1][0] + height)
        placed.append((at, (x, y, name)))
    for at, (x, y, name) in placed:
        offset = (at - axes.transData.transform((x, y))[1]) * 72 / axes.figure.dpi
        axes.annotate(
            name, (x, y), textcoords="offset points", xytext=(6, offset), va="center", fontsize=8.5,
            color=colour[name], annotation_clip=False, parse_math=False,
        )  # fmt: skip


def _tokens(x: float) -> str:
    for size, suffix in ((2**20, "M"), (2**10, "k")):
        if x >= size:
            return f"{x / size:g}{suffix}"
    return f"{x:g}"


def _amount(y: float, unit: str) -> str:
    """A number at an axis; ratios go below 1, where prefixes end."""
    if unit == "s":
        return seconds(y)
    return f"{y:.3g}" if not unit and 0 < y < 1 else scaled(_exact(y), unit)


def _exact(y: float) -> float | int:
    return int(y) if float(y).is_integer() else y
