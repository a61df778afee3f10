"""How the common suite picks small sizes: the vocabulary in which a mixer's test writes its `VARIANTS`.

A variant is a name of the catalogue with some choices made; its sizes are picked by hypothesis, or always the same.
`small.Variant("rg-lru-layer", "rg-lru-layer", small.scanned(), {"C": 4})` is one: an id, the name, how its sizes are
picked, the choices.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from seqcost.formulas.catalogue import configure
from seqcost.formulas.core.component import Component

AWKWARD = (1, 2, 3, 5, 16, 63, 64, 100)

Pick = Callable[[Sequence[int]], int]  # one of several sizes: drawn by hypothesis, or always the same
Sizes = Callable[[Pick], dict[str, Any]]


@dataclass(frozen=True)
class Variant:
    """A name of the catalogue with some choices made, and how its sizes are picked."""

    id: str
    name: str
    sizes: Sizes
    choices: dict[str, Any] = field(default_factory=dict)

    def config(self, pick: Pick) -> Component:
        """The config of the sizes picked."""
        return configure(self.name, **self.sizes(pick) | self.choices)


def heads(*, grouped: bool = False, one_key_head: bool = False, free: bool = False, wide_values: bool = False) -> Sizes:
    """H, G, K even (RoPE turns pairs) and D = H·K, or any even D where heads are `free`."""

    def sizes(pick: Pick) -> dict[str, Any]:
        K = pick((2, 4, 6))
        G = 1 if one_key_head else pick((1, 2))
        H = G * pick((2, 3)) if grouped or one_key_head else pick((1, 2, 3))
        out = {"H": H, "D": H * K}
        if grouped or one_key_head:
            out["G"] = G
        if free:
            out |= {"D": pick((2, 10, 18)), "K": K}
        if wide_values:
            out["V"] = K + pick((1, 5))
        return out

    return sizes


def block(**how: bool) -> Sizes:
    return lambda pick: {"F": pick((1, 7, 24)), **heads(**how)(pick)}


def model(**how: bool) -> Sizes:
    return lambda pick: {"U": pick((2, 11, 40)), "L": pick((1, 2, 3)), **block(**how)(pick)}


def plus(inner: Sizes, **more: Sequence[int]) -> Sizes:
    return lambda pick: inner(pick) | {letter: pick(sizes) for letter, sizes in more.items()}


def classes() -> Sizes:
    return lambda pick: {"classes": pick((2, 5)), **model()(pick)}


def gated_heads(pick: Pick) -> dict[str, Any]:
    H, K = pick((1, 2, 3)), pick((2, 4, 6))
    return {"H": H, "D": 2 * H * K, "R": pick((2, 3))}


def rectified_heads(*, grouped: bool = False, wide_values: bool = False) -> Sizes:
    """Heads wide enough that ReLU leaves something of every query and key."""

    def sizes(pick: Pick) -> dict[str, Any]:
        K = pick((10, 16, 12))
        G = pick((1, 2))
        H = G * pick((2, 3)) if grouped else pick((1, 2, 3))
        return {"H": H, "D": H * K} | ({"G": G} if grouped else {}) | ({"V": K + 3} if wide_values else {})

    return sizes


def rectified_model(pick: Pick) -> dict[str, Any]:
    return {**model()(pick), **rectified_heads(grouped=True)(pick)}


def random_features(pick: Pick) -> dict[str, Any]:
    return {"R": pick((2, 3, 9)), **heads()(pick)}


def gated_model(pick: Pick) -> dict[str, Any]:
    return {**model()(pick), **gated_heads(pick)}


def learned(pick: Pick) -> dict[str, Any]:
    return {"M": 64, **model()(pick)}


def cell(*, widths_differ: bool = False) -> Sizes:
    def sizes(pick: Pick) -> dict[str, Any]:
        out = {"D": pick(AWKWARD)}
        return out | {"N": pick((1, 4, 17, 63, 100, 256))} if widths_differ else out

    return sizes


def recurrent(*, widths_differ: bool = False) -> Sizes:
    return lambda pick: {"U": pick((2, 11, 40)), "L": pick((1, 2, 3)), **cell(widths_differ=widths_differ)(pick)}


def hashing(pick: Pick) -> dict[str, Any]:
    return {"R": pick((1, 2, 3)), "E": pick((2, 4, 6)), **heads()(pick)}


def hashing_model(pick: Pick) -> dict[str, Any]:
    return {"U": pick((2, 11, 40)), "L": pick((1, 2, 3)), "F": pick((1, 7, 24)), **hashing(pick)}


def learner(*, hidden: bool = False, free: bool = False, model: bool = False) -> Sizes:
    """Heads of even width (RoPE), two at least of a width that a norm does not make ±1; C that few tokens fill."""

    def sizes(pick: Pick) -> dict[str, Any]:
        H, K = pick((1, 2, 3)), pick((4, 6, 8))
        out = {"D": H * K, "H": H, "C": pick((1, 3, 4, 5))}
        if free:
            out |= {"D": pick((5, 10)), "K": K}
        if hidden:
            out["N"] = pick((5, 7, 16))
        if model:
            out |= {"U": pick((2, 11, 40)), "L": pick((1, 2, 3)), "F": pick((1, 7, 24))}
        return out

    return sizes


def delta(*, model: bool = False, widths_differ: bool = False) -> Sizes:
    """Chunks shorter than most lengths; widths of 1 would leave out sums over them."""

    def sizes(pick: Pick) -> dict[str, Any]:
        H = pick((1, 2, 3))
        out = {"H": H, "C": pick((2, 4, 16))}
        if widths_differ:
            out |= {"D": pick((2, 7, 16)), "K": pick((2, 3, 5)), "V": pick((2, 4, 7)), "k": pick((1, 2, 4))}
        else:
            out["D"] = H * pick((3, 16, 6) if model else (2, 4, 6))  # norms of narrow heads magnify bfloat16's rounding
        return out | ({"U": pick((2, 11, 40)), "L": pick((1, 2, 3)), "F": pick((1, 7, 24))} if model else {})

    return sizes


def conv(*, odd: bool = False, model: bool = False) -> Sizes:
    def sizes(pick: Pick) -> dict[str, Any]:
        out = {"D": pick((2, 5, 16)), "W": pick((3, 5)) if odd else pick((2, 3, 4)), "dilation": pick((2, 3))}
        return {"U": pick((2, 11, 40)), "L": pick((1, 2, 3)), "F": pick((2, 7, 24)), **out} if model else out

    return sizes


def retro(*, model: bool = False) -> Sizes:
    def sizes(pick: Pick) -> dict[str, Any]:
        H, K = pick((2, 3)), pick((2, 4))
        out = {"H": H, "D": H * K, "K": K, "C": pick((2, 3, 5)), "J": pick((1, 2)), "R": pick((1, 2, 3))}
        return {"U": pick((2, 11, 40)), "L": 2 * pick((1, 2)), "F": pick((2, 7, 24)), **out} if model else out

    return sizes


def image(*, classes: bool = True) -> Sizes:
    def sizes(pick: Pick) -> dict[str, Any]:
        out = {**block()(pick), "L": pick((1, 2, 3)), "patch": pick((2, 3)), "channels": pick((2, 3))}
        return out | {"classes": pick((2, 5))} if classes else out

    return sizes


def latent(pick: Pick) -> dict[str, Any]:
    H = pick((1, 2, 3))
    sizes = {"patch": pick((2, 3)), "channels": pick((2, 3)), "outputs": pick((2, 4)), "classes": pick((2, 5))}
    return {"D": 4 * H * pick((1, 2)), "L": pick((1, 2, 3)), "H": H, "F": pick((2, 7, 24)), **sizes}


def mamba(*, model: bool = False, free: bool = False) -> Sizes:
    """Chunks and segments shorter than most lengths; widths of 1 would leave out sums over them."""

    def sizes(pick: Pick) -> dict[str, Any]:
        out = {"D": pick((2, 6, 17)), "N": pick((2, 3, 5)), "C": pick((1, 4, 16)), "J": pick((1, 2, 3))}
        if free:
            out |= {"E": pick((3, 5, 8)), "R": pick((2, 3)), "k": pick((1, 2, 5))}
        return out | ({"U": pick((2, 11, 40)), "L": pick((1, 2, 3))} if model else {})

    return sizes


def mamba2(*, model: bool = False, free: bool = False) -> Sizes:
    """Groups of several heads, heads of several features."""

    def sizes(pick: Pick) -> dict[str, Any]:
        G = pick((1, 2))
        H = G * pick((2, 3))
        out = {"G": G, "H": H, "N": pick((2, 3, 5)), "C": pick((2, 4, 16))}
        if free:
            out |= {"D": pick((3, 6, 17)), "E": H * pick((2, 3, 5)), "k": pick((1, 2, 5))}
        else:
            out["D"] = H * pick((1, 2))
        return out | ({"U": pick((2, 11, 40)), "L": pick((1, 2, 3))} if model else {})

    return sizes


def width(*letters: str) -> Sizes:
    return lambda pick: {letter: pick(AWKWARD) for letter in letters}


def scanned(**letters: tuple[int, ...]) -> Sizes:
    return lambda pick: {"D": pick((2, 5, 12)), **{letter: pick(sizes) for letter, sizes in letters.items()}}


SCANNED_MODEL = {"U": (2, 11, 40), "L": (1, 2, 3)}
IN_BLOCKS = {"W": (3, 4, 7), "C": (2, 3, 5)}
ETC = {"W": (3, 4, 7), "N": (2, 3, 5), "R": (2, 1, 3)}
