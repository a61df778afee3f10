"""Mixtures of experts: products of groups of rows, counted on fake tensors as they run on real ones."""

from contextlib import nullcontext

import pytest
import torch
from torch.nn.functional import grouped_mm

from seqcost.algebra import Kind
from seqcost.fakes.faking import fake_mode
from seqcost.programs import Target
from seqcost.questions.count import count
from seqcost.trace import trace, watch

SETTINGS = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4,
            "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 64, "num_local_experts": 4,
            "num_experts_per_tok": 2}  # fmt: skip


def run(mode):
    """Six rows in three groups, and the gradients of both sides."""
    with mode:
        x = torch.randn(6, 16, requires_grad=True)
        w = torch.randn(3, 8, 16, requires_grad=True)
        offsets = torch.tensor([1, 4, 6], dtype=torch.int32)
        with watch() as seen:
            y = grouped_mm(x, w.transpose(1, 2), offs=offsets)
            (y * y).sum().backward()
        return seen.flops.total(Kind.CONTRACTION), seen.uncounted, [(t.shape, t.stride()) for t in (y, x.grad, w.grad)]


def test_every_row_meets_one_matrix():
    flops, uncounted, shapes = run(nullcontext())
    assert flops == 3 * 2 * 6 * 16 * 8  # forward, and for each operand's gradient
    assert uncounted == ()
    assert run(fake_mode()) == (flops, uncounted, shapes)


@pytest.mark.parametrize("phase", ["forward", "train"])
def test_mixtral_is_traced_in_float32(phase):
    config = {"model_type": "mixtral"} | SETTINGS
    target = Target.of_spec({"kind": "hugging-face", "name": "mixtral", "config": config})
    found = trace(target, phase=phase, B=1, T=64)
    assert found.rung == "fake tensors"
    assert found.uncounted == ()
    lines = [line for line in found.flops if "_grouped_mm" in line.name]
    passes = 1 if phase == "forward" else 3
    assert (
        sum(line.amount for line in lines) == passes * 2 * 64 * 2 * 3 * 32 * 64
    )  # two experts per token, three matrices


def test_the_answer_names_the_assumption():
    answer = count("hf:mixtral", length=8, sizes=SETTINGS)
    assert "no token is dropped" in answer.conventions["experts"]
    assert "experts" not in count("hf:gpt2", length=8, sizes={"n_layer": 1}).conventions


def test_where_experts_do_nothing_the_answer_says_that_the_router_decides():
    sizes = {"hidden_size": 32, "num_layers": 1, "num_attention_heads": 4, "vocab_size": 64, "ffn_hidden_size": 32,
             "q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8,
             "head_dim": 8, "expert_ffn_hidden_size": 16, "n_routed_experts": 4, "zero_expert_num": 4,
             "moe_topk": 2}  # fmt: skip
    target = Target.of_spec({"kind": "hugging-face", "name": "longcat_flash",
                             "config": {"model_type": "longcat_flash"} | sizes})  # fmt: skip
    totals = set()
    for seed in range(4):
        torch.manual_seed(seed)
        found = trace(target, phase="forward", B=1, T=16, lengths=())
        totals.add(found.flops.total(Kind.CONTRACTION))
        assert "4 of them give back what they are given" in found.conventions["experts"]
    expert = 2 * 3 * 32 * 16  # of one token: three matrices
    assert len(totals) > 1
    assert all((total - min(totals)) % expert == 0 and total - min(totals) <= 16 * 2 * expert for total in totals)
