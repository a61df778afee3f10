"""Small random models of other packages, which the page about `seqcost check` holds the invariants against.

Each function returns a module; the sizes are the smallest that keep every kind of layer. Two need
titans-pytorch and what it imports, which the tests do not install.
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


def _encoder(kind: str, **sizes: Any) -> nn.Module:
    heads = {name: size for name, size in _ATTENTION.items() if name != "num_key_value_heads"}
    config = getattr(transformers, f"{kind}Config")(**_SIZES | _ENDS | heads | sizes)
    return transformers.AutoModel.from_config(config)


def bert() -> nn.Module:
    return _encoder("Bert")


def roberta() -> nn.Module:
    return _encoder("Roberta", pad_token_id=1, bos_token_id=0)


def electra() -> nn.Module:
    return _encoder("Electra", embedding_size=32)


def convbert() -> nn.Module:
    return _encoder("ConvBert", embedding_size=32)


def jamba() -> nn.Module:
    layers = {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1}
    mamba = {"mamba_d_state": 8, "mamba_dt_rank": 4, "use_mamba_kernels": False, "num_experts": 2}
    return _model("Jamba", **_ATTENTION, **layers, **mamba)


def granite_moe_hybrid() -> nn.Module:
    mamba = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 16}
    experts = {"num_local_experts": 2, "num_experts_per_tok": 1, "shared_intermediate_size": 48}
    return _model("GraniteMoeHybrid", **_ATTENTION, **mamba, **experts, layer_types=["mamba", "attention"])


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


def performer_pytorch() -> nn.Module:
    from performer_pytorch import SelfAttention

    return SelfAttention(32, causal=True, heads=4, dim_head=8)


def _x_transformer(kind: str) -> nn.Module:
    import x_transformers

    layers = getattr(x_transformers, kind)(dim=32, depth=2, heads=4)
    return x_transformers.TransformerWrapper(num_tokens=50, max_seq_len=256, attn_layers=layers)


def x_decoder() -> nn.Module:
    return _x_transformer("Decoder")


def x_encoder() -> nn.Module:
    return _x_transformer("Encoder")


def local_transformer() -> nn.Module:
    from local_attention import LocalTransformer

    sizes = {"dim": 32, "depth": 2, "heads": 4, "dim_head": 8, "local_attn_window_size": 16}
    return LocalTransformer(num_tokens=50, max_seq_len=256, causal=True, **sizes)


def titans_memory() -> nn.Module:
    from titans_pytorch import NeuralMemory

    return NeuralMemory(dim=32, chunk_size=8)


def titans_mac() -> nn.Module:
    from titans_pytorch import MemoryAsContextTransformer

    memory = {"segment_len": 16, "num_persist_mem_tokens": 2, "num_longterm_mem_tokens": 2}
    return MemoryAsContextTransformer(num_tokens=50, dim=32, depth=2, heads=4, dim_head=8, **memory)


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
    "transformers jamba": jamba,
    "transformers granitemoehybrid": granite_moe_hybrid,
    "transformers bert": bert,
    "transformers roberta": roberta,
    "transformers electra": electra,
    "transformers convbert": convbert,
    "x-transformers decoder": x_decoder,
    "x-transformers encoder": x_encoder,
    "local-attention transformer": local_transformer,
    "performer-pytorch, causal": performer_pytorch,
    "titans-pytorch NeuralMemory": titans_memory,
    "titans-pytorch MAC": titans_mac,
    "minGRU-pytorch minGRU": mingru_pytorch,
    "minGRU-pytorch minLSTM": minlstm_pytorch,
}
