"""Views of other memory, sequences of no token, batches of no sequence: in every layer, every way in."""

from operator import attrgetter

import pytest
import torch
from strategies import KINDS, typical

from seqcost.errors import BadSize

every_kind = pytest.mark.parametrize("variant", KINDS, ids=attrgetter("id"))


def time_first(x):
    return x.transpose(0, 1).contiguous().transpose(0, 1)


def width_first(x):
    return x.transpose(-1, -2).contiguous().transpose(-1, -2)


def of_wider_rows(x):
    return torch.cat([x, x], dim=-1)[..., : x.shape[-1]]


def one_row_again_and_again(x):
    return x[:1].expand(x.shape)


VIEWS = (time_first, width_first, of_wider_rows, one_row_again_and_again)


@every_kind
def test_a_view_is_its_values(variant, bench):
    config, T = typical(variant), 12  # chunks are full, so that nothing is copied to fill them
    layer = bench.layer(config, torch.float64)
    given = bench.inputs(layer, 2, T, 3, torch.float64)
    for view in VIEWS:
        inputs = [view(x.detach()) if x.dim() > 1 else x for x in given]
        copies = [x.clone(memory_format=torch.contiguous_format) for x in inputs]
        y = layer(*inputs)
        assert torch.allclose(y, layer(*copies), rtol=1e-12, atol=1e-12)
        y.sum().backward()
        if config.decodes:
            x, *source = inputs
            y, state = layer.extend(x, layer.init_state(2, *source))
            same, copied = layer.extend(copies[0], layer.init_state(2, *copies[1:]))
            assert torch.allclose(y, same, rtol=1e-12, atol=1e-12)
            y, state = layer.extend(x, state)
            same, copied = layer.extend(copies[0], copied)
            assert torch.allclose(y, same, rtol=1e-12, atol=1e-12)
            y.sum().backward()
            assert torch.allclose(
                layer.step(x[:, 0], state)[0], layer.step(copies[0][:, 0], copied)[0], rtol=1e-12, atol=1e-12
            )


@pytest.mark.parametrize(("B", "T"), [(2, 0), (0, 5)], ids="{}".format)
@every_kind
def test_nothing_in_nothing_out(variant, B, T, bench):
    config = typical(variant)
    layer = bench.layer(config)
    inputs = bench.inputs(layer, B, T, 3)
    if config.pools and T == 0 and variant.name != "vit":  # whose class token stands alone then
        with pytest.raises(BadSize, match="give at least one token"):
            layer(*inputs)
        return
    y = layer(*inputs)
    T_out = config.tokens_out(T)
    assert y.shape == ((B, config.width_out) if config.pools else (B, T_out, config.width_out))
    y.sum().backward()
    if not config.decodes:
        return
    x, *source = inputs
    y, state = layer.extend(x, layer.init_state(B, *source))
    assert y.shape == (B, T, config.width_out)
    y, state = layer.extend(x, state)
    y.sum().backward()
    if T:
        y, state = layer.step(x[:, 0], state)
        assert y.shape == (B, config.width_out)
    assert all(t.shape[0] == B for t in state.tensors())
