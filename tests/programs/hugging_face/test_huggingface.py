"""Hugging Face models, built from configs, against their published or independently counted costs."""

import pytest
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Mamba2Config,
    Mamba2ForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    T5Config,
    T5EncoderModel,
)

from seqcost.algebra import Kind
from seqcost.programs import Target
from seqcost.trace import trace


def gpt2():
    return GPT2LMHeadModel(GPT2Config())


def bert():
    return BertModel(BertConfig())


def llama3_8b():
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
            num_attention_heads=32, num_key_value_heads=8, tie_word_embeddings=False, use_cache=False,
        )
    )  # fmt: skip


def t5_encoder():
    return T5EncoderModel(T5Config(num_layers=2, d_model=768, num_heads=12, d_ff=3072))


def mamba():
    return MambaForCausalLM(MambaConfig(num_hidden_layers=4, hidden_size=768))


def mamba2():
    sizes = {"hidden_size": 256, "num_heads": 8, "head_dim": 64, "n_groups": 1, "state_size": 64}
    return Mamba2ForCausalLM(Mamba2Config(num_hidden_layers=2, chunk_size=64, vocab_size=1000, **sizes))


def traced(make, T=256, **options):
    return trace(Target(make.__name__, make), phase="forward", B=1, T=T, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "params", "flops"),
    [
        (gpt2, 124_439_808, "36864·T² + 247064064·T"),
        (bert, 109_482_240, "36864·T² + 169869312·T + 1179648"),
        (llama3_8b, 8_030_261_248, "524288·T² + 15009316864·T"),
        (t5_encoder, None, "6144·T² + 28311552·T"),
        (mamba, None, "107360256·T + 147456"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_flops_are_the_published_polynomial(make, params, flops):
    result = traced(make)
    assert result.rung == "fake tensors"
    assert str(result.polynomials["flops"]) == flops
    assert params is None or result.params == params
    assert result.uncounted == ()


def test_gpt2_at_1024_tokens():
    result = traced(gpt2, T=1024)
    assert result.flops.total(Kind.CONTRACTION) == 291_648_307_200
    head = result.flops.select("lm_head").total(Kind.CONTRACTION)
    assert head == 79_047_426_048


@pytest.mark.slow
def test_chunks_make_a_formula_in_whole_chunks_and_a_polynomial_at_their_multiples():
    flops = traced(mamba2).polynomials["flops"]
    assert str(flops) == "131072·⌈T/64⌉² + 2234368·T + 33816576·⌈T/64⌉ + 161792"
    assert flops(77) == traced(mamba2, T=77, lengths=()).flops.total(Kind.CONTRACTION)
    multiples = traced(mamba2, lengths=(64, 128, 192, 320))
    assert str(multiples.polynomials["flops"]) == "32·T² + 2762752·T + 161792"
