"""Any split of a sequence = the whole = single steps = the reference, outputs and gradients through the state."""

import math
from operator import attrgetter

import pytest
import torch
from devices import every_device
from hypothesis import example, given
from hypothesis import strategies as st
from oracles import relative_error
from strategies import KINDS, VARIANTS, drawn_config, examples, splits, typical

DECODING = [v for v in VARIANTS if typical(v).decodes]
decoding = pytest.mark.parametrize("variant", DECODING, ids=attrgetter("id"))
every_kind = pytest.mark.parametrize("variant", KINDS, ids=attrgetter("id"))
EXACT = 1e-10
pytestmark = every_device


def gradient_error(ours, theirs):
    """Against the largest gradient of all: some are 0 but for rounding, such as that of a key's bias."""
    scale = max(float(g.abs().max()) for g in theirs) or 1.0
    return max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True)) / scale


@decoding
@examples(6)
@given(data=st.data(), B=st.integers(1, 3), T=st.integers(1, 9), S=st.integers(1, 5))
@example(data=None, B=2, T=7, S=3)
def test_any_split_equals_the_whole(variant, data, B, T, S, bench):
    config = typical(variant) if data is None else data.draw(drawn_config(variant))
    pieces = [0, 1, 0, 4, 2] if data is None else data.draw(splits(T))
    layer = bench.layer(config, torch.float64)
    inputs = bench.inputs(layer, B, T, S, torch.float64)
    whole = layer(*inputs)
    split = bench.in_pieces(layer, inputs, pieces)
    assert split.shape == whole.shape
    assert relative_error(split, whole) < EXACT
    assert gradient_error(bench.gradients(layer, inputs, split), bench.gradients(layer, inputs, whole)) < EXACT


@decoding
def test_single_steps_equal_the_whole(variant, bench):
    layer = bench.layer(typical(variant), torch.float64)
    inputs = bench.inputs(layer, 2, 7, 3, torch.float64)
    whole, steps = layer(*inputs), bench.in_steps(layer, inputs)
    assert relative_error(steps, whole) < EXACT
    assert gradient_error(bench.gradients(layer, inputs, steps), bench.gradients(layer, inputs, whole)) < EXACT


@pytest.mark.parametrize("variant", VARIANTS, ids=attrgetter("id"))
def test_the_reference_equals_the_whole(variant, bench):
    layer = bench.layer(typical(variant), torch.float64)
    inputs = bench.inputs(layer, 2, 7, 3, torch.float64)
    whole, reference = layer(*inputs), layer.reference(*inputs)
    assert relative_error(whole, reference) < EXACT
    assert gradient_error(bench.gradients(layer, inputs, whole), bench.gradients(layer, inputs, reference)) < EXACT


@every_kind
@pytest.mark.parametrize("T", [63, 100])
def test_in_float32_the_ways_differ_by_rounding_only(variant, T, bench):
    config = typical(variant)
    if "M" in config.sizes() and config.sizes()["positions"] == "learned":
        T = min(T, config.sizes()["M"])
    layer = bench.layer(config)
    inputs = bench.inputs(layer, 2, T, 17)
    tolerance = 2e-6 * math.sqrt(max(T, 64) / 64)
    if bench.device == "cuda":
        tolerance *= 8  # cuDNN's cells take a coarser tanh: 1.4e-5 at most was seen
    with torch.no_grad():
        whole = layer(*inputs)
        assert relative_error(whole, layer.reference(*inputs)) < tolerance
        if config.decodes:
            assert relative_error(bench.in_pieces(layer, inputs, [0, 16, 1, T - 17]), whole) < tolerance
            assert relative_error(bench.in_steps(layer, inputs), whole) < tolerance


@decoding
def test_no_token_leaves_the_state_as_it_is(variant, bench):
    layer = bench.layer(typical(variant))
    x, *source = bench.inputs(layer, 2, 5, 3)
    _, before = layer.extend(x, layer.init_state(2, *source))
    y, after = layer.extend(x[:, :0], before)
    assert y.shape == (2, 0, layer(x, *source).shape[-1])
    assert all(torch.equal(a, b) for a, b in zip(before.tensors(), after.tensors(), strict=True))


@every_kind
def test_gradcheck(variant, bench):
    config = variant.config(lambda sizes: sizes[min(1, len(sizes) - 1)])
    layer = bench.layer(config, torch.float64)
    inputs = bench.inputs(layer, 2, 3, 2, torch.float64)
    names = [name for name, _ in layer.named_parameters()]

    def forward(*values):
        weights = dict(zip(names, values[len(inputs) :], strict=True))
        return torch.func.functional_call(layer, weights, values[: len(inputs)])

    tolerance = 1e-12 if bench.device == "cuda" else 0.0  # what is scattered there is added up in any order
    values = (*inputs, *layer.parameters())
    assert torch.autograd.gradcheck(forward, values, fast_mode=True, nondet_tol=tolerance)


def test_a_state_that_restarts_is_noticed(bench):
    variant = next(v for v in VARIANTS if v.id == "gru")
    layer = bench.layer(typical(variant), torch.float64)
    inputs = bench.inputs(layer, 2, 7, 3, torch.float64)
    first, second = (layer.extend(piece, layer.init_state(2))[0] for piece in inputs[0].split([4, 3], dim=1))
    assert relative_error(torch.cat([first, second], dim=1), layer(*inputs)) > 1e-3
