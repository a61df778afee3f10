"""Configurations of transformers' model types, made smaller: few layers, or few layers and little width.

A default configuration is written out, changed and read in again. `few_layers` keeps every width: as many layers as it
takes to meet each kind of them (at least two). `small` takes little width too, so that the model can be run; not every
type can be made small by names alone.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

LAYERS = re.compile(
    r"^(num_hidden_layers|num_layers|n_layer|n_layers|encoder_layers|decoder_layers|num_decoder_layers"
    r"|encoder_num_layers|decoder_num_layers|num_encoder_layers|encoder_num_hidden_layers|decoder_num_hidden_layers"
    r"|depth|num_blocks|layers|num_mtp_modules|num_nextn_predict_layers)$"
)
MOST_LAYERS = 12  # of a model that has many kinds of them
KINDS = re.compile(r"^(layer_types|layers_block_type|block_types|mlp_layer_types|hybrid_override_pattern)$")

# Kinds of layers that follow each other by a rule instead of a list.
OWN: Mapping[str, Mapping[str, Any]] = {
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1},
    "nllb-moe": {"encoder_sparse_step": 2, "decoder_sparse_step": 2},
    "switch_transformers": {"num_sparse_encoder_layers": 1, "num_sparse_decoder_layers": 1},
    "funnel": {"block_sizes": [1, 1, 1], "block_repeats": [1, 1, 1]},
    "zamba": {"num_hidden_layers": 3, "layers_block_type": ["linear_attention", "hybrid", "hybrid"]},
    "xlstm": {"num_blocks": 2, "num_hidden_layers": 2},
    # What a default leaves open.
    "bamba": {"attn_layer_indices": [1]},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "ministral": {"head_dim": 128},
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128},
    "nemotron": {"num_key_value_heads": 8, "head_dim": 128},
    "deepseek_v2": {"num_experts_per_tok": 6},
    "dots1": {"n_routed_experts": 128, "num_experts_per_tok": 6, "n_shared_experts": 2},
    "recurrent_gemma": {"num_hidden_layers": 3},
    "xmod": {"default_language": "en_XX"},
    "esm": {"vocab_size": 33, "pad_token_id": 1},
}
# Written out by a configuration that derives them from the number of layers.
DERIVED = ("transformers_version", "architectures", "out_features", "out_indices", "stage_names")
DENSE_FIRST = ("first_k_dense_replace", "moe_layer_start_index", "num_dense_layers", "first_k_dense")
SMALL: Mapping[str, Any] = {
    "hidden_size": 64, "d_model": 64, "n_embd": 64, "emb_dim": 64, "dim": 64, "embed_dim": 64, "embedding_size": 64,
    "word_embed_proj_dim": 64, "d_embed": 64, "attention_hidden_size": 64, "lru_width": 64, "time_step_rank": 4,
    "num_attention_heads": 4, "n_head": 4, "n_heads": 4, "num_heads": 4, "attention_heads": 4,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "num_key_value_heads": 2, "num_kv_heads": 2,
    "head_dim": 16, "d_kv": 16, "d_head": 16, "attention_head_size": 16, "kv_channels": 16, "rotary_dim": 8,
    "intermediate_size": 128, "ffn_dim": 128, "d_ff": 128, "d_inner": 128, "n_inner": 128, "ffn_hidden_size": 128,
    "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "hidden_dim": 128, "feed_forward_size": 128,
    "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32, "expert_ffn_hidden_size": 32,
    "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "qk_head_dim": 16,
    "v_head_dim": 16, "num_local_experts": 8, "num_experts": 8, "n_routed_experts": 8, "moe_num_experts": 8,
    "num_experts_per_tok": 2, "num_experts_per_token": 2, "moe_topk": 2, "n_group": 1, "topk_group": 1,
    "vocab_size": 512, "max_position_embeddings": 2048, "n_positions": 2048, "sliding_window": 64,
}  # fmt: skip


def default_of(kind: str) -> dict[str, Any]:
    """The configuration of a type that nothing was set in, as plain data."""
    from transformers import AutoConfig

    found: dict[str, Any] = AutoConfig.for_model(kind).to_dict()
    return _cleared(found) | {"model_type": kind}


def few_layers(kind: str) -> dict[str, Any]:
    """Two layers, or as many as show each kind."""
    return _everywhere(default_of(kind), _fewer) | OWN.get(kind, {})


def small(kind: str, **others: Any) -> dict[str, Any]:
    """Few layers of little width; `others` are set last, in the outermost part."""
    return _everywhere(few_layers(kind), _narrower) | others


def _cleared(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in DERIVED}


def _everywhere(config: dict[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """A configuration and those inside it."""
    inner = {
        name: _everywhere(_cleared(value), change)
        for name, value in config.items()
        if isinstance(value, dict) and (name.endswith("_config") or name in ("encoder", "decoder"))
    }
    return change(config | inner)


def _fewer(config: dict[str, Any]) -> dict[str, Any]:
    counts = {n: v for n, v in config.items() if LAYERS.match(n) and type(v) is int and v > 2}
    out = dict(config)
    for name, count in counts.items():
        lists = {n: v for n, v in config.items() if isinstance(v, list | tuple) and len(v) == count and count > 2}
        wanted = 2
        for kinds in (v for n, v in lists.items() if KINDS.match(n)):
            wanted = max(wanted, *(kinds.index(kind) + 1 for kind in dict.fromkeys(kinds)))
        wanted = min(wanted, MOST_LAYERS, count)
        out[name] = wanted
        out |= {n: v[:wanted] for n, v in lists.items()}
        by_layer = config.get("per_layer_config")
        if isinstance(by_layer, dict):
            out["per_layer_config"] = {n: v for n, v in by_layer.items() if int(n) < wanted}
    out |= {n: 1 for n in DENSE_FIRST if type(config.get(n)) is int and config[n] > 1}
    return out


def _narrower(config: dict[str, Any]) -> dict[str, Any]:
    less = {n: size for n, size in SMALL.items() if type(config.get(n)) is int and config[n] > size}
    if config.get("head_dim") is not None and config.get("head_dim") == config.get("qk_rope_head_dim"):
        less["head_dim"] = less.get("qk_rope_head_dim", config["head_dim"])  # of latent attention, what rotates
    words = less.get("vocab_size")
    tokens = [n for n, v in config.items() if n.endswith("_token_id") and type(v) is int and words and v >= words]
    return config | less | dict.fromkeys(tokens, 0)
