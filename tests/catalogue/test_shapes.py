"""What a layer says to inputs of a wrong shape."""

from operator import attrgetter

import pytest
import torch
from strategies import VARIANTS, typical

from seqcost.errors import BadSize

features = pytest.mark.parametrize(
    "variant", [v for v in VARIANTS if "U" not in typical(v).sizes()], ids=attrgetter("id")
)
tokens = pytest.mark.parametrize("variant", [v for v in VARIANTS if "U" in typical(v).sizes()], ids=attrgetter("id"))


@features
@pytest.mark.parametrize("case", ["wrong-width", "two-axes", "four-axes"])
def test_features_of_a_wrong_shape(variant, case, bench):
    config = typical(variant)
    layer = bench.layer(config)
    _, *source = bench.inputs(layer, 2, 5, 3)
    width = config.width_in
    shapes = {"wrong-width": (2, 5, width + 1), "two-axes": (5, width), "four-axes": (1, 7, 5, width)}
    x = torch.randn(shapes[case])
    sentence = rf"input of shape \({', '.join(map(str, x.shape))}\) was given; \[batch, tokens, {width}\] is allowed"
    with pytest.raises(BadSize, match=sentence):
        layer(x, *source)
    if config.decodes:
        with pytest.raises(BadSize, match=sentence):
            layer.extend(x, layer.init_state(2, *source))


@tokens
@pytest.mark.parametrize("ids", [torch.randn(2, 5), torch.zeros(5, dtype=torch.long)], ids=["floats", "one-axis"])
def test_token_ids_of_a_wrong_kind(variant, ids, bench):
    layer = bench.layer(typical(variant))
    _, *source = bench.inputs(layer, 2, 5, 3)
    with pytest.raises(BadSize, match=r"whole-number token ids \[batch, tokens\] are allowed"):
        layer(ids, *source)


@pytest.mark.parametrize("name", ["gpt2", "bert-base"])
def test_more_tokens_than_a_learned_table_has_positions(name, bench):
    variant = next(v for v in VARIANTS if v.id == name)
    layer = bench.layer(typical(variant))
    with pytest.raises(BadSize, match=r"65 tokens were given to a learned table of 64 positions; give at most M = 64"):
        layer(torch.zeros(1, 65, dtype=torch.long))
    if layer.config.decodes:
        _, state = layer.extend(torch.zeros(1, 64, dtype=torch.long), layer.init_state(1))
        with pytest.raises(BadSize, match="65 tokens were given"):
            layer.step(torch.zeros(1, dtype=torch.long), state)


@pytest.mark.parametrize("variant", [v for v in VARIANTS if not typical(v).decodes], ids=attrgetter("id"))
def test_what_sees_the_future_has_no_state(variant, bench):
    with pytest.raises(BadSize, match=r"causal=False.* call it on the whole sequence|Pooler reads the first token"):
        bench.layer(typical(variant)).init_state(2)


@pytest.mark.parametrize("variant", [v for v in VARIANTS if typical(v).takes_source], ids=attrgetter("id"))
def test_a_source_of_a_wrong_width_is_refused(variant, bench):
    layer = bench.layer(typical(variant))
    x, source = bench.inputs(layer, 2, 5, 3)
    wrong = torch.randn(2, 3, 63) if source.is_floating_point() else torch.randn(2, 3)
    with pytest.raises(BadSize, match="was given"):
        layer(x, wrong)
    with pytest.raises(BadSize, match="was given"):
        layer.init_state(2, wrong)
