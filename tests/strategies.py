"""What hypothesis draws: random formulas, and random small sizes of everything in the catalogue.

`VARIANTS` is the table behind the common suite: each name of the catalogue, the presets shrunk, and every choice of a
config that changes what is computed. Those of a mixer stand in its own test; blocks, models and presets stand here.
`drawn_config(variant)` draws its sizes, `typical(variant)` always takes the same ones.
"""

import ast
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import small
from hypothesis import settings
from hypothesis import strategies as st
from small import Variant

from seqcost.algebra import ceil_div, maximum, minimum, where
from seqcost.formulas.catalogue import CATALOGUE
from seqcost.formulas.core.component import Component

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


def _written_beside_the_mixers() -> Iterator[Variant]:
    """`VARIANTS` of every test of a mixer; the table alone is read, since a test imports its oracles."""
    for path in sorted((Path(__file__).parent / "mixers").glob("test_*.py")):
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "VARIANTS":
                yield from eval(compile(ast.Expression(statement.value), path, "eval"), {"small": small})


_BLOCK = "transformer-block"
_LEARNED = ("bert-base", "bert-large", "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "gpt3-175b")
_MAMBA = ("mamba-130m", "mamba-370m", "mamba-790m", "mamba-1.4b", "mamba-2.8b")
_GROUPED = ("llama-3-8b", "llama-3-70b", "llama-3.1-405b", "mistral-7b")

VARIANTS: tuple[Variant, ...] = (
    *_written_beside_the_mixers(),
    Variant("feed-forward-gelu", "feed-forward", small.width("D", "F")),
    Variant("feed-forward-gelu-tanh", "feed-forward", small.width("D", "F"), {"activation": "gelu-tanh"}),
    Variant("feed-forward-relu-unbiased", "feed-forward", small.width("D", "F"), {"activation": "relu", "bias": False}),
    Variant("feed-forward-swiglu", "feed-forward", small.width("D", "F"), {"activation": "swiglu"}),
    Variant("norm-layer", "norm", small.width("D")),
    Variant("norm-layer-unbiased", "norm", small.width("D"), {"bias": False}),
    Variant("norm-rms", "norm", small.width("D"), {"kind": "rms"}),
    Variant("block-pre", _BLOCK, small.block()),
    Variant("block-post", _BLOCK, small.block(), {"order": "post", "causal": False}),
    Variant("block-cross-post-relu", _BLOCK, small.block(), {"order": "post", "cross": True, "activation": "relu"}),
    Variant("block-cross-pre", _BLOCK, small.block(), {"cross": True, "attention_bias": False}),
    Variant(
        "block-llama",
        _BLOCK,
        small.block(grouped=True),
        {"norm": "rms", "activation": "swiglu", "rope": True, "bias": False},
    ),
    Variant("block-materialised-post", _BLOCK, small.block(), {"order": "post", "implementation": "materialised"}),
    Variant("transformer", "transformer", small.model()),
    Variant("transformer-no-positions", "transformer", small.model(free=True), {"positions": "none", "tied": False}),
    Variant("transformer-sinusoidal", "transformer", small.model(), {"positions": "sinusoidal", "head_bias": True}),
    Variant("transformer-post", "transformer", small.model(), {"order": "post", "embedding_norm": True}),
    Variant("encoder", "encoder", small.model()),
    Variant("hybrid", "hybrid", small.plus(small.model(), L=(4, 6)), {"mixers": "mingru attention"}),
    Variant("classifier", "classifier", small.classes(), {"M": 128}),
    Variant("classifier-last-causal", "classifier", small.classes(), {"pool": "last", "causal": True, "M": 128}),
    Variant(
        "classifier-recurrent",
        "classifier",
        small.scanned(**small.SCANNED_MODEL, F=(7, 24), classes=(2, 5)),
        {"mixers": "gru"},
    ),
    Variant("encoder-decoder-pre", "encoder-decoder", small.model()),
    Variant("encoder-decoder-materialised", "encoder-decoder", small.model(), {"implementation": "materialised"}),
    Variant("vit", "vit", small.image(), {"M": 324}),
    Variant("vit-features", "vit", small.image(classes=False), {"M": 324, "head": "none"}),
    Variant("dit", "dit", small.latent, {"M": 324}),
    *(Variant(name, name, small.learned) for name in _LEARNED),
    *(Variant(name, name, small.image(), {"M": 324}) for name in ("vit-base-16", "vit-large-16", "vit-huge-14")),
    Variant("dit-xl-2", "dit-xl-2", small.latent, {"M": 324}),
    Variant("llama-2-7b", "llama-2-7b", small.model()),
    *(Variant(name, name, small.model(grouped=True)) for name in _GROUPED),
    *(Variant(name, name, small.mamba(model=True)) for name in _MAMBA),
    Variant("transformer-base", "transformer-base", small.model()),
    Variant("transformer-big", "transformer-big", small.model()),
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
