"""The cost curves of the pages, drawn from the formulas."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kept_runs
from PIL import Image

import seqcost
from seqcost.algebra.quantity import QUANTITIES
from seqcost.formulas.architectures import MIXERS
from seqcost.report.plots import Panel, Series, draw, to_png
from seqcost.writing import write_bytes

LENGTHS = [2**power for power in range(6, 18)]  # 64 … 131,072
COLOURS = 64


def curve(name: str, target: str, quantity: str, **options: Any) -> Series:
    """One quantity of one target over the lengths."""
    counts = seqcost.count(target, length=LENGTHS, **options)
    return Series(name, LENGTHS, [float(count.to_dict()[quantity]) for count in counts])


def attention_kept() -> Panel:
    """Memory that a layer keeps for backward, written out or fused."""
    series = [
        curve(kind, "attention-layer", "saved_bytes", sizes={"implementation": kind})
        for kind in ("materialised", "fused")
    ]
    return Panel("attention layer, D = 512, H = 8: kept for backward", "B", series)


def layer_flops() -> Panel:
    """FLOPs of one layer of each mixer."""
    names = ("attention-layer", "lstm-layer", "gru-layer", "rnn-layer")
    return Panel("one layer, D = 512: forward FLOPs", "FLOP", [curve(n, n, "flops") for n in names])


def layer_depth() -> Panel:
    """Dependent operators of one layer of each mixer."""
    names = ("gru-layer", "rnn-layer", "lstm-layer", "attention-layer")
    return Panel("one layer: depth in dependent operators", "", [curve(n, n, "depth") for n in names])


def block_shares() -> Panel:
    """Where the square of the length begins to matter in a Transformer block."""
    counts = seqcost.count("transformer-block", length=LENGTHS)

    def share(*words: str) -> list[float]:
        return [
            float(sum(row["amount"] for row in c.lines if row["kind"] == "contraction" and row["name"].endswith(words)))
            for c in counts
        ]

    series = [
        Series("scores and mix", LENGTHS, share("attend")),
        Series("feed-forward", LENGTHS, share("up", "down")),
        Series("projections", LENGTHS, share("query", "key", "value", "output")),
    ]
    return Panel("Transformer block, D = 512: forward FLOPs", "FLOP", series)


def step_flops() -> Panel:
    """One decoding step at position T."""
    names = ("transformer", "lstm", "gru", "rnn")
    series = [curve(n, n, "flops", phase="decode", sizes={"L": 6, "D": 512}) for n in names]
    return Panel("6 layers, D = 512: FLOPs of the step at position T", "FLOP", series)


def preset_state() -> Panel:
    """What decoding carries, in bfloat16."""
    names = ("gpt3-175b", "llama-2-7b", "llama-3.1-405b", "llama-3-8b", "gpt2")
    series = [curve(n, n, "state_bytes", dtype="bfloat16") for n in names]
    return Panel("carried state in bfloat16, one sequence", "B", series)


def mixer_panels(name: str, layers: Mapping[str, Mapping[str, Series]]) -> list[Panel]:
    """FLOPs and bytes kept of one architecture's layer, attention dashed beside it, all others behind."""
    panels = []
    for name_of, scope in (("flops", "one layer, D = 512: "), ("saved_bytes", "")):
        quantity, curves = QUANTITIES[name_of], layers[name_of]
        title, unit = f"{scope}{quantity.page_label}", quantity.symbol
        reference = curves["attention"] if name != "attention" else None
        behind = [curve for other, curve in curves.items() if other not in (name, "attention")]
        panels.append(Panel(title, unit, [curves[name]], behind=behind, reference=reference))
    return panels


def all_layers() -> dict[str, dict[str, Series]]:
    """The curves of every architecture's layer, by quantity."""
    counts = {name: seqcost.count(f"{name}-layer", length=LENGTHS) for name in MIXERS}
    return {
        quantity: {
            name: Series(name, LENGTHS, [float(c.to_dict()[quantity]) for c in counted])
            for name, counted in counts.items()
        }
        for quantity in ("flops", "saved_bytes")
    }


PICTURES: Mapping[str, Any] = {
    "attention-kept": attention_kept,
    "layer-flops": layer_flops,
    "layer-depth": layer_depth,
    "block-shares": block_shares,
    "step-flops": step_flops,
    "preset-state": preset_state,
}


def draw_all(folder: Path) -> None:
    """Write every picture."""
    for name, panel in PICTURES.items():
        write_bytes(folder / f"{name}.png", _smaller(to_png(draw([panel()], columns=1))))
    layers = all_layers()
    for name in MIXERS:
        write_bytes(folder / f"{name}-layer.png", _smaller(to_png(draw(mixer_panels(name, layers)))))
    for name, png in kept_runs.drawn().items():
        write_bytes(folder / f"{name}.png", _smaller(png))


def _smaller(png: bytes) -> bytes:
    """The same picture in few colours, a third of the size."""
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(
        out, "png", optimize=True
    )
    return out.getvalue()
