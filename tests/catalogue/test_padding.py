"""A mask `keep`: the tokens that count are what they are without the padding, wherever that stands.

The right value is known from each row alone, its padding taken out.
"""

from operator import attrgetter

import pytest
import torch
from oracles import relative_error
from strategies import VARIANTS, typical

from seqcost.errors import BadSize

# Their windows, blocks and chunks are of places in the row, padding among them: right and left of the text it is masked
# (test_isolation), between its tokens it takes places.
BY_PLACE = ("window", "lsh", "reformer")
CARRIES = [v for v in VARIANTS if typical(v).decodes and not typical(v).takes_source]
MASKS = {
    "left": [[0, 0, 0, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1, 1, 1]],
    "holes": [[1, 0, 1, 1, 0, 0, 1, 0, 1], [0, 1, 1, 0, 1, 1, 1, 1, 0]],
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("variant", CARRIES, ids=attrgetter("id"))
def test_tokens_that_count_are_as_without_padding(variant, mask, bench):
    if variant.name.startswith(BY_PLACE):
        pytest.skip("by place")
    layer = bench.layer(typical(variant), torch.float64)
    (x,) = bench.inputs(layer, 2, 9, 3, torch.float64)
    keep = torch.tensor(MASKS[mask]).bool()
    if not layer.takes_keep:
        assert variant.name in ("feed-forward", "norm")  # tokens do not mix
        return
    y = layer(x, keep=keep)
    for row in range(2):
        alone = layer(x[row : row + 1, keep[row]])
        assert relative_error(y[row : row + 1, keep[row]], alone) < 1e-10


@pytest.mark.parametrize("variant", [v for v in CARRIES if v.name == "gru"], ids=attrgetter("id"))
def test_padding_between_tokens_is_seen_without_a_mask(variant, bench):
    layer = bench.layer(typical(variant), torch.float64)
    (x,) = bench.inputs(layer, 2, 9, 3, torch.float64)
    keep = torch.tensor(MASKS["left"]).bool()
    assert relative_error(layer(x)[:1, keep[0]], layer(x[:1, keep[0]])) > 1e-3


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v.id.endswith("-layer")], ids=attrgetter("id"))
def test_gradients_pass_padding_by(variant, bench):
    layer = bench.layer(typical(variant), torch.float64)
    if not layer.takes_keep:
        return
    (x,) = bench.inputs(layer, 2, 9, 3, torch.float64)
    keep = torch.tensor(MASKS["holes"]).bool()
    (gradient,) = torch.autograd.grad((layer(x, keep=keep) * keep.unsqueeze(-1)).square().sum(), x)
    assert gradient[~keep].abs().max() < 1e-14
    assert gradient[keep].abs().max() > 1e-6


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v.id.endswith("-layer")], ids=attrgetter("id"))
def test_a_mask_of_another_kind_or_shape_is_refused(variant, bench):
    layer = bench.layer(typical(variant))
    if not layer.takes_keep:
        return
    (x,) = bench.inputs(layer, 2, 9, 3)
    sentence = r"\[batch, tokens\] = \(2, 9\) of torch.bool is allowed"
    for keep in (torch.ones(2, 9, dtype=torch.long), torch.ones(2, 8, dtype=torch.bool)):
        with pytest.raises(BadSize, match=sentence):
            layer(x, keep=keep)
