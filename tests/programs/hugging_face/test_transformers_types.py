"""Types of the transformers package that each needed something of the trace: tiny, on fake tensors if they can be."""

import pytest
import torch

from seqcost.programs import Target
from seqcost.programs.hugging_face.inputs import inputs_of
from seqcost.programs.hugging_face.models import model_of
from seqcost.programs.hugging_face.settings import check_settings
from seqcost.programs.inputs import Inputs
from seqcost.programs.program import prepare
from seqcost.trace import trace
from seqcost.trace.rungs import fake_rung, real_rung

T = 24
WORDS = {"vocab_size": 64, "pad_token_id": 0}
DENSE = WORDS | {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
                 "num_key_value_heads": 2, "head_dim": 8}  # fmt: skip
IMAGES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
          "image_size": 32, "patch_size": 16}  # fmt: skip
SOUND = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
WAVES = SOUND | {"vocab_size": 32, "conv_dim": [8, 8, 8], "conv_kernel": [10, 3, 2], "conv_stride": [5, 2, 2],
                 "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2,
                 "num_feat_extract_layers": 3}  # fmt: skip
FEW = {
    "emu3": {"text_config": DENSE, "architectures": ["Emu3ForCausalLM"]},  # a part of a configuration of several
    "siglip_vision_model": IMAGES,  # draws initial values that fake tensors do not have
    "qwen3_next": DENSE | {"layer_types": ["linear_attention", "full_attention"], "num_experts": 4,
                           "num_experts_per_tok": 2, "moe_intermediate_size": 16, "linear_num_key_heads": 2,
                           "shared_expert_intermediate_size": 16, "linear_num_value_heads": 2,
                           "linear_key_head_dim": 8, "linear_value_head_dim": 8},  # may call kernels of a GPU
    "perceiver": {"num_latents": 4, "d_latents": 16, "d_model": 16, "num_blocks": 1, "num_self_attends_per_block": 1,
                  "num_self_attention_heads": 2, "num_cross_attention_heads": 2, "vocab_size": 64,
                  "max_position_embeddings": 64},
    "clip": {"text_config": SOUND | {"vocab_size": 64}, "vision_config": IMAGES, "projection_dim": 8},
    "siglip": {"text_config": SOUND | {"vocab_size": 64, "projection_size": 16}, "vision_config": IMAGES},
    "videomae": IMAGES | {"num_frames": 4, "tubelet_size": 2},
    "convbert": WORDS | SOUND | {"embedding_size": 32},  # unfolds windows
    "funnel": WORDS | {"d_model": 16, "n_head": 2, "d_head": 8, "d_inner": 32, "block_sizes": [1, 1]},  # pools
    "whisper": {"vocab_size": 64, "num_mel_bins": 8, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1,
                "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32,
                "decoder_ffn_dim": 32, "max_source_positions": 20, "max_target_positions": 64, "pad_token_id": 0,
                "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1},
    "wav2vec2": WAVES,
    "audio-spectrogram-transformer": SOUND | {"max_length": 64, "num_mel_bins": 32, "patch_size": 16},
}  # fmt: skip


def target_of(kind, **settings):
    return Target.of_spec({"kind": "hugging-face", "name": kind, "config": {"model_type": kind} | settings})


@pytest.mark.parametrize("kind", FEW)
def test_it_is_traced_without_being_run(kind):
    found = trace(target_of(kind, **FEW[kind]), phase="forward", B=1, T=T, lengths=())
    assert found.rung == "fake tensors", found.failed_rungs
    assert found.uncounted == ()
    assert found.params == sum(p.numel() for p in model_of({"model_type": kind} | FEW[kind]).parameters())


@pytest.mark.parametrize("kind", ["wav2vec2", "whisper"])
def test_an_encoder_of_sound_is_given_as_much_as_it_takes(kind):
    model = model_of({"model_type": kind} | FEW[kind]).eval()
    given = inputs_of(model, 2, T)
    with torch.no_grad():
        output = model(**given)
    if kind == "whisper":
        assert given["decoder_input_ids"].shape == (2, T)
        assert output.encoder_last_hidden_state.shape[1] == 20  # its positions, however many words
    else:
        assert output.last_hidden_state.shape[:2] == (2, T)


def test_a_mask_that_pads_nothing_is_left_out_as_it_is_on_a_cpu():
    settings = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
                "num_attention_heads": 2, "max_position_embeddings": 64, "pad_token_id": 0}  # fmt: skip
    target = target_of("biogpt", **settings)
    fake = fake_rung(target, phase="forward", B=2, dtype="float32").look(T)
    real = real_rung(target, phase="forward", B=2, dtype="float32", longest=T).look(T)
    assert fake.peak_bytes == real.peak_bytes
    assert {key: entry.launches for key, entry in fake.entries.items()} == {
        key: entry.launches for key, entry in real.entries.items()
    }


def test_attention_that_guards_its_softmax_is_predicted_to_the_byte(measured_peak):
    settings = WORDS | {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
    target = target_of("falcon", **settings)
    predicted = trace(target, phase="forward", B=2, T=100, lengths=()).peak_bytes
    built = target.build(B=2, T=100)
    program = prepare(built.module, built.inputs_at(2, 100), phase="forward")
    assert predicted == measured_peak(program)


@pytest.mark.parametrize("channels", [4, 16, 20])
@pytest.mark.parametrize("bias", [False, True])
def test_a_kernel_a_channel_is_predicted_to_the_byte(channels, bias, measured_peak):
    module = torch.nn.Conv2d(channels, channels, (9, 1), padding=(4, 0), groups=channels, bias=bias)
    x = torch.randn(2, channels, 50, 16)
    predicted = trace(Target.of_module(module, x), phase="forward", B=2, T=50).peak_bytes
    assert predicted == measured_peak(prepare(module, Inputs((x,)), phase="forward"))


def test_a_vocabulary_for_each_layer_is_no_number_of_layers():
    check_settings({"vocab_size_per_layer_input": 262_144, "hidden_size_per_layer_input": 20_000}, "gemma3n")
