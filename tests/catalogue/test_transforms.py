"""The transforms of torch.func over every layer, states as pytrees with keys, exported steps, states that load."""

import io
from operator import attrgetter

import pytest
import torch
from strategies import KINDS, VARIANTS, typical
from torch.func import functional_call, grad, vmap
from torch.utils import _pytree

from seqcost.layers import build

# PyTorch maps fused attention and some solvers in a loop, and says so.
pytestmark = [
    pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning"),
    pytest.mark.filterwarnings("ignore:The tensor attributes self.*_flat_weights:UserWarning"),  # torch.nn.RNN's own
]
every_kind = pytest.mark.parametrize("variant", KINDS, ids=attrgetter("id"))
CARRIES = pytest.mark.parametrize(
    "variant",
    [v for v in KINDS if typical(v).decodes and v.id.endswith(("-layer", "rnn", "retro"))],
    ids=attrgetter("id"),
)


def plain(bench, variant, B=3, T=8):
    """A layer in float64, its weights and buffers by name, and inputs that want no gradient."""
    layer = bench.layer(typical(variant), torch.float64)
    inputs = tuple(x.detach() for x in bench.inputs(layer, B, T, 3, torch.float64))
    weights = {name: weight.detach() for name, weight in layer.named_parameters()}
    return layer, weights, dict(layer.named_buffers()), inputs


@every_kind
def test_vmap_and_gradients_of_each_sample(variant, bench):
    """The right value: each sample by itself, its gradients by autograd."""
    layer, weights, buffers, inputs = plain(bench, variant)
    apart = vmap(lambda *one: layer(*(x[None] for x in one))[0])(*inputs)
    assert torch.allclose(apart, layer(*inputs), rtol=1e-9, atol=1e-9)

    def loss(weights, *one):
        return functional_call(layer, (weights, buffers), tuple(x[None] for x in one)).square().sum()

    found = vmap(grad(loss), in_dims=(None, *(0 for _ in inputs)))(weights, *inputs)
    own = layer(*(x[1:2] for x in inputs)).square().sum()
    expected = torch.autograd.grad(own, list(layer.parameters()), allow_unused=True, materialize_grads=True)
    scale = max(float(g.abs().max()) for g in expected)
    for name, right in zip(weights, expected, strict=True):
        assert (found[name][1] - right).abs().max() < 1e-9 * scale, name


@every_kind
def test_an_ensemble_of_weights(variant, bench):
    layer, weights, buffers, inputs = plain(bench, variant, B=2)
    several = {name: torch.stack([w, 1.1 * w]) for name, w in weights.items()}
    y = vmap(lambda w: functional_call(layer, (w, buffers), inputs))(several)
    second = functional_call(layer, ({name: w[1] for name, w in several.items()}, buffers), inputs)
    assert torch.allclose(y[1], second, rtol=1e-9, atol=1e-9)


def carried(layer, inputs):
    x, *source = inputs
    with torch.no_grad():
        return layer.extend(x, layer.init_state(x.shape[0], *source))[1]


@pytest.mark.parametrize("variant", [v for v in VARIANTS if typical(v).decodes], ids=attrgetter("id"))
def test_a_state_is_saved_and_loaded(variant, bench):
    layer, _, _, inputs = plain(bench, variant)
    state, file = carried(layer, inputs), io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    assert type(loaded) is type(state)
    assert all(torch.equal(a, b) for a, b in zip(loaded.tensors(), state.tensors(), strict=True))
    token = inputs[0][:, 0]
    assert torch.equal(layer.step(token, loaded)[0], layer.step(token, state)[0])


@CARRIES
def test_the_leaves_of_a_state_have_names(variant, bench):
    layer, _, _, inputs = plain(bench, variant)
    state = carried(layer, inputs)
    leaves, structure = _pytree.tree_flatten_with_path(state)
    assert len({_pytree.keystr(path) for path, _ in leaves}) == len(leaves)
    assert all(_pytree.key_get(state, path) is leaf for path, leaf in leaves)
    again = _pytree.tree_unflatten([leaf for _, leaf in leaves], structure)
    assert type(again) is type(state)


class Step(torch.nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, state):
        return self.layer.step(x, state)


@pytest.mark.slow
@CARRIES
def test_a_step_is_exported(variant, bench):
    layer, _, _, inputs = plain(bench, variant)
    token, state = inputs[0][:, 0], carried(layer, inputs)
    exported = torch.export.export(Step(layer), (token, state)).module()
    (y, after), (right, right_after) = exported(token, state), layer.step(token, state)
    assert torch.allclose(y, right, rtol=1e-12, atol=1e-12)
    assert type(after) is type(right_after)
    assert all(torch.allclose(a, b) for a, b in zip(after.tensors(), right_after.tensors(), strict=True))


@pytest.mark.parametrize("name", ["lstm-layer", "gla-layer"])
def test_an_exported_step_is_saved_and_loaded(name, tmp_path):
    layer = build(typical(next(v for v in VARIANTS if v.id == name)))
    token, state = torch.randn(2, layer.config.D), layer.init_state(2)
    torch.export.save(torch.export.export(Step(layer), (token, state)), tmp_path / "step.pt2")
    loaded = torch.export.load(tmp_path / "step.pt2").module()
    assert torch.allclose(loaded(token, state)[0], layer.step(token, state)[0])
