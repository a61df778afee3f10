"""Gated DeltaNet: Qwen3-Next's layer with the same weights, the rule of flash-linear-attention, what the gates do."""

import inspect
import math

import pytest
import small
import torch
from fla_loops import naive
from oracles import Table, assert_agree, copy_weights, relative_error, same

from seqcost.algebra import Kind
from seqcost.formulas import Workload
from seqcost.formulas.mixers.gated_deltanet import GatedDeltaNet as Formula
from seqcost.layers import GatedDeltaNet
from seqcost.layers.ops.delta_rule import delta_rule, delta_rule_step

VARIANTS = (
    small.Variant("gated-deltanet-layer", "gated-deltanet-layer", small.delta()),
    small.Variant("gated-deltanet-layer-widths-differ", "gated-deltanet-layer", small.delta(widths_differ=True)),
    small.Variant("gated-deltanet", "gated-deltanet", small.delta(model=True)),
)

D, H, K, V, C = 24, 3, 8, 12, 16
EPSILON = 1e-6  # theirs; they scale the queries by 1/√K before the norm, we do not, so ours is K times it


def heads(part):
    """Theirs is one projection, and in it q, k, v and z stand side by side head by head."""

    def read(get):
        weight = get("in_proj_qkvz.weight").view(H, 2 * K + 2 * V, D)
        pieces = [piece.reshape(-1, D) for piece in weight.split([K, K, V, V], dim=1)]
        return pieces[3] if part == "gate" else torch.cat(pieces[:3])

    return read


def shrunk(which):
    return lambda get: get("in_proj_ba.weight").view(H, 2, D)[:, which]


QWEN3_NEXT: Table = {
    "query_key_value.weight": heads("query_key_value"),
    "gate.weight": heads("gate"),
    "beta.weight": shrunk(0),
    "decay.weight": shrunk(1),
    "decay.bias": same("dt_bias"),
    "rate": same("A_log"),
    "conv": lambda get: get("conv1d.weight").squeeze(1),
    "gain": same("norm.weight"),
    "output.weight": same("out_proj.weight"),
}


@pytest.fixture
def twins(monkeypatch):
    qwen = pytest.importorskip("transformers.models.qwen3_next", reason="the oracle is Qwen3-Next in transformers")
    modeling = qwen.modeling_qwen3_next
    for rule in ("torch_chunk_gated_delta_rule", "torch_recurrent_gated_delta_rule"):
        # Where flash-linear-attention is installed, its Triton kernels stand in for the code below these names.
        monkeypatch.setattr(modeling, rule, inspect.unwrap(getattr(modeling, rule)))
    config = qwen.Qwen3NextConfig(
        hidden_size=D, linear_num_value_heads=H, linear_num_key_heads=H, linear_key_head_dim=K, linear_value_head_dim=V,
        linear_conv_kernel_dim=4, rms_norm_eps=EPSILON, num_hidden_layers=1, layer_types=["linear_attention"],
    )  # fmt: skip
    torch.manual_seed(0)
    theirs = modeling.Qwen3NextGatedDeltaNet(config, 0)
    with torch.no_grad():
        for weight in theirs.parameters():
            weight += 0.1 * torch.randn_like(weight)
    ours = GatedDeltaNet(D=D, H=H, K=K, V=V, C=C, epsilon=EPSILON * K)
    copy_weights(ours, theirs, QWEN3_NEXT)
    return ours, theirs, config


@pytest.mark.parametrize("T", [1, 16, 70])
def test_equals_qwen3_next_in_outputs_and_gradients(twins, T):
    ours, theirs, _ = twins
    x = torch.randn(2, T, D)
    our_x, their_x = x.clone().requires_grad_(), x.clone().requires_grad_()
    assert_agree(ours, theirs, QWEN3_NEXT, (ours(our_x), theirs(their_x)), ((our_x,), (their_x,)))


@pytest.mark.parametrize("pieces", [(16, 1, 1, 2), (16, 16, 8), (7, 7, 6), (1,) * 12])
def test_carries_what_qwen3_next_carries(twins, pieces):
    from transformers import DynamicCache

    ours, theirs, config = twins
    x, cache, state = torch.randn(2, sum(pieces), D), DynamicCache(config=config), ours.init_state(2)
    with torch.no_grad():
        for piece in x.split(pieces, dim=1):
            y, state = ours.extend(piece, state)
            assert relative_error(y, theirs(piece, cache_params=cache)) < 1e-5
        assert relative_error(state.S_BHKV, cache.get_recurrent_state(0, state_idx=0)) < 1e-5


def drawn(T, dtype=torch.float64, *, forget=1.0):
    torch.manual_seed(0)
    q, k = (torch.nn.functional.normalize(torch.randn(2, T, H, K, dtype=dtype), dim=-1) for _ in "qk")
    v, beta = torch.randn(2, T, H, V, dtype=dtype), torch.rand(2, T, H, dtype=dtype)
    log_decay, state = -forget * torch.rand(2, T, H, dtype=dtype), torch.randn(2, H, K, V, dtype=dtype)
    return [x.requires_grad_() for x in (q, k, v, beta, log_decay, state)]


@pytest.mark.parametrize("T", [1, 5, 64, 65])
def test_the_rule_equals_that_of_flash_linear_attention(T):
    loop = naive("gated_delta_rule", "naive_recurrent_gated_delta_rule")
    q, k, v, beta, log_decay, state = drawn(T, torch.float32)
    y, end = delta_rule(q, k, v, beta, log_decay, state, C)
    their_y, their_end = loop(q, k, v, beta, log_decay, scale=1.0, initial_state=state, output_final_state=True)
    assert relative_error(y, their_y) < 1e-5
    assert relative_error(end, their_end) < 1e-5
    inputs = (q, k, v, beta, log_decay, state)
    loss = torch.randn_like(y)
    ours = torch.autograd.grad((y * loss).sum() + end.sum(), inputs)
    theirs = torch.autograd.grad((their_y * loss).sum() + their_end.sum(), inputs)
    assert all(relative_error(a, b) < 1e-5 for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("C", [1, 3, 16, 64])
def test_the_chunk_changes_nothing(C):
    *inputs, state = drawn(33)
    outputs, end = [], state
    for token in zip(*(x.unbind(1) for x in inputs), strict=True):
        y, end = delta_rule_step(*token, end)
        outputs.append(y)
    y, after = delta_rule(*inputs, state, C)
    torch.testing.assert_close(y, torch.stack(outputs, dim=1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(after, end, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("forget", [0.0, 0.01, 1.0, 100.0])
def test_stable_in_float32_over_long_sequences(forget):
    # exp(100·64) within a chunk would be ∞; a ratio of cumulated decays 0/0.
    T = 2000
    exact = drawn(T, forget=forget)
    rounded = [x.detach().float().requires_grad_() for x in exact]
    (y, _), (truth, _) = delta_rule(*rounded, 64), delta_rule(*exact, 64)
    assert relative_error(y.double(), truth) < 2e-6 * math.sqrt(T / 64)
    gradients = [torch.autograd.grad(out.sum(), inputs) for out, inputs in ((y, rounded), (truth, exact))]
    assert all(
        relative_error(a.double(), b) < 5e-6 * math.sqrt(T / 64) for a, b in zip(*gradients, strict=True) if b.any()
    )


def test_a_decay_of_zero_empties_the_state():
    q, k, v, beta, log_decay, state = drawn(9)
    gone = log_decay.detach().clone()
    gone[:, 5] = -torch.inf
    y, _ = delta_rule(q, k, v, beta, gone, state, 4)
    alone, _ = delta_rule(*(x[:, 5:] for x in (q, k, v, beta, log_decay)), torch.zeros_like(state), 4)
    torch.testing.assert_close(y[:, 5:], alone)


def test_the_gates_cost_three_projections_more_than_deltanet():
    from seqcost.formulas.mixers.deltanet import DeltaNet

    run = Workload(B=2, T=64)
    extra = Formula(D=48, H=4).flops(run), DeltaNet(D=48, H=4).flops(run)
    more = extra[0].total(Kind.CONTRACTION) - extra[1].total(Kind.CONTRACTION)
    assert more == 2 * 2 * 64 * 48 * (48 + 4)  # output gate and decay
