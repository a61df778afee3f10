"""Which sizes of a letter are looked at: small ones that the target takes, others in place of those that it refuses.

Layers come first, so that everything else is tried on a model of one layer, and widths last, so that they can be
multiples of whatever numbers of heads were chosen.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from seqcost.algebra.multilift import sizes_wanted
from seqcost.errors import BadSize, SeqcostError
from seqcost.formulas.core.foreign_names import SETTINGS

AUTOMATIC = ("L", "D", "F", "U")
LENGTH = "T"

# Odd and even, powers of two and one beyond: what is rounded up or padded shows itself.
_LENGTHS = (8, 17, 33, 64, 100, 11, 24, 40)
_LAYERS = (1, 2, 3, 4, 6, 8)
_HEADS = (1, 2, 3, 4, 6, 8)
_OTHERS = (33, 64, 97, 130, 200)
_MULTIPLES = range(1, 7)
_FIRST_LENGTH = 17


def kind_of(setting: str) -> str:
    """What a setting means: layers, heads, width, words, length or other."""
    if setting == LENGTH:
        return "length"
    if setting == "L" or ("layer" in setting and "norm" not in setting):
        return "layers"
    if setting in ("H", "G") or ("head" in setting and "dim" not in setting):
        return "heads"
    if setting in SETTINGS["D"] or setting == "D":
        return "width"
    return "words" if setting in ("U", "vocab_size") else "other"


def degree_of(setting: str) -> int:
    """Highest power that is looked for: layers and words add up, everything else may be squared."""
    return 1 if kind_of(setting) in ("layers", "words") else 2


_ORDER = ("layers", "heads", "words", "other", "width", "length")


def choose(
    costs: Callable[[Mapping[str, int]], object],
    own: Mapping[str, int],
    settings: Mapping[str, str],
    heads: Sequence[int],
) -> dict[str, list[int]]:
    """For every letter and the length, enough sizes that the target takes, each tried with the others at their first.

    `own` has the target's own sizes by letter, `settings` the setting that each letter stands for, `heads` all its
    numbers of heads, which its width must be a multiple of.

    Raises BadSize where too few sizes are taken.
    """
    current = dict(own) | {LENGTH: _FIRST_LENGTH}
    names = dict(settings) | {LENGTH: LENGTH}
    chosen: dict[str, list[int]] = {}
    for letter in sorted(names, key=lambda letter: _ORDER.index(kind_of(names[letter]))):
        wanted, refusal = sizes_wanted(degree_of(names[letter])), ""
        taken: list[int] = []
        divisors = [
            *heads,
            *(size for other, sizes in chosen.items() if kind_of(names[other]) == "heads" for size in sizes),
        ]
        for size in _candidates(names[letter], current[letter], math.lcm(2, *(2 * n for n in divisors))):
            try:
                costs(current | {letter: size})
            except SeqcostError as error:
                refusal = refusal or str(error).partition("; choose")[0].rstrip(".")
                continue
            taken.append(size)
            if len(taken) == wanted:
                break
        if len(taken) < wanted:
            at = ", ".join(map(str, taken)) or "none"
            raise BadSize(
                f"{letter} ({names[letter]}) needs {wanted} sizes and was taken at {at}: "
                f"{refusal}; leave this letter out."
            )
        chosen[letter] = taken
        current[letter] = taken[0]
    return {letter: chosen[letter] for letter in names}


def _candidates(setting: str, own: int, step: int) -> Iterator[int]:
    kind = kind_of(setting)
    first: Sequence[int] = {
        "length": _LENGTHS,
        "layers": _LAYERS,
        "heads": _HEADS,
        "width": [step * k for k in _MULTIPLES],
    }.get(kind, _OTHERS)
    yield from dict.fromkeys([*first, *(own * k for k in _MULTIPLES)])
