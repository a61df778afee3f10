"""The roofline picture: each row of work by its intensity and the rate that it is predicted to reach. Needs matplotlib.

Williams, Waterman & Patterson, Roofline: an insightful visual performance model, CACM 52(4), 2009.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

COLOURS = {"compute": "#b03a2e", "memory traffic": "#1f618d", "launches": "#7d6608"}
LEAST_SHARE = 1e-4  # of the time, below which a row is no point


def roofline_png(answer: Mapping[str, Any], limits: Sequence[tuple[str, float, float]]) -> bytes:
    """A PNG: limits as lines, rows with FLOPs as points whose area is their share of the time."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [row for row in answer["rows"] if row["flops"] and row["bytes"] and row["share"] > LEAST_SHARE]
    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    at = [row["flops"] / row["bytes"] for row in rows]
    low, high = min([0.1, *at]) / 2, max([100.0, *at]) * 4
    for name, rate, peak in limits:
        ridge = peak / rate
        axes.plot([low, ridge, high], [low * rate, peak, peak], color="#808080", linewidth=1)
        axes.annotate(name, (low * 1.1, low * 1.1 * rate), fontsize=8, color="#606060", va="bottom")
    for bound, colour in COLOURS.items():
        of = [row for row in rows if row["bound"] == bound]
        axes.scatter(
            [row["flops"] / row["bytes"] for row in of],
            [row["flops"] / row["seconds"]["mid"] for row in of],
            s=[20 + 800 * row["share"] for row in of],
            color=colour, alpha=0.6, label=f"bound by {bound}", edgecolors="none",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("FLOPs per byte of traffic")
    axes.set_ylabel("FLOP/s")
    axes.set_title(f"{answer['target']}, {answer['phase']}, T = {answer['sizes']['T']:,} on {answer['machine']}")
    axes.legend(loc="lower right", fontsize=8)
    axes.grid(visible=True, which="major", linewidth=0.3)
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()
