"""Models that read images or sound among words, against the same model called by hand on real tensors."""

import json

import pytest
import torch
from decode_loops import Contractions

from seqcost.programs.hugging_face.models import model_of
from seqcost.questions.count import count
from seqcost.report.counts import remarks

WORDS = {"vocab_size": 64, "pad_token_id": 0, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}  # fmt: skip
EYE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32,
       "patch_size": 8}  # fmt: skip
LLAVA = {"model_type": "llava", "image_token_index": 63, "text_config": WORDS | {"model_type": "llama"},
         "vision_config": EYE | {"model_type": "clip_vision_model"}}  # fmt: skip
READERS = {
    "llava": (LLAVA, 16),
    "paligemma": ({"text_config": WORDS, "vision_config": EYE | {"projection_dim": 32}, "image_token_index": 63,
                   "projection_dim": 32}, 16),
    "gemma3": ({"text_config": WORDS, "vision_config": EYE, "mm_tokens_per_image": 4, "image_token_index": 63}, 4),
    "internvl": ({"text_config": WORDS | {"model_type": "qwen2"}, "image_token_id": 63, "downsample_ratio": 0.5,
                  "vision_config": EYE | {"image_size": [32, 32], "patch_size": [8, 8]}}, 4),
}  # fmt: skip
T = 40


def written(config, tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    return str(file)


def by_hand(config, tokens):
    model = model_of(config).eval()
    ids = torch.randint(1, 60, (2, T))
    ids[:, 1 : 1 + tokens] = 63
    counting = Contractions()
    with torch.no_grad(), counting:
        model(input_ids=ids, pixel_values=torch.randn(2, 3, 32, 32))
    return counting.flops


@pytest.mark.slow
@pytest.mark.parametrize("kind", READERS)
def test_an_image_a_sequence(kind, tmp_path):
    config, tokens = READERS[kind]
    config = {"model_type": kind} | config
    answer = count(written(config, tmp_path), batch=2, length=T)
    assert answer.flops == by_hand(config, tokens)
    assert answer.rung == "fake tensors"
    assert answer.unused == ()
    assert f"stands for {tokens} of its T tokens" in answer.conventions["image"]
    assert answer.polynomials["flops"](1000) == count(written(config, tmp_path), batch=2, length=1000).flops


def test_a_step_sees_no_image_and_the_answer_lists_the_eye(tmp_path):
    answer = count(written(LLAVA, tmp_path), length=T, phase="decode")
    whole, shorter = (count(written(LLAVA, tmp_path), length=n).flops for n in (T, T - 1))
    pairs = 2 * 2 * 2 * 32 * (T**2 - (T - 1) ** 2 - T)  # earlier tokens' scores with the last key, in both layers
    assert answer.flops == whole - shorter - pairs
    assert answer.state_bytes == 2 * T * 2 * 2 * 8 * 4
    assert [row["path"] for row in answer.unused] == ["model.vision_tower", "model.multi_modal_projector"]


def test_a_text_too_short_for_an_image_says_so(tmp_path):
    answer = count(written(LLAVA, tmp_path), length=18)
    assert "T = 18 has no room" in answer.conventions["image"]
    assert [row["path"] for row in answer.unused] == ["model.vision_tower", "model.multi_modal_projector"]
    notes = remarks([answer.to_dict()])
    assert any("took part in no operator of this phase: model.vision_tower" in note for note in notes)
    assert any(note.startswith("image: none was given") for note in notes)


def test_training_and_batches(tmp_path):
    one, two = (count(written(LLAVA, tmp_path), length=T, batch=B, phase="train") for B in (1, 2))
    assert two.flops == 2 * one.flops
    assert one.unused == ()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("whisper", "WhisperForConditionalGeneration"),
        ("speech_to_text", "Speech2TextForConditionalGeneration"),
        ("llava", "LlavaForConditionalGeneration"),
        ("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration"),
        ("mllama", "MllamaForConditionalGeneration"),
        ("gemma3", "Gemma3ForConditionalGeneration"),
        ("voxtral", "VoxtralForConditionalGeneration"),
        ("csm", "CsmForConditionalGeneration"),
        ("gpt2", "GPT2LMHeadModel"),
        ("t5", "T5ForConditionalGeneration"),
        ("bert", "BertForMaskedLM"),
        ("vit", "ViTModel"),
        ("wav2vec2", "Wav2Vec2Model"),
        ("clip", "CLIPModel"),
        ("superpoint", "SuperPointForKeypointDetection"),
    ],
)
def test_without_architectures_a_type_gets_the_head_that_says_words(kind, name):
    from seqcost.programs.hugging_face.configuration import configuration_of
    from seqcost.programs.hugging_face.models import class_of

    config, wanted = configuration_of({"model_type": kind})
    assert class_of(config, wanted).__name__ == name


@pytest.mark.parametrize("kind", ["whisper", "speech_to_text"])
def test_a_decoder_of_sound_has_a_head(kind):
    sizes = {"vocab_size": 64, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1,
             "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
             "max_source_positions": 20, "max_target_positions": 64, "pad_token_id": 0, "bos_token_id": 1,
             "eos_token_id": 2, "decoder_start_token_id": 1}  # fmt: skip
    sizes |= {"num_mel_bins": 8} if kind == "whisper" else {"input_feat_per_channel": 8, "conv_channels": 8}
    answer = count(f"hf:{kind}", length=24, phase="decode", sizes=sizes)
    products = [line for line in answer.lines if line["kind"] == "contraction"]
    heads = [line["amount"] for line in products if line["name"].startswith(("proj_out", "lm_head"))]
    assert sum(heads) == 2 * 16 * 64
