"""Quantised configurations: the bytes of what is stored, the FLOPs of the model, or a sentence.

The layouts are checked against bitsandbytes 0.50.2 (`quantize_4bit` with and without nested scales,
`int8_vectorwise_quant`) by hand; those of GPTQ, AWQ and fp8 are the tensors that their checkpoints hold.
"""

import pytest
import torch

from seqcost.algebra import Kind
from seqcost.errors import BadSize, BadTarget, TraceFailed
from seqcost.programs import Target
from seqcost.trace import trace

pytest.importorskip("transformers")

LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 256, "intermediate_size": 512,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 300, "dtype": "float16",
}  # fmt: skip
# Weights [N, K] of a layer: query, key, value, output, gate, up, down.
LAYER = [(256, 256), (128, 256), (128, 256), (256, 256), (512, 256), (512, 256), (256, 512)]
OTHERS = 2 * (2 * 300 * 256 + 5 * 256)  # the embedding, the head and the norms stay in float16
T = 32


def gptq(bits, group):
    def size(N, K):
        groups = 1 if group == -1 else K // group
        return K * N * bits // 8 + groups * N * bits // 8 + groups * N * 2 + K * 4

    return size


def awq(N, K):
    return K * N // 2 + K // 64 * N // 2 + K // 64 * N * 2


def fp8(N, K):
    return N * K + 4 * (N // 128) * (K // 128)


METHODS = {
    "gptq 4": ({"quant_method": "gptq", "bits": 4, "group_size": 128}, gptq(4, 128)),
    "gptq 3": ({"quant_method": "gptq", "bits": 3, "group_size": -1}, gptq(3, -1)),
    "gptq 8": ({"quant_method": "gptq", "bits": 8, "group_size": 64}, gptq(8, 64)),
    "awq": ({"quant_method": "awq", "bits": 4, "group_size": 64}, awq),
    "8 bit": ({"quant_method": "bitsandbytes", "load_in_8bit": True}, lambda N, K: N * K + 4 * N),
    "8 bit, old": ({"load_in_8bit": True}, lambda N, K: N * K + 4 * N),
    "4 bit": ({"quant_method": "bitsandbytes", "load_in_4bit": True}, lambda N, K: N * K // 2 + 4 * N * K // 64 + 64),
    "4 bit, nested": (
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_use_double_quant": True},
        lambda N, K: N * K // 2 + N * K // 64 + 4 * N * K // 64 // 256 + 64 + 4 * 256 + 4,
    ),
    "fp8": ({"quant_method": "fp8", "weight_block_size": [128, 128]}, fp8),
    "fp8 in one": ({"quant_method": "fp8"}, lambda N, K: N * K + 4),
    "fp8 a row": ({"quant_method": "fbgemm_fp8"}, lambda N, K: N * K + 4 * N),
}


def traced(packing, phase="forward", base=LLAMA, **options):
    config = base | ({} if packing is None else {"quantization_config": packing})
    target = Target.of_spec({"kind": "hugging-face", "name": "model", "config": config})
    return trace(target, phase=phase, B=1, T=T, lengths=(), **options)


@pytest.mark.parametrize("method", METHODS)
def test_the_bytes_are_those_that_are_stored(method):
    packing, size = METHODS[method]
    plain, found = traced(None), traced(packing)
    assert found.memory.categories["parameters"] == OTHERS + 2 * sum(size(N, K) for N, K in LAYER)
    assert found.params == plain.params == 2 * sum(N * K for N, K in LAYER) + OTHERS // 2
    assert found.flops.total(Kind.CONTRACTION) == plain.flops.total(Kind.CONTRACTION)
    assert found.uncounted == ()
    assert found.dtype == "float16"
    assert "14 layers are read as they are stored" in found.conventions["quantised"]
    # Each weight is read once, as it is stored; everything else is as before.
    saved = 2 * sum(2 * N * K - size(N, K) for N, K in LAYER)
    assert plain.traffic.total() - found.traffic.total() == saved


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_another_data_type_leaves_what_is_stored(dtype):
    packing, size = METHODS["gptq 4"]
    found = traced(packing, dtype=dtype)
    others = OTHERS // 2 * torch.empty(0, dtype=getattr(torch, dtype)).element_size()
    assert found.memory.categories["parameters"] == others + 2 * sum(size(N, K) for N, K in LAYER)


def test_the_gradient_goes_to_the_input_alone():
    plain, found = traced(None, phase="train"), traced(METHODS["4 bit"][0], phase="train")
    weights = 2 * sum(2 * T * N * K for N, K in LAYER)
    assert plain.flops.total(Kind.CONTRACTION) - found.flops.total(Kind.CONTRACTION) == weights
    assert found.uncounted == ()


def test_what_is_not_to_be_converted_is_left():
    packing = {"quant_method": "awq", "bits": 4, "group_size": 64, "modules_to_not_convert": ["mlp", "lm_head"]}
    left = sum(N * K for N, K in LAYER[4:])
    expected = OTHERS + 2 * (sum(awq(N, K) for N, K in LAYER[:4]) + 2 * left)
    assert traced(packing).memory.categories["parameters"] == expected
    only = {"quant_method": "gptq", "bits": 4, "group_size": 128, "modules_in_block_to_quantize": [["mlp.down_proj"]]}
    expected = OTHERS + 2 * (2 * sum(N * K for N, K in LAYER[:6]) + gptq(4, 128)(256, 512))
    assert traced(only).memory.categories["parameters"] == expected


def test_layers_of_gpt2_are_linear_too():
    gpt2 = {"model_type": "gpt2", "n_embd": 64, "n_layer": 1, "n_head": 2, "vocab_size": 100}
    found, plain = traced({"load_in_8bit": True}, base=gpt2), traced(None, base=gpt2)
    weights = 12 * 64 * 64
    saved = 4 * weights - (weights + 4 * (192 + 64 + 256 + 64))
    assert plain.memory.categories["parameters"] - found.memory.categories["parameters"] == saved


@pytest.mark.parametrize("method", ["aqlm", "compressed-tensors", "", "GPTQ?"])
def test_other_methods_are_refused_in_a_sentence(method):
    with pytest.raises(BadTarget, match=r"gptq, awq, bitsandbytes, fp8, fbgemm_fp8, mxfp4 are counted"):
        traced({"quant_method": method, "bits": 4})


@pytest.mark.parametrize(
    ("packing", "error", "words"),
    [
        ({"quant_method": "gptq", "bits": 5}, BadSize, "bits = 5"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 0}, BadSize, "group_size = 0"),
        ({"quant_method": "gptq", "bits": 4, "group_size": "all"}, BadSize, "group_size = 'all'"),
        ({"quant_method": "gptq", "bits": 4, "dynamic": {"x": {}}}, BadTarget, "dynamic"),
        (
            {"quant_method": "awq", "bits": 4, "modules_to_not_convert": ["model", "lm_head"]},
            BadTarget,
            "no layer for it",
        ),
        ("int4", BadTarget, "an object is allowed"),
    ],
)
def test_odd_settings_are_refused(packing, error, words):
    with pytest.raises(error, match=words):
        traced(packing)


def test_packed_weights_are_never_run():
    from seqcost.programs.hugging_face.quantised import packed_linear

    with pytest.raises(TraceFailed, match="no values"):
        packed_linear(torch.ones(2, 4), [torch.ones(4, 4)], 4, 1)
