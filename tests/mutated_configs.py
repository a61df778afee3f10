"""Hugging Face configurations with a few values spoilt, the same ones for the same seed and number.

A case is a small sound configuration in which one to three things were changed: another type, a negative number, zero,
a huge number, nothing, nested garbage, a key that is missing or one that nobody knows.
"""

import copy
import json
import random
from typing import Any

BASES: dict[str, dict[str, Any]] = {
    "gpt2": {"vocab_size": 64, "n_positions": 64, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_inner": None,
             "activation_function": "gelu_new", "tie_word_embeddings": True, "architectures": ["GPT2LMHeadModel"]},
    "bert": {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
             "intermediate_size": 32, "max_position_embeddings": 64, "type_vocab_size": 2, "hidden_act": "gelu",
             "pad_token_id": 0, "layer_norm_eps": 1e-12, "architectures": ["BertModel"]},
    "llama": {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
              "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4, "max_position_embeddings": 64,
              "rope_theta": 10000.0, "rope_scaling": None, "rms_norm_eps": 1e-6, "use_cache": False},
    "mistral": {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
                "num_attention_heads": 4, "num_key_value_heads": 2, "sliding_window": 8, "hidden_act": "silu"},
    "mixtral": {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
                "num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen2": {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
              "num_attention_heads": 4, "num_key_value_heads": 2, "layer_types": ["full_attention"] * 2},
    "t5": {"vocab_size": 64, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_decoder_layers": 1,
           "num_heads": 2, "relative_attention_num_buckets": 8, "feed_forward_proj": "gated-gelu"},
    "distilbert": {"vocab_size": 64, "dim": 16, "hidden_dim": 32, "n_layers": 1, "n_heads": 2,
                   "max_position_embeddings": 64, "sinusoidal_pos_embds": True},
    "mamba": {"vocab_size": 64, "hidden_size": 16, "state_size": 4, "num_hidden_layers": 1, "conv_kernel": 4,
              "expand": 2, "time_step_rank": "auto", "use_bias": False},
    "vit": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
            "image_size": 32, "patch_size": 16, "num_channels": 3, "id2label": {"0": "a", "1": "b"}},
    "whisper": {"vocab_size": 64, "num_mel_bins": 8, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1,
                "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32,
                "decoder_ffn_dim": 32, "max_source_positions": 4, "max_target_positions": 64, "pad_token_id": 0},
}  # fmt: skip

# Settings that a configuration may have besides; a mutation adds one with a spoilt value.
_OTHERS = ("num_labels", "id2label", "architectures", "torch_dtype", "dtype", "attn_implementation",
           "quantization_config",
           "is_decoder", "is_encoder_decoder", "add_cross_attention", "chunk_size_feed_forward", "pruned_heads",
           "problem_type", "tie_word_embeddings", "output_attentions", "return_dict", "text_config", "attention_bias",
           "_name_or_path", "auto_map", "rope_parameters", "layer_types", "transformers_version", "name_or_path",
           "output_hidden_states", "use_cache", "tokenizer_class", "gradient_checkpointing", "model_type")  # fmt: skip
_HUGE = (10**5, 10**6, 10**9, 2**31, 2**40, 2**63, 10**18, 10**30, 10**400)
_WORDS = ("", "gelu", "auto", "16", "-1", "nan", "\u0000", "😀", "x" * 3000, "../../etc", "BertModel", "float8", "4bit")
MUTATIONS = ("type", "negative", "zero", "huge", "none", "fraction", "missing", "nested", "unknown", "other")


def mutated(seed: int, number: int) -> tuple[str, dict[str, Any]]:
    """What was done to which settings, in words, and the configuration; it can be written as JSON."""
    draw = random.Random(f"{seed}/{number}")
    kind = draw.choice(sorted(BASES))
    config = {"model_type": kind} | copy.deepcopy(BASES[kind])
    words = []
    for _ in range(draw.choice((1, 1, 2, 3))):
        name, mutation = draw.choice(sorted(config) or ["model_type"]), draw.choice(MUTATIONS)
        if mutation == "missing":
            config.pop(name, None)
        elif mutation == "unknown":
            name = draw.choice(("frobnicate", "", "__class__", "forward", "to_dict", "self", "Ω", "model type"))
            config[name] = _value(draw, draw.choice(MUTATIONS[:6]))
        else:
            name = draw.choice(_OTHERS) if mutation == "other" else name
            config[name] = _value(draw, draw.choice(MUTATIONS[:6]) if mutation == "other" else mutation)
        words.append(f"{mutation} {name}")
    return f"{kind}: {', '.join(words)}", config


def _value(draw: random.Random, mutation: str) -> Any:
    if mutation == "type":
        return draw.choice([draw.choice(_WORDS), [], {}, True, False, [1, 2], {"a": 1}, 3, 1.5])
    if mutation == "negative":
        return draw.choice((-1, -2, -16, -(10**9), -0.5, -(2**63)))
    if mutation == "huge":
        return draw.choice((*_HUGE, 1e30, 1e300))
    if mutation == "fraction":
        return draw.choice((0.5, 1e-300, 7.25, float("nan"), float("inf")))
    if mutation == "nested":
        return _garbage(draw, draw.randint(1, 6))
    return 0 if mutation == "zero" else None


def _garbage(draw: random.Random, depth: int) -> Any:
    if depth == 0:
        return draw.choice((None, 0, -1, "x", 10**9, 1.5, True))
    inner = [_garbage(draw, depth - 1) for _ in range(draw.randint(0, 3))]
    keys = ("0", "type", "factor", "rope_type", "x", "model_type", "quant_method")
    return inner if draw.random() < 0.5 else {draw.choice(keys): value for value in inner}


def as_json(config: dict[str, Any]) -> str:
    """As a file would have it."""
    return json.dumps(config)
