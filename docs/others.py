"""Small random models of other packages, which the page about `seqcost check` holds the invariants against.

Each function returns a module; the sizes are the smallest that keep every kind of layer.
"""

import sys
from typing import Any

# Its kernels for a GPU are taken when it is installed, not when there is a GPU.
sys.modules["fla"] = None  # type: ignore[assignment]

import transformers  # noqa: E402
from torch import nn  # noqa: E402

_SIZES = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "pad_token_id": 0}
_ENDS = {"bos_token_id": 1, "eos_token_id": 2}
_ATTENTION = {
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 256,
}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}


def _model(kind: str, **sizes: Any) -> nn.Module:
    config = getattr(transformers, f"{kind}Config")(**_SIZES | _ENDS | sizes)
    return transformers.AutoModelForCausalLM.from_config(config)


def gpt2() -> nn.Module:
    return _model("GPT2", n_embd=32, n_layer=2, n_head=4, n_positions=256)


def llama() -> nn.Module:
    return _model("Llama", **_ATTENTION)


def mistral() -> nn.Module:
    return _model("Mistral", **_ATTENTION, sliding_window=16)


def mamba() -> nn.Module:
    return _model("Mamba", state_size=8)


def falcon_mamba() -> nn.Module:
    return _model("FalconMamba", state_size=8)


def mamba2() -> nn.Module:
    return _model("Mamba2", num_heads=8, head_dim=8, state_size=8, n_groups=2, chunk_size=16)


def qwen3_next() -> nn.Module:
    heads = {"linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8}
    return _model(
        "Qwen3Next",
        **_ATTENTION,
        **_EXPERTS,
        **heads,
        linear_value_head_dim=8,
        head_dim=8,
        shared_expert_intermediate_size=16,
        layer_types=["linear_attention", "full_attention"],
    )


def minimax() -> nn.Module:
    return _model(
        "MiniMax", **_ATTENTION, num_local_experts=2, head_dim=8, layer_types=["linear_attention", "full_attention"]
    )


def xlstm() -> nn.Module:
    return _model("xLSTM", hidden_size=64, num_heads=4, qk_dim_factor=1.0, v_dim_factor=1.0, num_blocks=2)


def rwkv() -> nn.Module:
    return _model("Rwkv", attention_hidden_size=32, context_length=256)


def bamba() -> nn.Module:
    return _model(
        "Bamba",
        **_ATTENTION,
        mamba_n_heads=8,
        mamba_d_head=8,
        mamba_d_state=8,
        mamba_chunk_size=16,
        attn_layer_indices=[1],
    )


def recurrent_gemma() -> nn.Module:
    sizes = {"num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
    return _model("RecurrentGemma", **sizes, lru_width=32, attention_window_size=64)


def reformer() -> nn.Module:
    chunks = {"local_attn_chunk_length": 16, "lsh_attn_chunk_length": 16, "num_buckets": 4, "num_hashes": 2}
    return _model(
        "Reformer",
        **chunks,
        num_attention_heads=2,
        attention_head_size=16,
        attn_layers=["local", "lsh"],
        is_decoder=True,
        axial_pos_embds=False,
        max_position_embeddings=256,
        feed_forward_size=48,
        hash_seed=0,
    )


def mingru_pytorch() -> nn.Module:
    from minGRU_pytorch import minGRU

    return minGRU(32)


def minlstm_pytorch() -> nn.Module:
    from minGRU_pytorch.minLSTM import minLSTM

    return minLSTM(32)


def torch_lstm() -> nn.Module:
    return nn.LSTM(32, 32, batch_first=True)


OTHERS = {
    "torch.nn.LSTM": torch_lstm,
    "transformers gpt2": gpt2,
    "transformers llama": llama,
    "transformers mistral, window 16": mistral,
    "transformers mamba": mamba,
    "transformers falcon_mamba": falcon_mamba,
    "transformers mamba2": mamba2,
    "transformers qwen3_next": qwen3_next,
    "transformers minimax": minimax,
    "transformers xlstm": xlstm,
    "transformers rwkv": rwkv,
    "transformers bamba": bamba,
    "transformers recurrent_gemma": recurrent_gemma,
    "transformers reformer": reformer,
    "minGRU-pytorch minGRU": mingru_pytorch,
    "minGRU-pytorch minLSTM": minlstm_pytorch,
}
