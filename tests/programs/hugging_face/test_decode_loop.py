"""A decoding step as it is traced, against the same step of a decoding loop by hand, on real tensors.

What is held against what, to the byte and to the FLOP: see decode_loops.
"""

import pytest
import torch
import transformers
from decode_loops import decoded

from seqcost.algebra import Kind
from seqcost.errors import BadTarget
from seqcost.programs import Target
from seqcost.programs.hugging_face.caches import call_with_cache
from seqcost.programs.hugging_face.runs import on_plain_torch
from seqcost.trace import trace

DENSE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
         "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 64}  # fmt: skip
WINDOWS = DENSE | {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"] * 2}
MODELS = {
    "llama": DENSE,
    "gpt2": {"n_embd": 32, "n_layer": 3, "n_head": 4, "vocab_size": 64, "n_positions": 300},
    "gemma3_text": WINDOWS,
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 64, "state_size": 8, "conv_kernel": 4},
    "mamba2": {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 64, "state_size": 8, "num_heads": 8,
               "head_dim": 8, "n_groups": 1, "chunk_size": 16},
    "jamba": DENSE | {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "num_experts": 4,
                      "mamba_d_state": 8, "mamba_d_conv": 4},
    "bamba": DENSE | {"attn_layer_indices": [1], "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8,
                      "mamba_n_groups": 1, "mamba_chunk_size": 16},
    "qwen3_next": DENSE | {"layer_types": ["linear_attention", "full_attention"] * 2, "num_experts": 4,
                           "num_experts_per_tok": 2, "moe_intermediate_size": 16, "linear_num_key_heads": 2,
                           "shared_expert_intermediate_size": 16, "linear_num_value_heads": 2,
                           "linear_key_head_dim": 8, "linear_value_head_dim": 8},
    "zamba2": {"hidden_size": 32, "num_hidden_layers": 4, "vocab_size": 64, "num_attention_heads": 4,
               "num_key_value_heads": 4, "intermediate_size": 64, "mamba_d_state": 8, "mamba_ngroups": 1,
               "n_mamba_heads": 8, "chunk_size": 16, "layers_block_type": ["mamba", "mamba", "hybrid", "mamba"],
               "num_mem_blocks": 1, "hybrid_layer_ids": [2]},
    "falcon_h1": DENSE | {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8,
                          "mamba_n_groups": 1, "mamba_chunk_size": 16},
    "lfm2": DENSE | {"layer_types": ["conv", "full_attention"], "num_hidden_layers": 2, "block_ff_dim": 64,
                     "block_multiple_of": 8},
    "t5": {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 64},
}  # fmt: skip
T = 50


def target_of(kind):
    return Target.of_spec({"kind": "hugging-face", "name": kind, "config": {"model_type": kind} | MODELS[kind]})


@pytest.mark.parametrize("kind", MODELS)
def test_a_step_is_that_of_a_loop(kind):
    model = target_of(kind).build(B=2, T=T).module.eval()
    with on_plain_torch():  # a package of kernels may be there, and runs on a GPU only
        real = decoded(model, torch.randint(2, 64, (2, T)))
    found = trace(target_of(kind), phase="decode", B=2, T=T, lengths=())
    assert found.state_bytes == real.cache_bytes
    assert found.flops.total(Kind.CONTRACTION) == real.flops
    assert found.peak_bytes == real.peak_bytes


def test_a_step_holds_no_second_cache():
    """A step needs the keys of one layer twice, when it makes longer ones: of all layers, never."""
    found = trace(target_of("llama"), phase="decode", B=2, T=10_000, lengths=())
    layer = found.state_bytes // MODELS["llama"]["num_hidden_layers"]
    scores = 2 * 4 * 10_000 * 4
    assert found.peak_bytes < 4 * found.params + found.state_bytes + layer + 2 * scores


class Deaf(torch.nn.Module):
    """Takes a cache under another name than it returns one, and drops the name that it does not know."""

    def forward(self, input_ids, past_key_values=None, use_cache=True, **kwargs):
        cache = transformers.DynamicCache() if past_key_values is None else past_key_values
        cache.update(torch.zeros(1, 1, input_ids.shape[1], 2), torch.zeros(1, 1, input_ids.shape[1], 2), 0)
        return {"logits": torch.zeros(1), "cache": cache}


def test_a_step_that_does_not_go_on_is_refused():
    _, carried = call_with_cache(Deaf(), {"input_ids": torch.zeros(1, 3)}, None)
    with pytest.raises(BadTarget, match="went on from another"):
        call_with_cache(Deaf(), {"input_ids": torch.zeros(1, 1)}, carried.argument())
