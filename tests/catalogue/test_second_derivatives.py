"""Gradients of gradients: right, by differences of gradients in float64, or refused by PyTorch's own sentence."""

from operator import attrgetter

import pytest
import torch
from oracles import relative_error
from strategies import KINDS, typical

every_kind = pytest.mark.parametrize("variant", KINDS, ids=attrgetter("id"))
# Written for a first derivative alone, which is what PyTorch says of it.
REFUSED = "derivative for aten::_scaled_dot_product_flash_attention_for_cpu_backward is not implemented"
STEP = 1e-6


def first(layer, inputs, wanted, **options):
    loss = layer(*inputs).square().sum()
    return torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True, **options)


def by_differences(layer, inputs, wanted, along):
    """(∇(w + h v) − ∇(w − h v)) / 2h, all weights and inputs at once."""
    ends = []
    for h in (STEP, -STEP):
        with torch.no_grad():
            for w, v in zip(wanted, along, strict=True):
                w += h * v
        ends.append(first(layer, inputs, wanted))
        with torch.no_grad():
            for w, v in zip(wanted, along, strict=True):
                w -= h * v
    return [(a - b) / (2 * STEP) for a, b in zip(*ends, strict=True)]


def flat(tensors):
    return torch.cat([t.flatten() for t in tensors])


@every_kind
def test_a_hessian_along_a_direction(variant, bench):
    layer = bench.layer(typical(variant), torch.float64)
    inputs = bench.inputs(layer, 2, 7, 3, torch.float64)
    wanted = [t for t in (*inputs, *layer.parameters()) if t.requires_grad]
    generator = torch.Generator().manual_seed(5)
    along = [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in wanted]
    slope = sum((g * v).sum() for g, v in zip(first(layer, inputs, wanted, create_graph=True), along, strict=True))
    try:
        ours = torch.autograd.grad(slope, wanted, allow_unused=True, materialize_grads=True)
    except RuntimeError as refusal:
        assert str(refusal) == REFUSED  # noqa: PT017 - most layers do not raise
        return
    assert relative_error(flat(ours), flat(by_differences(layer, inputs, wanted, along))) < 1e-6


@pytest.mark.parametrize("name", ["mamba-layer", "s4d-layer", "mingru-layer", "reformer"])
def test_where_backward_is_written_by_hand(name, bench):
    """The whole matrix, through `.backward()` too: gradients that gradients add up to are not lost."""
    variant = next(v for v in KINDS if v.id == name)
    layer = bench.layer(variant.config(lambda sizes: sizes[0]), torch.float64)
    (x,) = bench.inputs(layer, 1, 5, 0, torch.float64)
    table = layer.get_submodule("embedding").weight if name == "reformer" else x

    def of(leaf):
        if leaf is x:
            return layer(x)
        return torch.func.functional_call(layer, {"embedding.weight": leaf}, (x,))

    assert torch.autograd.gradgradcheck(of, table)
    penalty = torch.autograd.grad(of(table).sum(), table, create_graph=True)[0].square().sum()
    penalty.backward(retain_graph=True)
    assert torch.equal(table.grad, torch.autograd.grad(penalty, table)[0])


@pytest.mark.parametrize("name", ["ttt-linear-layer", "ttt-mlp-layer"])
def test_where_the_definition_differentiates_itself(name, bench):
    """TTT's reference has a gradient inside: its Hessian is a third derivative of the inner loss."""
    layer = bench.layer(typical(next(v for v in KINDS if v.id == name)), torch.float64)
    (x,) = bench.inputs(layer, 1, 6, 0, torch.float64)
    along = torch.randn(x.shape, generator=torch.Generator().manual_seed(5), dtype=x.dtype)

    def product(way):
        (slope,) = torch.autograd.grad(way(x).square().sum(), x, create_graph=True)
        return torch.autograd.grad((slope * along).sum(), x)[0]

    assert relative_error(product(layer.reference), product(layer)) < 1e-9
