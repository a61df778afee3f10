"""What models of the transformers package carry from token to token, against sizes written by hand."""

import inspect

import pytest
import torch
import transformers

from seqcost.errors import BadTarget
from seqcost.programs import Target
from seqcost.programs.hugging_face.caches import cache_tensors
from seqcost.questions.count import count
from seqcost.trace import trace

FLOAT = 4
WINDOW = 16


def specification(kind, **settings):
    return Target.of_spec({"kind": "hugging-face", "name": kind, "config": {"model_type": kind} | settings})


DENSE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 64}  # fmt: skip
MAMBA = {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 64, "state_size": 8, "conv_kernel": 4}
JAMBA = DENSE | {"num_hidden_layers": 4, "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2,
                 "num_experts": 4, "mamba_d_state": 8, "mamba_d_conv": 4}  # fmt: skip
KEYS_AND_VALUES = 2 * 2 * 8 * FLOAT  # of a token in a layer: two, of two heads of width 8


def state_bytes(kind, T, B=1, phase="decode", **settings):
    return trace(specification(kind, **settings), phase=phase, B=B, T=T, lengths=()).state_bytes


@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize("B", [1, 3])
def test_keys_and_values_of_every_token(phase, B):
    assert state_bytes("llama", 40, B, phase, **DENSE) == B * 2 * 40 * KEYS_AND_VALUES


@pytest.mark.parametrize("T", [1, 9, WINDOW, 40])
def test_a_window_keeps_what_the_next_token_still_sees(T):
    settings = DENSE | {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"]}
    expected = (min(T, WINDOW - 1) + T) * KEYS_AND_VALUES
    assert state_bytes("gemma2", T, **settings) == expected
    assert state_bytes("gemma3_text", T, **settings) == expected


@pytest.mark.parametrize("T", [2, 40])
def test_a_recurrent_state_has_one_size(T):
    inner = 2 * 32
    assert state_bytes("mamba", T, **MAMBA) == 2 * inner * (8 + 4) * FLOAT


def test_a_hybrid_carries_both():
    inner = 2 * 32
    recurrent = 2 * inner * (8 + 4) * FLOAT
    assert state_bytes("jamba", 40, **JAMBA) == recurrent + 2 * 40 * KEYS_AND_VALUES


def test_a_decoder_keeps_the_source_too():
    settings = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 64}
    # Every layer has keys and values of its own words and of the source, here as long.
    assert state_bytes("t5", 40, **settings) == 2 * (40 + 40) * 2 * 4 * 8 * FLOAT


def test_decoding_reads_one_token_against_the_cache():
    target = specification("llama", **DENSE)
    step, whole = (trace(target, phase=phase, B=1, T=64) for phase in ("decode", "forward"))
    assert str(step.polynomials["state_bytes"]) == f"{2 * KEYS_AND_VALUES}·T"
    # One token's share of the pass over all of them: the same products, with one row instead of T.
    assert step.polynomials["flops"].coefficients == whole.polynomials["flops"].coefficients[1:]
    assert step.rung == "fake tensors"


def test_fake_and_real_tensors_carry_the_same():
    found = trace(specification("jamba", **JAMBA), phase="decode", B=1, T=24, lengths=())
    config = transformers.AutoConfig.for_model("jamba", **JAMBA)
    model = transformers.JambaForCausalLM._from_config(config).eval()
    with torch.no_grad():
        output = model(torch.randint(0, 64, (1, 24)), use_cache=True)
    assert sum(tensor.nbytes for tensor in cache_tensors(output.past_key_values)) == found.state_bytes


def test_a_static_cache_holds_its_whole_length():
    config = transformers.AutoConfig.for_model("llama", **DENSE)
    model = transformers.LlamaForCausalLM._from_config(config).eval()
    cache = transformers.StaticCache(config=config, max_cache_len=100)
    with torch.no_grad():
        name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
        model(torch.randint(0, 64, (1, 5)), use_cache=True, **{name: cache})
    assert sum(tensor.nbytes for tensor in cache_tensors(cache)) == 2 * 100 * KEYS_AND_VALUES
    assert all(tensor.dim() for tensor in cache_tensors(cache))


def test_a_program_can_run_again_and_again():
    """Measuring repeats a step: each begins with the cache of T − 1 tokens."""
    from seqcost.programs.program import prepare

    built = specification("jamba", **JAMBA).build(B=1, T=9)
    program = prepare(built.module, built.inputs_at(1, 9), phase="decode")
    sizes = {sum(t.numel() for t in program.result()[1].tensors) for _ in range(3)}
    assert len(sizes) == 1


def test_an_encoder_is_refused():
    with pytest.raises(BadTarget, match="returns none"):
        trace(specification("bert", num_hidden_layers=1), phase="decode", B=1, T=8, lengths=())


def test_count_answers_with_the_state():
    answer = count("hf:llama", length=8, phase="decode", sizes={"num_hidden_layers": 2})
    assert answer.to_dict()["state_bytes"] == 2 * 8 * 2 * 4096 * FLOAT
