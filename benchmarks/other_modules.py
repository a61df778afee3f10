"""Modules of other packages at two widths, as targets: `other_modules:D128.gpt2`. Nothing was calibrated with them.

What makes one is imported when it is asked for, torch too; the widths are those of accuracy_jobs.
"""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

# transformers takes its kernels for a GPU when it is installed, not when there is a GPU.
sys.modules.setdefault("fla", None)  # type: ignore[arg-type]

WORDS, HEADS, DEPTH, LONGEST = 256, 8, 2, 2048
DECODES = ("gpt2", "llama", "mamba")  # those whose cache a step can be taken from
NAMES = (
    "encoder_layer", "gru", "gpt2", "llama", "bert", "mamba", "x_decoder", "mambapy", "min_gru", "performer",
    "local_transformer",
)  # fmt: skip


@dataclass(frozen=True)
class Width:
    """The modules at a width of D."""

    D: int

    def encoder_layer(self) -> "nn.Module":
        """torch.nn.TransformerEncoderLayer."""
        from torch import nn

        return nn.TransformerEncoderLayer(self.D, HEADS, 4 * self.D, batch_first=True)

    def gru(self) -> "nn.Module":
        """torch.nn.GRU, two layers."""
        from torch import nn

        return nn.GRU(self.D, self.D, num_layers=DEPTH, batch_first=True)

    def gpt2(self) -> "nn.Module":
        """Two layers of transformers' GPT-2."""
        return _causal("GPT2", n_embd=self.D, n_layer=DEPTH, n_head=HEADS, n_positions=LONGEST)

    def llama(self) -> "nn.Module":
        """Two layers of transformers' Llama, two queries a key."""
        return _causal(
            "Llama", hidden_size=self.D, num_hidden_layers=DEPTH, num_attention_heads=HEADS,
            num_key_value_heads=HEADS // 2, intermediate_size=3 * self.D, max_position_embeddings=LONGEST,
        )  # fmt: skip

    def bert(self) -> "nn.Module":
        """Two layers of transformers' BERT."""
        import transformers

        config = transformers.BertConfig(
            vocab_size=WORDS, hidden_size=self.D, num_hidden_layers=DEPTH, num_attention_heads=HEADS,
            intermediate_size=4 * self.D, max_position_embeddings=LONGEST,
        )  # fmt: skip
        return transformers.AutoModel.from_config(config)

    def mamba(self) -> "nn.Module":
        """Two layers of transformers' Mamba, which goes through the tokens in Python."""
        return _causal("Mamba", hidden_size=self.D, num_hidden_layers=DEPTH, state_size=16)

    def x_decoder(self) -> "nn.Module":
        """Two layers of x-transformers' decoder."""
        import x_transformers

        layers = x_transformers.Decoder(dim=self.D, depth=DEPTH, heads=HEADS)
        return x_transformers.TransformerWrapper(num_tokens=WORDS, max_seq_len=LONGEST, attn_layers=layers)

    def mambapy(self) -> "nn.Module":
        """Two layers of mambapy's Mamba, which scans."""
        from mambapy.mamba import Mamba, MambaConfig

        return Mamba(MambaConfig(d_model=self.D, n_layers=DEPTH))

    def min_gru(self) -> "nn.Module":
        """The layer of minGRU-pytorch."""
        from minGRU_pytorch import minGRU

        return minGRU(self.D)

    def performer(self) -> "nn.Module":
        """The attention of performer-pytorch, both ways."""
        from performer_pytorch import SelfAttention

        return SelfAttention(self.D, heads=HEADS, dim_head=self.D // HEADS)

    def local_transformer(self) -> "nn.Module":
        """Two layers of local-attention's transformer, windows of 64."""
        from local_attention import LocalTransformer

        sizes = {"dim": self.D, "depth": DEPTH, "heads": HEADS, "dim_head": self.D // HEADS}
        return LocalTransformer(num_tokens=WORDS, max_seq_len=LONGEST, causal=True, local_attn_window_size=64, **sizes)


def _causal(kind: str, **sizes: Any) -> "nn.Module":
    import transformers

    config = getattr(transformers, f"{kind}Config")(vocab_size=WORDS, bos_token_id=1, eos_token_id=2, **sizes)
    return transformers.AutoModelForCausalLM.from_config(config)


D128, D512 = Width(128), Width(512)
