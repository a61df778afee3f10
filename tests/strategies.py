"""What hypothesis draws: random formulas, and random small sizes of everything in the catalogue.

`VARIANTS` is the table behind the common suite: each name of the catalogue, the presets shrunk, and every choice of a
config that changes what is computed. `drawn_config(variant)` draws its sizes, `typical(variant)` always takes the
same ones; a new architecture adds a row or two.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from seqcost.algebra import ceil_div, maximum, minimum, where
from seqcost.formulas.catalogue import CATALOGUE, configure
from seqcost.formulas.core.component import Component

AWKWARD = (1, 2, 3, 5, 16, 63, 64, 100)
HUGE = st.integers(min_value=1, max_value=2**70)  # products of two cross 2^63 many times over
LENGTHS = st.one_of(st.integers(1, 12), st.sampled_from((17, 33)))


def examples(most: int) -> settings:
    """So many in CI; a quarter, others each time, in an everyday run, where a variant is one of a hundred."""
    return settings(max_examples=most if os.environ.get("CI") else max(1, most // 4))


# --- formulas -------------------------------------------------------------------------------------------------------

Formula = Callable[[dict[str, Any]], Any]  # letters → amount, whatever the letters are read as


def _where(a: Formula, b: Formula) -> Formula:
    return lambda z: where(z["T"] > z["D"], a(z), b(z))


def _pair(operation: Callable[[Any, Any], Any]) -> Callable[[Formula, Formula], Formula]:
    return lambda a, b: lambda z: operation(a(z), b(z))


PAIRS = {
    "plus": _pair(lambda a, b: a + b),
    "minus": _pair(lambda a, b: a - b),
    "times": _pair(lambda a, b: a * b),
    "maximum": _pair(maximum),
    "minimum": _pair(minimum),
    "where": _where,
}


def _letter(name: str) -> tuple[str, Formula]:
    return name, lambda z: z[name]


def _number(value: int) -> tuple[str, Formula]:
    return str(value), lambda z: value


def _grow(inner: st.SearchStrategy[tuple[str, Formula]], pairs: list[str]) -> st.SearchStrategy[tuple[str, Formula]]:
    def combined(how: str, a: tuple[str, Formula], b: tuple[str, Formula]) -> tuple[str, Formula]:
        return f"{how}({a[0]}, {b[0]})", PAIRS[how](a[1], b[1])

    def power(a: tuple[str, Formula], exponent: int) -> tuple[str, Formula]:
        return f"power({a[0]}, {exponent})", lambda z: a[1](z) ** exponent

    def ceiling(a: tuple[str, Formula], b: tuple[str, Formula]) -> tuple[str, Formula]:
        return f"ceil_div({a[0]}, {b[0]})", lambda z: ceil_div(a[1](z), b[1](z))

    return st.one_of(
        st.builds(combined, st.sampled_from(pairs), inner, inner),
        st.builds(power, inner, st.integers(1, 3)),
        st.builds(ceiling, inner, _atoms()),  # a divisor is a letter or a number of at least 1
    )


def _atoms() -> st.SearchStrategy[tuple[str, Formula]]:
    return st.one_of(st.sampled_from("BTD").map(_letter), st.integers(1, 9).map(_number))


def formulas(*, max_leaves: int = 6, minus: bool = True) -> st.SearchStrategy[tuple[str, Formula]]:
    """A formula made of + − × ** ceil_div maximum minimum where, with its text; without − nothing cancels."""
    pairs = sorted(PAIRS if minus else set(PAIRS) - {"minus"})
    return st.recursive(_atoms(), lambda inner: _grow(inner, pairs), max_leaves=max_leaves)


# --- the catalogue --------------------------------------------------------------------------------------------------

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


def _heads(
    *, grouped: bool = False, one_key_head: bool = False, free: bool = False, wide_values: bool = False
) -> Sizes:
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


def _block(**how: bool) -> Sizes:
    return lambda pick: {"F": pick((1, 7, 24)), **_heads(**how)(pick)}


def _model(**how: bool) -> Sizes:
    return lambda pick: {"U": pick((2, 11, 40)), "L": pick((1, 2, 3)), **_block(**how)(pick)}


def _with(inner: Sizes, **more: Sequence[int]) -> Sizes:
    return lambda pick: inner(pick) | {letter: pick(sizes) for letter, sizes in more.items()}


def _classes() -> Sizes:
    return lambda pick: {"classes": pick((2, 5)), **_model()(pick)}


def _gated_heads(pick: Pick) -> dict[str, Any]:
    H, K = pick((1, 2, 3)), pick((2, 4, 6))
    return {"H": H, "D": 2 * H * K, "R": pick((2, 3))}


def _rectified_heads(*, grouped: bool = False, wide_values: bool = False) -> Sizes:
    """Heads wide enough that ReLU leaves something of every query and key."""

    def sizes(pick: Pick) -> dict[str, Any]:
        K = pick((10, 16, 12))
        G = pick((1, 2))
        H = G * pick((2, 3)) if grouped else pick((1, 2, 3))
        return {"H": H, "D": H * K} | ({"G": G} if grouped else {}) | ({"V": K + 3} if wide_values else {})

    return sizes


def _rectified_model(pick: Pick) -> dict[str, Any]:
    return {**_model()(pick), **_rectified_heads(grouped=True)(pick)}


def _random_features(pick: Pick) -> dict[str, Any]:
    return {"R": pick((2, 3, 9)), **_heads()(pick)}


def _gated_model(pick: Pick) -> dict[str, Any]:
    return {**_model()(pick), **_gated_heads(pick)}


def _learned(pick: Pick) -> dict[str, Any]:
    return {"M": 64, **_model()(pick)}


def _cell(*, widths_differ: bool = False) -> Sizes:
    def sizes(pick: Pick) -> dict[str, Any]:
        out = {"D": pick(AWKWARD)}
        return out | {"N": pick((1, 4, 17, 63, 100, 256))} if widths_differ else out

    return sizes


def _recurrent(*, widths_differ: bool = False) -> Sizes:
    return lambda pick: {"U": pick((2, 11, 40)), "L": pick((1, 2, 3)), **_cell(widths_differ=widths_differ)(pick)}


def _hashing(pick: Pick) -> dict[str, Any]:
    return {"R": pick((1, 2, 3)), "E": pick((2, 4, 6)), **_heads()(pick)}


def _hashing_model(pick: Pick) -> dict[str, Any]:
    return {"U": pick((2, 11, 40)), "L": pick((1, 2, 3)), "F": pick((1, 7, 24)), **_hashing(pick)}


def _learner(*, hidden: bool = False, free: bool = False, model: bool = False) -> Sizes:
    """Heads of even width (RoPE), two at least of a width that a norm does not make ±1; C that 4 and 3 tokens fill."""

    def sizes(pick: Pick) -> dict[str, Any]:
        H, K = pick((1, 2, 3)), pick((4, 6, 8))
        out = {"D": H * K, "H": H, "C": pick((3, 4, 5))}
        if free:
            out |= {"D": pick((5, 10)), "K": K}
        if hidden:
            out["N"] = pick((5, 7, 16))
        if model:
            out |= {"U": pick((2, 11, 40)), "L": pick((1, 2, 3)), "F": pick((1, 7, 24))}
        return out

    return sizes


def _delta(*, model: bool = False, widths_differ: bool = False) -> Sizes:
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


def _conv(*, odd: bool = False, model: bool = False) -> Sizes:
    def sizes(pick: Pick) -> dict[str, Any]:
        out = {"D": pick((2, 5, 16)), "W": pick((3, 5)) if odd else pick((2, 3, 4)), "dilation": pick((2, 3))}
        return {"U": pick((2, 11, 40)), "L": pick((1, 2, 3)), "F": pick((2, 7, 24)), **out} if model else out

    return sizes


def _retro(*, model: bool = False) -> Sizes:
    def sizes(pick: Pick) -> dict[str, Any]:
        H, K = pick((2, 3)), pick((2, 4))
        out = {"H": H, "D": H * K, "K": K, "C": pick((2, 3, 5)), "J": pick((1, 2)), "R": pick((1, 2, 3))}
        return {"U": pick((2, 11, 40)), "L": 2 * pick((1, 2)), "F": pick((2, 7, 24)), **out} if model else out

    return sizes


def _image(*, classes: bool = True) -> Sizes:
    def sizes(pick: Pick) -> dict[str, Any]:
        out = {**_block()(pick), "L": pick((1, 2, 3)), "patch": pick((2, 3)), "channels": pick((2, 3))}
        return out | {"classes": pick((2, 5))} if classes else out

    return sizes


def _latent(pick: Pick) -> dict[str, Any]:
    H = pick((1, 2, 3))
    sizes = {"patch": pick((2, 3)), "channels": pick((2, 3)), "outputs": pick((2, 4)), "classes": pick((2, 5))}
    return {"D": 4 * H * pick((1, 2)), "L": pick((1, 2, 3)), "H": H, "F": pick((2, 7, 24)), **sizes}


def _mamba(*, model: bool = False, free: bool = False) -> Sizes:
    """Chunks and segments shorter than most lengths; widths of 1 would leave out sums over them."""

    def sizes(pick: Pick) -> dict[str, Any]:
        out = {"D": pick((2, 6, 17)), "N": pick((2, 3, 5)), "C": pick((1, 4, 16)), "J": pick((1, 2, 3))}
        if free:
            out |= {"E": pick((3, 5, 8)), "R": pick((2, 3)), "k": pick((1, 2, 5))}
        return out | ({"U": pick((2, 11, 40)), "L": pick((1, 2, 3))} if model else {})

    return sizes


def _mamba2(*, model: bool = False, free: bool = False) -> Sizes:
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


def _width(*letters: str) -> Sizes:
    return lambda pick: {letter: pick(AWKWARD) for letter in letters}


def _scanned(**letters: tuple[int, ...]) -> Sizes:
    return lambda pick: {"D": pick((2, 5, 12)), **{letter: pick(sizes) for letter, sizes in letters.items()}}


_SCANNED_MODEL = {"U": (2, 11, 40), "L": (1, 2, 3)}
_BLOCK = "transformer-block"
_IN_BLOCKS = {"W": (3, 4, 7), "C": (2, 3, 5)}
_ETC = {"W": (3, 4, 7), "N": (2, 3, 5), "R": (2, 1, 3)}
_LEARNED = ("bert-base", "bert-large", "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "gpt3-175b")
_MAMBA = ("mamba-130m", "mamba-370m", "mamba-790m", "mamba-1.4b", "mamba-2.8b")
_GROUPED = ("llama-3-8b", "llama-3-70b", "llama-3.1-405b", "mistral-7b")

VARIANTS: tuple[Variant, ...] = (
    Variant("attention", "attention-layer", _heads()),
    Variant("attention-grouped", "attention-layer", _heads(grouped=True)),
    Variant("attention-multi-query", "attention-layer", _heads(one_key_head=True)),
    Variant("attention-free-head-width", "attention-layer", _heads(free=True)),
    Variant("attention-bidirectional", "attention-layer", _heads(), {"causal": False}),
    Variant("attention-rope", "attention-layer", _heads(grouped=True), {"rope": True, "bias": False}),
    Variant("attention-materialised", "attention-layer", _heads(), {"implementation": "materialised"}),
    Variant(
        "attention-materialised-grouped-rope-wide-values",
        "attention-layer",
        _heads(grouped=True, wide_values=True),
        {"implementation": "materialised", "rope": True},
    ),
    Variant(
        "attention-materialised-bidirectional",
        "attention-layer",
        _heads(),
        {"implementation": "materialised", "causal": False},
    ),
    Variant("cross-attention", "cross-attention-layer", _heads(grouped=True)),
    Variant("cross-attention-materialised", "cross-attention-layer", _heads(), {"implementation": "materialised"}),
    Variant("rnn-layer", "rnn-layer", _cell()),
    Variant("rnn-layer-widths-differ", "rnn-layer", _cell(widths_differ=True)),
    Variant("lstm-layer", "lstm-layer", _cell()),
    Variant("lstm-layer-widths-differ", "lstm-layer", _cell(widths_differ=True)),
    Variant("gru-layer", "gru-layer", _cell()),
    Variant("gru-layer-widths-differ", "gru-layer", _cell(widths_differ=True)),
    Variant("lsh-layer", "lsh-layer", _hashing, {"C": 4}),
    Variant("lsh-layer-wide-values", "lsh-layer", _hashing, {"C": 3, "V": 5}),
    Variant("lsh-layer-bidirectional", "lsh-layer", _hashing, {"C": 4, "causal": False}),
    Variant("lsh", "lsh", _hashing_model, {"C": 4}),
    Variant("reformer", "reformer", _hashing_model, {"C": 4}),
    Variant("ttt-linear-layer", "ttt-linear-layer", _learner()),
    Variant("ttt-linear-gate-free-head-width", "ttt-linear-layer", _learner(free=True), {"gate": True}),
    Variant("ttt-linear", "ttt-linear", _learner(model=True)),
    Variant("ttt-mlp-layer", "ttt-mlp-layer", _learner()),
    Variant("ttt-mlp-gate-hidden-width", "ttt-mlp-layer", _learner(hidden=True), {"gate": True}),
    Variant("ttt-mlp", "ttt-mlp", _learner(model=True)),
    Variant("deltanet-layer", "deltanet-layer", _delta()),
    Variant("deltanet-layer-widths-differ", "deltanet-layer", _delta(widths_differ=True)),
    Variant("gated-deltanet-layer", "gated-deltanet-layer", _delta()),
    Variant("gated-deltanet-layer-widths-differ", "gated-deltanet-layer", _delta(widths_differ=True)),
    Variant("rg-lru-layer", "rg-lru-layer", _scanned(), {"C": 4}),
    Variant("rg-lru", "rg-lru", _scanned(U=(2, 11), L=(1, 2), F=(1, 7)), {"C": 4}),
    *(
        variant
        for name in ("mingru", "minlstm")
        for variant in (
            Variant(f"{name}-layer", f"{name}-layer", _scanned(), {"C": 4}),
            Variant(
                f"{name}-layer-widths-differ",
                f"{name}-layer",
                _scanned(N=(1, 5, 24)),
                {"C": 4, "project": True, "bias": True},
            ),
            Variant(name, name, _scanned(**_SCANNED_MODEL, F=(7, 24)), {"C": 4}),
        )
    ),
    Variant("aaren-layer", "aaren-layer", _heads(), {"C": 4}),
    Variant("aaren-layer-free-head-width", "aaren-layer", _heads(free=True), {"C": 3, "bias": False}),
    Variant("aaren", "aaren", _model(), {"C": 4}),
    Variant("s4d-layer", "s4d-layer", _scanned(N=(2, 4, 8)), {"C": 4}),
    Variant("s4d", "s4d", _scanned(**_SCANNED_MODEL, N=(4, 8)), {"C": 4}),
    Variant("linear-attention-layer", "linear-attention-layer", _heads(), {"C": 4}),
    Variant("linear-attention-parallel", "linear-attention-layer", _heads(), {"form": "parallel"}),
    Variant("linear-attention-recurrent", "linear-attention-layer", _heads(), {"form": "recurrent"}),
    Variant("linear-attention-bidirectional", "linear-attention-layer", _heads(), {"causal": False}),
    Variant(
        "linear-attention-relu",
        "linear-attention-layer",
        _heads(wide_values=True),
        {"C": 4, "feature": "relu", "bias": True},
    ),
    Variant(
        "linear-attention-identity",
        "linear-attention-layer",
        _heads(),
        {"C": 4, "feature": "identity", "normalise": False},
    ),
    Variant("linear-attention-favor", "linear-attention-layer", _random_features, {"C": 4, "feature": "favor"}),
    Variant("linear-attention", "linear-attention", _model(), {"C": 4}),
    Variant("supra-layer", "supra-layer", _rectified_heads(), {"C": 4}),
    Variant("supra-grouped", "supra-layer", _rectified_heads(grouped=True), {"C": 4, "decay": "retnet"}),
    Variant("supra-undecayed", "supra-layer", _rectified_heads(wide_values=True), {"C": 4, "decay": "none"}),
    Variant("supra", "supra", _rectified_model, {"C": 4}),
    Variant("retnet-layer", "retnet-layer", _heads(), {"C": 4}),
    Variant("retnet", "retnet", _model(), {"C": 4}),
    Variant("gla-layer", "gla-layer", _gated_heads, {"C": 4, "J": 2}),
    Variant("gla", "gla", _gated_model, {"C": 4, "J": 4}),
    Variant("conv-layer", "conv-layer", _conv()),
    Variant("conv-layer-depthwise", "conv-layer", _conv(), {"kind": "depthwise", "bias": False}),
    Variant("conv-layer-separable", "conv-layer", _conv(), {"kind": "separable"}),
    Variant("conv-layer-centred", "conv-layer", _conv(odd=True), {"causal": False}),
    Variant("retro-layer", "retro-layer", _retro()),
    Variant("mamba-layer", "mamba-layer", _mamba()),
    Variant("mamba-layer-widths-differ", "mamba-layer", _mamba(free=True)),
    Variant("mamba-layer-sequential", "mamba-layer", _mamba(), {"form": "sequential"}),
    Variant("mamba2-layer", "mamba2-layer", _mamba2()),
    Variant("mamba2-layer-widths-differ", "mamba2-layer", _mamba2(free=True)),
    Variant("mamba2-layer-sequential", "mamba2-layer", _mamba2(), {"form": "sequential"}),
    Variant("feed-forward-gelu", "feed-forward", _width("D", "F")),
    Variant("feed-forward-gelu-tanh", "feed-forward", _width("D", "F"), {"activation": "gelu-tanh"}),
    Variant("feed-forward-relu-unbiased", "feed-forward", _width("D", "F"), {"activation": "relu", "bias": False}),
    Variant("feed-forward-swiglu", "feed-forward", _width("D", "F"), {"activation": "swiglu"}),
    Variant("norm-layer", "norm", _width("D")),
    Variant("norm-layer-unbiased", "norm", _width("D"), {"bias": False}),
    Variant("norm-rms", "norm", _width("D"), {"kind": "rms"}),
    Variant("block-pre", _BLOCK, _block()),
    Variant("block-post", _BLOCK, _block(), {"order": "post", "causal": False}),
    Variant("block-cross-post-relu", _BLOCK, _block(), {"order": "post", "cross": True, "activation": "relu"}),
    Variant("block-cross-pre", _BLOCK, _block(), {"cross": True, "attention_bias": False}),
    Variant(
        "block-llama",
        _BLOCK,
        _block(grouped=True),
        {"norm": "rms", "activation": "swiglu", "rope": True, "bias": False},
    ),
    Variant("block-materialised-post", _BLOCK, _block(), {"order": "post", "implementation": "materialised"}),
    Variant("window-layer", "window-layer", _with(_heads(), W=(2, 4, 7))),
    Variant("window-layer-grouped-rope", "window-layer", _with(_heads(grouped=True), **_IN_BLOCKS), {"rope": True}),
    Variant("window-layer-symmetric", "window-layer", _with(_heads(), W=(3, 4, 7)), {"causal": False}),
    Variant("window-layer-dilated", "window-layer", _with(_heads(), **_IN_BLOCKS), {"dilation": 2, "bias": False}),
    Variant(
        "window-layer-symmetric-dilated",
        "window-layer",
        _with(_heads(grouped=True), **_IN_BLOCKS),
        {"causal": False, "dilation": 3},
    ),
    Variant("bigbird-layer", "bigbird-layer", _with(_heads(), C=(2, 3, 4), R=(1, 2, 3))),
    Variant("bigbird-layer-unbiased", "bigbird-layer", _with(_heads(free=True), C=(2, 3), R=(2, 3)), {"bias": False}),
    Variant("etc-layer", "etc-layer", _with(_heads(), **_ETC)),
    Variant("etc-layer-unbiased", "etc-layer", _with(_heads(free=True), **_ETC, C=(2, 3, 5)), {"bias": False}),
    Variant("window", "window", _with(_model(), W=(2, 4, 7))),
    Variant("bigbird", "bigbird", _with(_model(), C=(2, 3, 4), R=(1, 2, 3))),
    Variant("etc", "etc", _with(_model(), **_ETC)),
    Variant("transformer", "transformer", _model()),
    Variant("transformer-no-positions", "transformer", _model(free=True), {"positions": "none", "tied": False}),
    Variant("transformer-sinusoidal", "transformer", _model(), {"positions": "sinusoidal", "head_bias": True}),
    Variant("transformer-post", "transformer", _model(), {"order": "post", "embedding_norm": True}),
    Variant("encoder", "encoder", _model()),
    Variant("hybrid", "hybrid", _with(_model(), L=(4, 6)), {"mixers": "mingru attention"}),
    Variant("classifier", "classifier", _classes(), {"M": 128}),
    Variant("classifier-last-causal", "classifier", _classes(), {"pool": "last", "causal": True, "M": 128}),
    Variant(
        "classifier-recurrent", "classifier", _scanned(**_SCANNED_MODEL, F=(7, 24), classes=(2, 5)), {"mixers": "gru"}
    ),
    Variant("encoder-decoder-pre", "encoder-decoder", _model()),
    Variant("encoder-decoder-materialised", "encoder-decoder", _model(), {"implementation": "materialised"}),
    Variant("deltanet", "deltanet", _delta(model=True)),
    Variant("gated-deltanet", "gated-deltanet", _delta(model=True)),
    Variant("mamba", "mamba", _mamba(model=True)),
    Variant("mamba2", "mamba2", _mamba2(model=True)),
    Variant("rnn", "rnn", _recurrent()),
    Variant("rnn-untied", "rnn", _recurrent(widths_differ=True), {"tied": False}),
    Variant("lstm", "lstm", _recurrent()),
    Variant("lstm-untied", "lstm", _recurrent(widths_differ=True), {"tied": False, "head_bias": True}),
    Variant("gru", "gru", _recurrent()),
    Variant("vit", "vit", _image(), {"M": 324}),
    Variant("vit-features", "vit", _image(classes=False), {"M": 324, "head": "none"}),
    Variant("dit", "dit", _latent, {"M": 324}),
    Variant("retro", "retro", _retro(model=True)),
    Variant("conv", "conv", _conv(model=True)),
    *(Variant(name, name, _learned) for name in _LEARNED),
    *(Variant(name, name, _image(), {"M": 324}) for name in ("vit-base-16", "vit-large-16", "vit-huge-14")),
    Variant("dit-xl-2", "dit-xl-2", _latent, {"M": 324}),
    Variant("llama-2-7b", "llama-2-7b", _model()),
    *(Variant(name, name, _model(grouped=True)) for name in _GROUPED),
    *(Variant(name, name, _mamba(model=True)) for name in _MAMBA),
    Variant("transformer-base", "transformer-base", _model()),
    Variant("transformer-big", "transformer-big", _model()),
)

# A test that only wants one of each computation leaves the presets out: they are settings of `transformer`.
KINDS: tuple[Variant, ...] = tuple(
    v for v in VARIANTS if CATALOGUE[v.name].group != "preset" or v.id in ("gpt2", "bert-base", "transformer-base")
)


def drawn_config(variant: Variant) -> st.SearchStrategy[Component]:
    """Configs of a variant with random small sizes."""
    return st.composite(lambda draw: variant.config(lambda sizes: draw(st.sampled_from(sizes))))()


def typical(variant: Variant) -> Component:
    """One small config of a variant, the same every time."""
    return variant.config(lambda sizes: sizes[len(sizes) // 2])


def splits(length: int) -> st.SearchStrategy[list[int]]:
    """Ways to cut a sequence of `length` tokens: pieces of any size, 0 and 1 too, that add up."""
    cuts = st.lists(st.integers(0, length), max_size=5).map(sorted)
    return cuts.map(lambda at: [b - a for a, b in zip([0, *at], [*at, length], strict=True)])
