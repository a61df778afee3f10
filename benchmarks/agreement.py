"""Does the working layer cost what its formula says? Formula against trace, over the catalogue, at random sizes.

    python benchmarks/agreement.py [SEED]

Every name of the catalogue but the presets, which are settings of the models, at sizes drawn anew for each trial.
"""

import random
import sys
from collections import defaultdict
from typing import Any

from page import publish

import seqcost
from seqcost.formulas.catalogue import CATALOGUE
from seqcost.report.table import Table

TRIALS = 3
CHOICES = {
    "implementation": ("fused", "materialised"),
    "norm": ("layer", "rms"),
    "order": ("pre", "post"),
    "activation": ("relu", "gelu", "gelu-tanh", "swiglu"),
    "positions": ("learned", "sinusoidal", "rope", "none"),
    "kind": ("layer", "rms"),
    "bias": (True, False),
}
# column, phase, quantity of Count.to_dict()
QUANTITIES = (
    ("FLOPs forward", "forward", "flops"),
    ("FLOPs training", "train", "flops"),
    ("pointwise forward", "forward", "pointwise"),
    ("pointwise training", "train", "pointwise"),
    ("bytes moved", "forward", "bytes_moved"),
    ("kept for backward", "train", "saved_bytes"),
    ("depth", "forward", "depth"),
)


def draw_sizes(name: str, chance: random.Random) -> dict[str, Any]:
    """Sizes that fit a name: heads divide the width, key/value heads the heads, head widths are even."""
    config = CATALOGUE[name].config
    fields = config.__dataclass_fields__  # type: ignore[attr-defined]
    K, G, groups = 2 * chance.randint(2, 12), chance.randint(1, 3), chance.randint(1, 3)
    heads = G * groups
    D = heads * K if "H" in fields else 2 * chance.randint(4, 40)
    wanted = {
        "D": D,
        "H": heads,
        "G": G,
        "N": D if "U" in fields else chance.randint(5, 70),  # a model ties head and embedding
        "F": chance.randint(5, 90),
        "L": chance.randint(1, 3),
        "U": chance.randint(7, 300),
    } | {field: chance.choice(allowed) for field, allowed in CHOICES.items()}
    return {field: value for field, value in wanted.items() if field in fields}


def differences(name: str, sizes: dict[str, Any], chance: random.Random) -> dict[str, tuple[int, int]]:
    """(formula, trace) of each quantity in which the two differ."""
    options: dict[str, Any] = {"sizes": sizes, "length": chance.randint(1, 90), "batch": chance.randint(1, 4)}
    out = {}
    for column, phase, quantity in QUANTITIES:
        formula, traced = (
            seqcost.count(name, phase=phase, trace=by_trace, **options).to_dict()[quantity]
            for by_trace in (False, True)
        )
        if formula != traced:
            out[column] = (formula, traced)
            print(f"{name} {phase} {quantity}: formula {formula}, trace {traced}; {sizes}, {options}", flush=True)
    return out


def main() -> None:
    """Count agreements by name and quantity."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 2026
    chance = random.Random(seed)
    rows, unequal = [], 0
    for name, entry in CATALOGUE.items():
        if entry.group == "preset":
            continue
        worst: dict[str, float] = defaultdict(float)
        misses: dict[str, int] = defaultdict(int)
        for _ in range(TRIALS):
            for column, (formula, traced) in differences(name, draw_sizes(name, chance), chance).items():
                misses[column] += 1
                worst[column] = max(worst[column], abs(formula / traced - 1) if traced else 1.0)
        unequal += sum(misses.values())
        cells = (f"{TRIALS - misses[c]}/{TRIALS}" + (f", {100 * worst[c]:.2g} %" if misses[c] else "") for c in COLUMNS)
        rows.append((name, *cells))
        print(*rows[-1], flush=True)
    compared = len(rows) * len(QUANTITIES) * TRIALS
    publish(
        "agreement",
        "Formula and trace",
        f"Trials that agree exactly, of {TRIALS} at random sizes (seed {seed}); else the largest difference.",
        [Table.of("", ("<name", *COLUMNS), rows)],
        f"{compared - unequal} of {compared} comparisons are equal.",
    )


COLUMNS = tuple(column for column, _, _ in QUANTITIES)

if __name__ == "__main__":
    main()
