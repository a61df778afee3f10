"""Diffusion Transformer: the paper's sizes and costs, diffusers' model with the same weights, the first step."""

import math

import pytest
import torch
from oracles import relative_error
from torch import nn

from seqcost.algebra import Kind, symbols
from seqcost.errors import BadSize
from seqcost.formulas import Workload
from seqcost.formulas.catalogue import configure
from seqcost.formulas.stacks.dit import DiT as Formula
from seqcost.layers import build
from seqcost.programs import Target
from seqcost.trace import trace

SIZES = {"D": 24, "L": 2, "H": 2, "F": 96, "M": 16, "patch": 2, "channels": 3, "classes": 7}

# Sizes of the paper's table 1: L, D, H; and the "Gflops" of each model at 256² with patches of 2²: multiply-adds.
PAPER = {"S": (12, 384, 6, 6.06), "B": (12, 768, 12, 23.01), "L": (24, 1024, 16, 80.71), "XL": (28, 1152, 16, 118.64)}


def test_parameters_of_xl_2():
    # 675 M in the paper; the positions, 294,912 numbers, are fixed.
    config = configure("dit-xl-2")
    assert config.params().total() == 674_834_720
    assert configure("dit-xl-2", positions="learned").params().total() == 674_834_720 + 294_912
    per_block = config.params().select("blocks").total() / config.L
    assert per_block == 18 * 1152**2 + 15 * 1152


@pytest.mark.parametrize("name", PAPER)
def test_the_paper_s_gflops_are_multiply_adds(name):
    L, D, H, gflops = PAPER[name]
    flops = Formula(D=D, L=L, H=H).flops(Workload(T=256)).total(Kind.CONTRACTION)
    assert flops / 2e9 == pytest.approx(gflops, rel=3e-3)


def test_products_of_xl_2():
    flops = configure("dit-xl-2").flops(Workload(T=256)).only(Kind.CONTRACTION)
    blocks = flops.select("blocks").total(*Kind)
    assert blocks == 28 * (24 * 256 * 1152**2 + 4 * 256**2 * 1152 + 12 * 1152**2)
    assert round(blocks / 2e9, 2) == 118.60


def test_a_model_as_a_function_of_its_sizes():
    B, T, D, L, H = symbols("BTDLH").values()
    flops = Formula(D=D, L=L, H=H).flops(Workload(B=B, T=T)).total(Kind.CONTRACTION)
    blocks = L * (24 * T * D**2 + 4 * T**2 * D + 12 * D**2)
    ends = 2 * T * 16 * D + (2 * 256 * D + 2 * D**2) + (4 * D**2 + 2 * T * D * 32)
    assert (flops - B * (blocks + ends)).expand() == 0


def rough(model):
    """Weights other than the zeros that it starts with."""
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.2 * torch.randn_like(weight)
    return model


@pytest.fixture
def ours():
    torch.manual_seed(0)
    return rough(build(Formula(**SIZES)))


def copied_to_diffusers(ours, theirs):
    """Our weights in their model, in which every block has a copy of the condition."""
    pairs = {"pos_embed.proj": "patches.project", "proj_out_1": "final.modulation", "proj_out_2": "final.project"}
    for i in range(len(ours.blocks)):
        their, our = f"transformer_blocks.{i}", f"blocks.{i}"
        pairs |= {
            f"{their}.norm1.linear": f"{our}.modulation",
            f"{their}.norm1.emb.timestep_embedder.linear_1": "condition.time_in",
            f"{their}.norm1.emb.timestep_embedder.linear_2": "condition.time_out",
            f"{their}.norm1.emb.class_embedder.embedding_table": "condition.labels",
            f"{their}.attn1.to_q": f"{our}.attention.query",
            f"{their}.attn1.to_k": f"{our}.attention.key",
            f"{their}.attn1.to_v": f"{our}.attention.value",
            f"{their}.attn1.to_out.0": f"{our}.attention.output",
            f"{their}.ff.net.0.proj": f"{our}.feed_forward.up",
            f"{their}.ff.net.2": f"{our}.feed_forward.down",
        }
    with torch.no_grad():
        for name, weight in theirs.named_parameters():
            module, kind = name.rsplit(".", 1)
            weight.copy_(ours.get_parameter(f"{pairs[module]}.{kind}"))
    return pairs


def test_equals_diffusers_in_outputs_and_gradients(ours):
    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
    theirs = diffusers.DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=3, out_channels=6, num_layers=2, sample_size=8,
        patch_size=2, num_embeds_ada_norm=7, norm_eps=1e-6,
    ).eval()  # fmt: skip
    ours, theirs = ours.double(), theirs.double()  # but for positions and times, float32 in both
    pairs = copied_to_diffusers(ours, theirs)
    # Theirs spaces the frequencies of the time by 1/127, the paper's code by 1/128.
    ours.condition.frequency.copy_(torch.exp(torch.arange(128) * -math.log(10000) / 127))
    latents, time, label = torch.randn(3, 3, 8, 8).double(), torch.tensor([0, 13, 999]), torch.tensor([0, 7, 3])
    ours_x, theirs_x = latents.clone().requires_grad_(), latents.clone().requires_grad_()
    y, expected = ours(ours_x, time, label), theirs(theirs_x, time, label).sample
    assert y.shape == expected.shape == (3, 6, 8, 8)
    assert relative_error(y, expected) < 1e-5
    seed = torch.randn_like(y)
    y.backward(seed)
    expected.backward(seed)
    assert relative_error(ours_x.grad, theirs_x.grad) < 1e-5
    gradients = {}
    for name, weight in theirs.named_parameters():
        module, kind = name.rsplit(".", 1)
        mine = f"{pairs[module]}.{kind}"
        gradients[mine] = gradients.get(mine, 0) + weight.grad
    assert set(gradients) == {name for name, _ in ours.named_parameters()}
    scale = max(float(g.abs().max()) for g in gradients.values())
    for name, gradient in gradients.items():
        assert float((ours.get_parameter(name).grad - gradient).abs().max()) < 1e-5 * scale, name


def test_equals_the_equations_written_out(ours):
    # Independent of diffusers: attention of torch.nn, the modulation by hand, positions by a loop.
    ours = ours.double()
    latents, time, label = torch.randn(2, 3, 8, 8).double(), torch.tensor([4, 500]), torch.tensor([1, 7])
    frequency = torch.tensor([10000 ** (-i / 128) for i in range(128)])
    angle = time[:, None] * frequency
    waves = torch.cat([angle.cos(), angle.sin()], 1).double()
    m = ours.condition
    c = nn.functional.silu(m.time_out(nn.functional.silu(m.time_in(waves))) + m.labels.weight[label])
    omega = [10000 ** (-i / 6) for i in range(6)]
    at = torch.tensor([
        [f(s * w) for s in (column, row) for f in (torch.sin, torch.cos) for w in map(torch.tensor, omega)]
        for row in range(4) for column in range(4)
    ])  # fmt: skip
    x = nn.functional.conv2d(latents, ours.patches.project.weight, ours.patches.project.bias, stride=2)
    x = x.flatten(2).mT + at.double()

    def norm(x, shift, scale):
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt() * (1 + scale[:, None]) + shift[:, None]

    for block in ours.blocks:
        s1, g1, a1, s2, g2, a2 = (c @ block.modulation.weight.T + block.modulation.bias).chunk(6, 1)
        multihead = nn.MultiheadAttention(24, 2, batch_first=True, dtype=torch.float64)
        parts = [getattr(block.attention, name) for name in ("query", "key", "value")]
        with torch.no_grad():
            multihead.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
            multihead.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        multihead.out_proj = block.attention.output
        y = norm(x, s1, g1)
        x = x + a1[:, None] * multihead(y, y, y, need_weights=False)[0]
        up = block.feed_forward.up(norm(x, s2, g2))
        x = x + a2[:, None] * block.feed_forward.down(nn.functional.gelu(up, approximate="tanh"))
    shift, scale = ours.final.modulation(c).chunk(2, 1)
    y = ours.final.project(norm(x, shift, scale))
    assert relative_error(ours(ours.patches.cut(latents), time, label), y) < 1e-6  # angles are float32
    image = ours(latents, time, label)
    assert relative_error(image[0, :, 2:4, 4:6], y[0, 6].view(2, 2, 6).permute(2, 0, 1)) < 1e-6


def test_starts_with_blocks_that_change_nothing():
    model = build(Formula(**SIZES))
    x, *condition = model.example_inputs(2, 16)
    assert model(x, *condition).abs().max() == 0
    tokens = model.patches(x)
    assert torch.equal(model.blocks[0](tokens, model.condition(*condition)), tokens)


def test_every_sequence_has_its_own_time_and_label(ours):
    x, time, label = ours.example_inputs(2, 16)
    one = ours(x, time, label)
    for other in (ours(x, time + torch.tensor([0, 1]), label), ours(x, time, torch.tensor([label[0], 7]))):
        assert torch.equal(one[0], other[0])
        assert (one[1] != other[1]).all()


def test_latents_cost_what_their_patches_cost_up_to_the_image(ours):
    config, time = ours.config, torch.zeros(2, dtype=torch.long)
    traced = trace(
        Target.of_module(ours, (torch.randn(2, 3, 8, 8), time, time)), phase="forward", B=2, T=16, lengths=()
    )
    assert traced.flops.total(Kind.CONTRACTION) == config.flops(Workload(B=2, T=16)).total(Kind.CONTRACTION)
    assert traced.flops.total(Kind.POINTWISE) == config.flops(Workload(B=2, T=16)).total(Kind.POINTWISE)


def test_what_is_refused(ours):
    x, time, label = ours.example_inputs(2, 16)
    with pytest.raises(BadSize, match=r"time of shape \(1,\) was given; \[2\] is allowed"):
        ours(x, time[:1], label)
    with pytest.raises(BadSize, match=r"label of shape \(2, 1\)"):
        ours(x, time, label[:, None])
    with pytest.raises(BadSize, match="call it on the whole sequence"):
        ours.init_state(2)
    with pytest.raises(BadSize, match="width D: 6 does not divide by 4"):
        Formula(**SIZES | {"D": 6})
