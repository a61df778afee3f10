"""Experts that are stored packed in one tensor: MXFP4 against the sizes of the published checkpoints, fp8 by hand."""

import pytest
import torch

from seqcost.algebra import Kind
from seqcost.errors import BadSize, BadTarget, TraceFailed
from seqcost.programs import Target
from seqcost.trace import trace

pytest.importorskip("transformers")

GPT_OSS = {
    "model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"], "hidden_size": 2880, "intermediate_size": 2880,
    "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 201088,
    "num_experts_per_tok": 4, "dtype": "bfloat16",
}  # fmt: skip
# As it stands in the published configurations.
MXFP4 = {"quant_method": "mxfp4",
         "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens",
                                    "lm_head"]}  # fmt: skip
SMALL = GPT_OSS | {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_local_experts": 4,
                   "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 100,
                   "num_experts_per_tok": 2}  # fmt: skip
MIXTRAL = {
    "model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "hidden_size": 256, "intermediate_size": 192,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 300, "dtype": "bfloat16",
    "num_local_experts": 4, "num_experts_per_tok": 2,
}  # fmt: skip
FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}
T = 32


def traced(config, packing=None, phase="forward", **options):
    config = config | ({} if packing is None else {"quantization_config": packing})
    target = Target.of_spec({"kind": "hugging-face", "name": "model", "config": config})
    return trace(target, phase=phase, B=1, T=T, lengths=(), **options)


# Layers, experts and the `total_size` of model.safetensors.index.json, by its name.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("layers", "experts", "size", "params"),
    [(24, 32, 13_761_264_768, 20_914_757_184), (36, 128, 65_248_815_744, 116_829_156_672)],
    ids=["gpt-oss-20b", "gpt-oss-120b"],
)
def test_the_bytes_are_those_of_the_published_files(layers, experts, size, params):
    config = GPT_OSS | {"num_hidden_layers": layers, "num_local_experts": experts}
    found = traced(config, MXFP4)
    assert found.memory.categories["parameters"] == size
    assert found.params == params
    assert found.uncounted == ()
    assert (found.rung, found.dtype) == ("fake tensors", "bfloat16")


def mxfp4(E, N, K):
    """Blocks of 32 numbers of 4 bits, and a scale of 8 bits for each block."""
    return E * N * (K // 32) * (16 + 1)


def fp8(E, N, K):
    """Of the gate, the value and the output, each a matrix of its own with scales of its own."""
    return E * (N * K + 4 * -(-N // 128) * -(-K // 128))


STACKS = {
    "mxfp4": (SMALL, MXFP4, [(2 * 96, 64), (64, 96)], lambda: mxfp4(4, 192, 64) + mxfp4(4, 64, 96)),
    "fp8": (MIXTRAL, FP8 | {"modules_to_not_convert": ["self_attn", "gate", "lm_head"]}, [(2 * 192, 256), (256, 192)],
            lambda: 2 * fp8(4, 192, 256) + fp8(4, 256, 192)),
    "fp8 in one": (MIXTRAL, {"quant_method": "fp8", "modules_to_not_convert": ["self_attn", "gate", "lm_head"]},
                   [(2 * 192, 256), (256, 192)], lambda: 4 * (3 * 192 * 256 + 3 * 4)),
}  # fmt: skip


@pytest.mark.parametrize("method", STACKS)
@pytest.mark.parametrize("phase", ["forward", "train"])
def test_what_is_stored_is_read_and_products_are_as_before(method, phase):
    config, packing, matrices, stored = STACKS[method]
    plain, found = traced(config, phase=phase), traced(config, packing, phase)
    weights = 2 * 4 * sum(N * K for N, K in matrices)  # of two layers, four experts
    assert plain.memory.categories["parameters"] - found.memory.categories["parameters"] == 2 * weights - 2 * stored()
    assert found.params == plain.params
    rows = T * 2  # tokens, experts of each
    products = 2 * 2 * rows * sum(N * K for N, K in matrices)
    lost = 0 if phase == "forward" else products  # no gradients go to what is packed
    assert plain.flops.total(Kind.CONTRACTION) - found.flops.total(Kind.CONTRACTION) == lost
    assert found.uncounted == ()
    if phase == "forward":  # every stored tensor is read once, everything else is as before
        assert plain.traffic.total() - found.traffic.total() == 2 * weights - 2 * stored()
    assert "2 mixtures' experts are read as they are stored" in found.conventions["quantised"]


def test_a_step_of_decoding_and_another_data_type():
    plain, found = traced(SMALL, phase="decode"), traced(SMALL, MXFP4, "decode")
    assert found.flops.total(Kind.CONTRACTION) == plain.flops.total(Kind.CONTRACTION)
    assert found.state_bytes == plain.state_bytes
    wide = traced(SMALL, MXFP4, dtype="float32")
    stacks = 2 * (mxfp4(4, 192, 64) + mxfp4(4, 64, 96))
    others = traced(SMALL, MXFP4).memory.categories["parameters"] - stacks
    assert wide.memory.categories["parameters"] == 2 * others + stacks


def test_linear_layers_are_packed_beside_experts():
    found = traced(MIXTRAL, FP8)
    assert "8 layers and 2 mixtures' experts are read" in found.conventions["quantised"]


@pytest.mark.parametrize(
    ("config", "packing", "error", "words"),
    [
        (MIXTRAL, {"quant_method": "awq", "bits": 4}, BadTarget, "experts lie in one tensor"),
        (MIXTRAL, {"quant_method": "fbgemm_fp8"}, BadTarget, "experts lie in one tensor"),
        (MIXTRAL, MXFP4, BadTarget, "experts lie in one tensor"),
        (MIXTRAL, FP8 | {"expert_dtype": "fp4"}, BadTarget, "experts lie in one tensor"),
        (SMALL, FP8, BadTarget, "experts lie in one tensor"),
        (SMALL, MXFP4 | {"dequantize": True}, BadTarget, "dequantize"),
        (SMALL, MXFP4 | {"modules_to_not_convert": ["model.layers.*.mlp"]}, BadTarget, "no layer for it"),
        (SMALL | {"intermediate_size": 80}, MXFP4, BadSize, "width 80"),
        ({"model_type": "gpt2", "n_layer": 1}, MXFP4, BadTarget, "no layer for it"),
    ],
    ids=["awq", "fbgemm", "mxfp4", "fp4", "biases", "dequantize", "none", "width", "gpt2"],
)
def test_what_has_no_packed_form_is_refused(config, packing, error, words):
    with pytest.raises(error, match=words):
        traced(config, packing)


def test_packed_experts_are_never_run():
    from seqcost.programs.hugging_face.quantised_experts import Stack, packed_grouped_mm

    stored = [torch.zeros(2, 4, 3, dtype=torch.uint8)]
    with pytest.raises(TraceFailed, match="no values"):
        packed_grouped_mm(torch.ones(5, 3), torch.tensor([2, 5]), stored, 4, 1)
    with pytest.raises(TraceFailed, match="grouped_mm alone"):
        torch.mm(torch.ones(5, 3), Stack(stored, 4, 3, 1, torch.float32))
