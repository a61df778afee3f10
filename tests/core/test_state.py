"""States: immutable, made of tensors, seen through by torch."""

import dataclasses

import pytest
import torch
from torch.utils import _pytree

from seqcost.formulas.catalogue import configure
from seqcost.layers import State, build

MODELS = {
    "lstm": configure("lstm", U=11, D=16, L=2),
    "transformer": configure("transformer", U=11, D=16, L=2, H=2),
    "gpt2": configure("gpt2", U=11, D=16, L=2, H=2, M=64),
    "attention": configure("attention-layer", D=16, H=2),
}
every_model = pytest.mark.parametrize("name", MODELS)


@pytest.fixture
def carried(name):
    torch.manual_seed(0)
    layer = build(MODELS[name])
    (x,) = layer.example_inputs(3, 5)
    _, state = layer.extend(x, layer.init_state(3))
    return layer, x, state


@every_model
def test_detach_cuts_the_graph_and_keeps_the_values(carried):
    _, _, state = carried
    cut = state.detach()
    assert any(t.requires_grad for t in state.tensors())
    assert not any(t.requires_grad for t in cut.tensors())
    assert all(torch.equal(a, b) for a, b in zip(cut.tensors(), state.tensors(), strict=True))
    assert cut.nbytes == state.nbytes > 0


@every_model
def test_select_reorders_the_batch(carried):
    layer, x, state = carried
    rows = torch.tensor([2, 0, 0])
    y, _ = layer.extend(x[rows], state.select(rows))
    expected, _ = layer.extend(x, state)
    assert torch.allclose(y, expected[rows], rtol=1e-5, atol=1e-6)


@every_model
def test_to_changes_format_and_map_applies_to_every_tensor(carried):
    _, _, state = carried
    assert {t.dtype for t in state.to(torch.float64).tensors()} == {torch.float64}
    assert state.to(torch.float64).nbytes == 2 * state.nbytes
    assert all((t == 0).all() for t in state.map(torch.zeros_like).tensors())
    assert {t.device.type for t in state.to("meta").tensors()} == {"meta"}


@every_model
def test_a_pytree_round_trip(carried):
    layer, x, state = carried
    leaves, spec = _pytree.tree_flatten(state)
    again = _pytree.tree_unflatten(leaves, spec)
    assert type(again) is type(state)
    assert [t for t in leaves if isinstance(t, torch.Tensor)] == list(state.tensors())
    assert torch.equal(layer.extend(x, again)[0], layer.extend(x, state)[0])


@every_model
def test_a_state_does_not_change(carried):
    _, _, state = carried
    (field, *_) = dataclasses.fields(state)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(state, field.name, None)


def test_a_layer_that_carries_nothing_has_an_empty_state():
    layer = build(configure("feed-forward", D=16, F=24))
    x = torch.randn(2, 5, 16)
    y, state = layer.extend(x, layer.init_state(2))
    assert (type(state), state.nbytes, list(state.tensors())) == (State, 0, [])
    assert torch.equal(y, layer(x))
