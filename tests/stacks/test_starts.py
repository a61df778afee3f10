"""The loss of a language model before the first step is near ln U: nothing has been learned, and nothing is claimed."""

import math

import pytest
import torch
import torch.nn.functional as F

from seqcost.formulas.catalogue import CATALOGUE, configure
from seqcost.layers import build
from seqcost.layers.parts.head import first_scale

MODELS = [
    name
    for name, found in CATALOGUE.items()
    if found.group == "model" and "U" in found.symbols and configure(name).gives_logits and not configure(name).pools
]


def first_loss(model):
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        inputs = model.example_inputs(2, 64)
        targets = torch.randint(0, model.config.U, (2, 64))
        return F.cross_entropy(model(*inputs).flatten(0, 1), targets.flatten()).item()


def made(name, **sizes):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(configure(name, **sizes))


@pytest.mark.parametrize("name", MODELS)
def test_the_first_loss_is_near_that_of_a_uniform_guess(name):
    assert abs(first_loss(made(name, D=256)) - math.log(256)) < 0.25


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("positions", ["rope", "sinusoidal", "learned"])
@pytest.mark.parametrize("order", ["pre", "post"])
def test_heads_and_norms_wherever_they_stand(tied, positions, order):
    model = made("transformer", D=256, L=2, U=256, tied=tied, positions=positions, order=order)
    assert abs(first_loss(model) - math.log(256)) < 0.25


def test_without_the_scale_a_token_claims_itself():
    model = made("transformer", D=512, L=2, U=256, positions="sinusoidal")
    with torch.no_grad():
        model.get_submodule("embedding").weight /= first_scale(512)
    assert first_loss(model) > 12


def test_narrow_models_begin_with_ones():
    assert first_scale(16) == first_scale(3) == 1
    assert first_scale(64) == 0.5
    assert torch.equal(made("transformer", D=16, H=2).norm.norm.weight, torch.ones(16))
