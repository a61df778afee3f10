"""Under autocast: every layer trains and decodes, sums over the text stay in float32, and a state outlives autocast."""

from operator import attrgetter

import pytest
import torch
from strategies import KINDS, typical

from seqcost.layers import LshAttention
from seqcost.layers.core.state import State
from seqcost.layers.mixers.attention import Cache
from seqcost.layers.mixers.lsh import Hashed
from seqcost.layers.mixers.retro import Neighbours

every_kind = pytest.mark.parametrize("variant", KINDS, ids=attrgetter("id"))
decoding = pytest.mark.parametrize("variant", [v for v in KINDS if typical(v).decodes], ids=attrgetter("id"))
AS_PROJECTED = (Cache, Hashed, Neighbours)  # keys and values of single tokens: nothing is added to them
ROUNDING = 0.04  # of a norm; bfloat16 layers stay below 0.03 at 300 tokens, short texts have norms of fewer features


def autocast():
    return torch.autocast("cpu", torch.bfloat16)


def off(ours, exact):
    return float((ours.detach() - exact.detach()).norm() / exact.detach().norm().clamp_min(1e-9))


def summed(state):
    """The tensors that tokens add to."""
    if isinstance(state, AS_PROJECTED):
        return []
    found = []
    for value in vars(state).values():
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, State):
                found += summed(part)
            elif isinstance(part, torch.Tensor) and part.is_floating_point():
                found.append(part)
    return found


@every_kind
def test_training(variant, bench):
    """Backward outside, as PyTorch recommends, and inside, as it is often written."""
    layer = bench.layer(typical(variant))
    inputs = bench.inputs(layer, 2, 9, 3)
    exact = layer(*inputs)
    gradients = []
    for inside in (False, True):
        layer.zero_grad()
        with autocast():
            y = layer(*inputs)
            loss = y.float().square().mean()
            if inside:
                loss.backward()
        if not inside:
            loss.backward()
        gradients.append(torch.cat([w.grad.flatten() for w in layer.parameters() if w.grad is not None]))
    assert off(y, exact) < ROUNDING
    assert all(g.dtype == torch.float32 and g.isfinite().all() for g in gradients)
    if not any(isinstance(module, LshAttention) for module in layer.modules()):  # rounding moves tokens between buckets
        assert off(gradients[1], gradients[0]) < 0.3


@decoding
def test_a_state_outlives_autocast(variant, bench):
    layer = bench.layer(typical(variant))
    x, *source = bench.inputs(layer, 2, 9, 3)
    with torch.no_grad():
        exact = layer(x, *source)
        with autocast():
            state = layer.init_state(2, *source)
            _, state = layer.extend(x[:, :4], state)
            _, state = layer.step(x[:, 4], state)
        assert {t.dtype for t in summed(state)} <= {torch.float32}
        token, state = layer.step(x[:, 5], state)
        with autocast():
            _, state = layer.step(x[:, 6], state)
        rest, state = layer.extend(x[:, 7:], state)
    assert {t.dtype for t in summed(state)} <= {torch.float32}
    assert token.dtype == rest.dtype == torch.float32
    assert off(token, exact[:, 5]) < 2 * ROUNDING
    assert off(rest, exact[:, 7:]) < 2 * ROUNDING


@pytest.mark.parametrize("name", ["linear-attention-layer", "gla-layer", "retnet-layer", "deltanet-layer"])
def test_a_long_text_in_steps(name, bench):
    """2,000 single tokens: a state in bfloat16 stops growing at some hundreds."""
    layer = bench.layer(typical(next(v for v in KINDS if v.id == name)))
    (x,) = bench.inputs(layer, 1, 2000, 0)
    x = x.detach() + 1  # sums that grow
    with torch.no_grad():
        _, exact = layer.double().extend(x.double(), layer.init_state(1))
        layer.float()
        with autocast():
            state = layer.init_state(1)
            for token in x.unbind(1):
                _, state = layer.step(token, state)
    for ours, theirs in zip(summed(state), summed(exact), strict=True):
        assert ours.dtype == torch.float32
        assert off(ours, theirs) < 0.01
