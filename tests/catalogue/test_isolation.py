"""What must not be seen: the future, other rows, padding; and what must not be touched: inputs, state, randomness."""

from operator import attrgetter

import pytest
import torch
from oracles import relative_error
from strategies import VARIANTS, typical

from seqcost.errors import BadSize

every_variant = pytest.mark.parametrize("variant", VARIANTS, ids=attrgetter("id"))


def mixes_freely(config):
    """Whether a token sees later ones."""
    return not config.decodes


def named(*ids):
    return pytest.mark.parametrize("variant", [v for v in VARIANTS if v.id in ids], ids=attrgetter("id"))


@every_variant
def test_a_token_sees_the_past_and_not_the_future(variant, bench):
    config = typical(variant)
    layer = bench.layer(config, torch.float64)
    y, tokens = bench.embedded(layer, bench.inputs(layer, 2, 9, 3, torch.float64))
    if y.dim() == 2:
        return  # a pooled vector belongs to the whole text
    past, future = torch.autograd.grad(y[:, 4].square().sum(), tokens)[0].tensor_split([5], dim=1)
    assert (past[:, 4].abs().amax(-1) > 0).all()  # each row's token sees at least itself
    # An FFT mixes all positions, within rounding: what it must not do is bring a later one in.
    assert bool(future.abs().max() > 1e-14 * past.abs().max()) == mixes_freely(config)
    sees_back = not variant.name.startswith(("feed-forward", "norm", "cross", "retro-layer"))
    assert bool(past[:, :4].abs().max() > 0) == sees_back


@every_variant
def test_rows_of_a_batch_do_not_see_each_other(variant, bench):
    layer = bench.layer(typical(variant), torch.float64)
    y, tokens = bench.embedded(layer, bench.inputs(layer, 3, 5, 3, torch.float64))
    gradient = torch.autograd.grad(y[1].square().sum(), tokens)[0]
    assert gradient[1].abs().max() > 0
    assert gradient[0].abs().max() == gradient[2].abs().max() == 0


@every_variant
def test_right_padding_changes_nothing_before_it(variant, bench):
    config = typical(variant)
    layer = bench.layer(config, torch.float64)
    x, *source = bench.inputs(layer, 2, 9, 3, torch.float64)
    valid = x[:, :5]
    keep = torch.ones(2, 9, dtype=torch.bool)
    keep[:, 5:] = False

    def before(y):
        return y[:, : alone.shape[1]] if y.dim() == 3 else y  # a pooled vector has no tokens

    with torch.no_grad():
        alone = layer(valid, *source)
        if config.decodes:
            padded = layer(x, *source)
        elif layer.takes_keep:
            padded = layer(x, *source, keep=keep)
            unmasked = layer(x, *source)
            assert relative_error(before(unmasked), alone) > 1e-3  # without the mask padding is seen
    assert relative_error(before(padded), alone) < 1e-12


READS_A_SOURCE = (
    "cross-attention", "cross-attention-materialised", "block-cross-pre", "block-cross-post-relu",
    "encoder-decoder-pre", "encoder-decoder-materialised", "transformer-base",
)  # fmt: skip


@named(*READS_A_SOURCE)
def test_a_padded_source_changes_nothing(variant, bench):
    layer = bench.layer(typical(variant), torch.float64)
    x, source = bench.inputs(layer, 2, 5, 9, torch.float64)
    keep = torch.arange(9).expand(2, 9) < torch.tensor([[6], [9]])
    with torch.no_grad():
        padded = layer(x, source, keep_source=keep)
        assert relative_error(padded[0], layer(x[:1], source[:1, :6])[0]) < 1e-12
        assert relative_error(padded[1], layer(x[1:], source[1:])[0]) < 1e-12
        # The mask is carried with the source: steps see no padding either.
        state, steps = layer.init_state(2, source, keep_source=keep), []
        for token in x.unbind(1):
            y, state = layer.step(token, state)
            steps.append(y)
        assert relative_error(torch.stack(steps, 1), padded) < 1e-12


@named("cross-attention", "block-cross-pre")
def test_a_source_of_another_batch_is_refused(variant, bench):
    layer = bench.layer(typical(variant))
    x, source = bench.inputs(layer, 2, 5, 9)
    with pytest.raises(BadSize, match="a source of 1 sequences was given for a batch of 2"):
        layer(x, source[:1])


@named(
    "attention", "attention-grouped", "attention-materialised", "transformer-no-positions", "block-pre", "block-post"
)
def test_left_padding_changes_nothing_after_it(variant, bench):
    layer = bench.layer(typical(variant), torch.float64)
    (x,) = bench.inputs(layer, 2, 9, 3, torch.float64)
    keep = torch.ones(2, 9, dtype=torch.bool)
    keep[0, :4] = False
    with torch.no_grad():
        padded = layer(x, keep=keep)
        assert relative_error(padded[:1, 4:], layer(x[:1, 4:])) < 1e-12
        assert relative_error(padded[1:], layer(x[1:])) < 1e-12
    assert padded.isfinite().all()


@every_variant
def test_inputs_state_and_randomness_are_left_untouched(variant, bench):
    layer = bench.layer(typical(variant))
    inputs = bench.inputs(layer, 2, 5, 3)
    copies, random = [x.clone() for x in inputs], torch.get_rng_state()
    weights = {name: weight.clone() for name, weight in layer.state_dict().items()}
    layer(*inputs)
    if layer.config.decodes:
        x, *source = inputs
        _, state = layer.extend(x, layer.init_state(2, *source))
        before = [(tensor.clone(), tensor._version) for tensor in state.tensors()]
        layer.extend(x, state)
        layer.step(x[:, 0], state)
        for (values, version), tensor in zip(before, state.tensors(), strict=True):
            assert torch.equal(values, tensor)
            assert tensor._version == version  # not even written with the same values
    assert all(torch.equal(a, b) and a._version == 0 for a, b in zip(inputs, copies, strict=True))
    assert all(torch.equal(weight, weights[name]) for name, weight in layer.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


@every_variant
def test_the_same_twice(variant, bench):
    layer = bench.layer(typical(variant))
    inputs = bench.inputs(layer, 2, 33, 17)
    assert torch.equal(layer(*inputs), layer(*inputs))
    layer.eval()
    assert torch.equal(layer(*inputs), layer.train()(*inputs))  # nothing is random, so nothing depends on the mode
