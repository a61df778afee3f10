"""Mamba-2: Hugging Face's mixer, the paper's counts, and chunks of any length."""

import math

import pytest
import small
import torch
import torch.nn.functional as F
from oracles import assert_agree, copy_weights, relative_error, same

from seqcost.algebra import Kind, symbols
from seqcost.formulas import Workload
from seqcost.formulas.mixers.mamba2 import Mamba2 as Formula
from seqcost.layers import Mamba2

VARIANTS = (
    small.Variant("mamba2-layer", "mamba2-layer", small.mamba2()),
    small.Variant("mamba2-layer-widths-differ", "mamba2-layer", small.mamba2(free=True)),
    small.Variant("mamba2-layer-sequential", "mamba2-layer", small.mamba2(), {"form": "sequential"}),
    small.Variant("mamba2", "mamba2", small.mamba2(model=True)),
)

D, H, N = 24, 6, 5
TABLE = {
    "input.weight": same("in_proj.weight"),
    "conv": lambda get: get("conv1d.weight").squeeze(1),
    "conv_bias": same("conv1d.bias"),
    "delta_bias": same("dt_bias"),
    "log_rate": same("A_log"),
    "skip": same("D"),
    "gain": same("norm.weight"),
    "output.weight": same("out_proj.weight"),
}


def randomised(module):
    """No weight as it is drawn at the start, where gain and skip are 1 everywhere."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in module.parameters():
            weight += 0.1 * torch.randn_like(weight)
    return module


def twins(groups, form="chunked"):
    modeling = pytest.importorskip("transformers.models.mamba2.modeling_mamba2", reason="the oracle is Hugging Face's")
    config = modeling.Mamba2Config(
        hidden_size=D, num_heads=H, head_dim=8, state_size=N, n_groups=groups, chunk_size=16, num_hidden_layers=1
    )
    theirs = randomised(modeling.Mamba2Mixer(config, 0))
    ours = Mamba2(D=D, H=H, G=groups, N=N, C=8, form=form)
    copy_weights(ours, theirs, TABLE)
    return ours, theirs


@pytest.mark.parametrize("form", ["chunked", "sequential"])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_equals_hugging_face_in_outputs_and_gradients(groups, form):
    ours, theirs = twins(groups, form)
    x = torch.randn(2, 37, D)
    our_x, their_x = x.clone().requires_grad_(), x.clone().requires_grad_()
    assert_agree(ours, theirs, TABLE, (ours(our_x), theirs(their_x)), ((our_x,), (their_x,)))


def loop(layer, x):
    """The whole layer in float64, token by token, from its weights."""
    w = {name: weight.detach().double() for name, weight in layer.named_parameters()}
    m = layer.config
    S, past = torch.zeros(x.shape[0], m.H, m.V, m.N).double(), torch.zeros(x.shape[0], m.k, m.channels).double()
    rows = []
    for t in range(x.shape[1]):
        z, u, r = (x[:, t].double() @ w["input.weight"].T).split([m.E, m.channels, m.H], dim=-1)
        past = torch.cat([past[:, 1:], u[:, None]], dim=1)
        u = F.silu((past * w["conv"].T).sum(1) + w["conv_bias"])
        v, B, C = u.split([m.E, m.G * m.N, m.G * m.N], dim=-1)
        v = v.unflatten(-1, (m.H, m.V))
        B, C = (s.unflatten(-1, (m.G, m.N)).repeat_interleave(m.H // m.G, dim=1) for s in (B, C))
        delta = F.softplus(r + w["delta_bias"])
        decay = torch.exp(-delta * w["log_rate"].exp())
        S = decay[..., None, None] * S + (delta[..., None] * v)[..., None] * B[:, :, None]
        s = ((S * C[:, :, None]).sum(-1) + w["skip"][:, None] * v).flatten(1) * F.silu(z)
        s = s.unflatten(-1, (m.G, -1))
        s = (s / (s.square().mean(-1, keepdim=True) + m.epsilon).sqrt()).flatten(1) * w["gain"]
        rows.append(s @ w["output.weight"].T)
    return torch.stack(rows, dim=1)


@pytest.mark.parametrize("pieces", [(16, 16, 16), (1, 0, 40, 7)])
@pytest.mark.parametrize("groups", [1, 3])
def test_several_tokens_at_once_carry_the_state(groups, pieces):
    ours = randomised(Mamba2(D=D, H=H, G=groups, N=N, C=8))
    x, state, y = torch.randn(2, 48, D), ours.init_state(2), []
    with torch.no_grad():
        for piece in x.split(pieces, dim=1):
            out, state = ours.extend(piece, state)
            y.append(out)
    assert relative_error(torch.cat(y, dim=1).double(), loop(ours, x)) < 2e-6


@pytest.mark.parametrize("C", [1, 16, 64, 256])
def test_a_long_text_in_float32(C):
    layer, x = randomised(Mamba2(D=D, H=H, N=N, C=C)), torch.randn(1, 2000, D)
    with torch.no_grad():
        assert relative_error(layer(x).double(), loop(layer, x)) < 2e-6 * math.sqrt(2000 / 64)


def test_parameters_of_the_measured_block():
    assert Formula(D=256, H=8, N=64).params().total() == 431_768


def test_products_of_the_chunks():
    # Dao & Gu 2024, section 6.3: scores T·C·N a group, within the chunk T·C·E, states and their reading T·E·N each.
    D, E, H, G, N, C, T, k = symbols("DEHGNCTk").values()
    bill = Formula(D=D, E=E, H=H, G=G, N=N, C=C, k=k).flops(Workload(T=C * T)).only(Kind.CONTRACTION)
    found = {line.name: (line.amount / (C * T)).simplify() for line in bill}
    assert found == {
        "project_input": 2 * D * (2 * E + 2 * G * N + H),
        "conv": 2 * k * (E + 2 * G * N),
        "scores": 2 * C * G * N,
        "within": 2 * C * E,
        "write": 2 * E * N,
        "read": 2 * E * N,
        "project_output": 2 * E * D,
    }


def test_the_state_is_that_of_mamba_with_a_wider_convolution():
    state = Formula(D=256, H=8, N=64, G=2).state_bytes(Workload(B=3, T=1000))
    assert {line.name: line.amount // 12 for line in state} == {"conv": 3 * (512 + 2 * 2 * 64), "ssd": 512 * 64}
