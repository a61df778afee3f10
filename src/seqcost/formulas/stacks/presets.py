"""Published models as settings of our components; each a function, so that any size can be overridden.

The parameter counts that these give are tested against the reference implementations'. Sources are the papers'
tables and the released configurations; where a family has versions, the remark says which one this is.
"""

from dataclasses import fields
from typing import Any

from seqcost.formulas.mixers.mamba import Mamba
from seqcost.formulas.stacks.dit import DiT
from seqcost.formulas.stacks.encoder_decoder import EncoderDecoder
from seqcost.formulas.stacks.language_model import LanguageModel
from seqcost.formulas.stacks.recurrent import Recurrent
from seqcost.formulas.stacks.transformer import Transformer
from seqcost.formulas.stacks.vit import ViT

BYTES = 256  # vocabulary of a model that reads raw bytes


def transformer(**sizes: Any) -> Transformer:
    """Pre-norm decoder over bytes with rotary positions, so that any length can be asked for."""
    return Transformer(**dict[str, Any](U=BYTES, D=512, L=6, H=8) | sizes)


def encoder(**sizes: Any) -> Transformer:
    """Pre-norm bidirectional encoder over bytes, features out."""
    return Transformer(**dict[str, Any](U=BYTES, D=512, L=6, H=8, causal=False, head="none") | sizes)


def encoder_decoder(**sizes: Any) -> EncoderDecoder:
    """Pre-norm encoder-decoder over bytes."""
    return EncoderDecoder(**dict[str, Any](U=BYTES, D=512, L=6, H=8, order="pre") | sizes)


def rnn(**sizes: Any) -> Recurrent:
    """Elman language model over bytes."""
    return Recurrent(**dict[str, Any](U=BYTES, D=512, L=2, cell="rnn") | sizes)


def lstm(**sizes: Any) -> Recurrent:
    """LSTM language model over bytes."""
    return Recurrent(**dict[str, Any](U=BYTES, D=512, L=2, cell="lstm") | sizes)


def gru(**sizes: Any) -> Recurrent:
    """GRU language model over bytes."""
    return Recurrent(**dict[str, Any](U=BYTES, D=512, L=2, cell="gru") | sizes)


def gpt2(**sizes: Any) -> Transformer:
    """Radford et al. 2019, table 2: 124M; context 1024, learned positions, tied head."""
    given = dict[str, Any](U=50257, D=768, L=12, H=12, M=1024, positions="learned", activation="gelu-tanh")
    return Transformer(**given | sizes)


def gpt2_medium(**sizes: Any) -> Transformer:
    """Radford et al. 2019, table 2: 355M."""
    return gpt2(**dict[str, Any](D=1024, L=24, H=16) | sizes)


def gpt2_large(**sizes: Any) -> Transformer:
    """Radford et al. 2019, table 2: 774M."""
    return gpt2(**dict[str, Any](D=1280, L=36, H=20) | sizes)


def gpt2_xl(**sizes: Any) -> Transformer:
    """Radford et al. 2019, table 2: 1.5B."""
    return gpt2(**dict[str, Any](D=1600, L=48, H=25) | sizes)


def gpt3_175b(**sizes: Any) -> Transformer:
    """Brown et al. 2020, arXiv 2005.14165, table 2.1; dense attention throughout (the paper alternates with sparse)."""
    return gpt2(**dict[str, Any](D=12288, L=96, H=96, M=2048) | sizes)


def bert_base(**sizes: Any) -> Transformer:
    """Devlin et al. 2018, arXiv 1810.04805, section 3: 110M, uncased vocabulary, with the pooler."""
    given = dict[str, Any](
        U=30522,
        D=768,
        L=12,
        H=12,
        M=512,
        A=2,
        causal=False,
        positions="learned",
        order="post",
        embedding_norm=True,
        epsilon=1e-12,
        head="pooler",
    )
    return Transformer(**given | sizes)


def bert_large(**sizes: Any) -> Transformer:
    """Devlin et al. 2018, section 3: 340M."""
    return bert_base(**dict[str, Any](D=1024, L=24, H=16) | sizes)


def llama_2_7b(**sizes: Any) -> Transformer:
    """Touvron et al. 2023, arXiv 2307.09288, table 1."""
    given = dict[str, Any](
        U=32000, D=4096, L=32, H=32, F=11008, positions="rope", norm="rms", activation="swiglu", bias=False, tied=False
    )
    return Transformer(**given | sizes)


def llama_3_8b(**sizes: Any) -> Transformer:
    """Grattafiori et al. 2024, arXiv 2407.21783, table 3."""
    return llama_2_7b(**dict[str, Any](U=128256, G=8, F=14336, rope_base=500000.0) | sizes)


def llama_3_70b(**sizes: Any) -> Transformer:
    """Grattafiori et al. 2024, table 3."""
    return llama_3_8b(**dict[str, Any](D=8192, L=80, H=64, F=28672) | sizes)


def llama_3_1_405b(**sizes: Any) -> Transformer:
    """Grattafiori et al. 2024, table 3; 8 key/value heads."""
    return llama_3_8b(**dict[str, Any](D=16384, L=126, H=128, F=53248) | sizes)


def mistral_7b(**sizes: Any) -> Transformer:
    """Jiang et al. 2023, arXiv 2310.06825, table 1, as version 0.2: full attention; 0.1 has a window of 4,096."""
    return llama_2_7b(**dict[str, Any](G=8, F=14336) | sizes)


def mamba_130m(**sizes: Any) -> LanguageModel:
    """Gu & Dao 2023, arXiv 2312.00752; widths and layers as released, 50,277 ids filled up to a multiple of 8."""
    given = dict[str, Any](U=50280, D=768, L=24, F=0) | sizes
    theirs = {field.name for field in fields(Mamba)}
    mixer = Mamba(**{letter: value for letter, value in given.items() if letter in theirs})
    return LanguageModel(mixers=(mixer,), **{k: v for k, v in given.items() if k == "D" or k not in theirs})


def mamba_370m(**sizes: Any) -> LanguageModel:
    """Gu & Dao 2023, as released: width 1024, 48 layers."""
    return mamba_130m(**dict[str, Any](D=1024, L=48) | sizes)


def mamba_790m(**sizes: Any) -> LanguageModel:
    """Gu & Dao 2023, as released: width 1536, 48 layers."""
    return mamba_130m(**dict[str, Any](D=1536, L=48) | sizes)


def mamba_1_4b(**sizes: Any) -> LanguageModel:
    """Gu & Dao 2023, as released: width 2048, 48 layers."""
    return mamba_130m(**dict[str, Any](D=2048, L=48) | sizes)


def mamba_2_8b(**sizes: Any) -> LanguageModel:
    """Gu & Dao 2023, as released: width 2560, 64 layers."""
    return mamba_130m(**dict[str, Any](D=2560, L=64) | sizes)


def transformer_base(**sizes: Any) -> EncoderDecoder:
    """Vaswani et al. 2017, arXiv 1706.03762, table 3, base; 37,000 shared byte pairs, no biases in attention."""
    return EncoderDecoder(**dict[str, Any](U=37000, D=512, L=6, H=8, F=2048) | sizes)


def transformer_big(**sizes: Any) -> EncoderDecoder:
    """Vaswani et al. 2017, table 3, big."""
    return transformer_base(**dict[str, Any](D=1024, H=16, F=4096) | sizes)


def vit_base_16(**sizes: Any) -> ViT:
    """Dosovitskiy et al. 2020, arXiv 2010.11929, table 1: 86M; images of 224², 1,000 classes."""
    return ViT(**dict[str, Any](D=768, L=12, H=12) | sizes)


def vit_large_16(**sizes: Any) -> ViT:
    """Dosovitskiy et al. 2020, table 1: 307M without classes; images of 224², 1,000 classes."""
    return ViT(**dict[str, Any](D=1024, L=24, H=16) | sizes)


def vit_huge_14(**sizes: Any) -> ViT:
    """Dosovitskiy et al. 2020, table 1: 632M; images of 224², patches of 14², 1,000 classes."""
    return ViT(**dict[str, Any](D=1280, L=32, H=16, patch=14, M=256) | sizes)


def dit_xl_2(**sizes: Any) -> DiT:
    """Peebles & Xie 2022, arXiv 2212.09748, table 1, XL with patches of 2²: 675M; latents of 32² (images of 256²)."""
    return DiT(**dict[str, Any](D=1152, L=28, H=16) | sizes)
