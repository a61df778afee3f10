"""Images and sounds in the layouts of the package's processors, against the same model called by hand on real tensors.

What a processor would make of one image or sound is written out here; products are counted by a mode of the test's own.
"""

import json

import pytest
import torch
from decode_loops import Contractions

from seqcost.algebra import Kind
from seqcost.programs import Target
from seqcost.questions.count import count
from seqcost.report.counts import remarks
from seqcost.trace import trace
from seqcost.trace.rungs import fake_rung, real_rung

TOKEN, START, END = 63, 61, 62
WORDS = {"vocab_size": 64, "pad_token_id": 0, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}  # fmt: skip
EYE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32,
       "patch_size": 8}  # fmt: skip
QWEN = {"image_token_id": TOKEN, "vision_start_token_id": START, "vision_end_token_id": END,
        "text_config": WORDS | {"rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2],
                                                    "rope_theta": 1e4}}}  # fmt: skip
EAR = {"d_model": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 64, "num_mel_bins": 8,
       "max_source_positions": 20}  # fmt: skip


def images(*shape):
    return {"pixel_values": torch.randn(2, *shape)}


def grid(T, rows, depth):
    found = {"pixel_values": torch.randn(2 * rows * rows, depth), "image_grid_thw": torch.tensor([[1, rows, rows]] * 2)}
    types = torch.zeros(2, T, dtype=torch.int64)
    types[:, 1 : 1 + (rows // 2) ** 2] = 1
    return found | {"mm_token_type_ids": types}


def side(T):
    seen, tiles = torch.zeros(2, T, 1, 4), torch.zeros(2, 1, 4)
    seen[..., 0], tiles[..., 0] = 1, 1
    return images(1, 4, 3, 32, 32) | {"aspect_ratio_ids": torch.ones(2, 1, dtype=torch.int64),
                                      "aspect_ratio_mask": tiles, "cross_attention_mask": seen}  # fmt: skip


# A configuration, the tokens that its image or sound stands for, and what a processor makes of one.
READERS = {
    "qwen2_vl": (QWEN | {"vision_config": {"depth": 2, "embed_dim": 16, "hidden_size": 32, "num_heads": 2,
                                           "patch_size": 4, "mlp_ratio": 2}},
                 64, lambda T: grid(T, 16, 3 * 2 * 4 * 4)),
    # 28 × 28 pixels a window of 2 × 2 merged patches, and one layer of two sees past them.
    "qwen2_5_vl": (QWEN | {"vision_config": {"depth": 2, "hidden_size": 16, "out_hidden_size": 32, "num_heads": 2,
                                             "intermediate_size": 32, "patch_size": 7, "window_size": 28,
                                             "fullatt_block_indexes": [1]}},
                   64, lambda T: grid(T, 16, 3 * 2 * 7 * 7)),
    # 32 × 32 fits best into 32 × 64: two tiles, half of them empty and cut off, beside the whole.
    "llava_next": ({"image_token_index": TOKEN, "text_config": WORDS | {"model_type": "llama"},
                    "image_grid_pinpoints": [[32, 64], [64, 32], [64, 64]],
                    "vision_config": EYE | {"model_type": "clip_vision_model", "patch_size": 16}},
                   4 + 2 * (2 + 1), lambda T: images(3, 3, 32, 32) | {"image_sizes": torch.tensor([[32, 32]] * 2)}),
    "idefics3": ({"image_token_id": TOKEN, "scale_factor": 2, "text_config": WORDS | {"model_type": "llama"},
                  "vision_config": EYE},
                 4, lambda T: images(1, 3, 32, 32) | {"pixel_attention_mask": torch.ones(2, 1, 32, 32)}),
    "smolvlm": ({"image_token_id": TOKEN, "scale_factor": 2, "text_config": WORDS | {"model_type": "llama"},
                 "vision_config": EYE},
                4, lambda T: images(1, 3, 32, 32) | {"pixel_attention_mask": torch.ones(2, 1, 32, 32)}),
    "mistral3": ({"image_token_index": TOKEN, "spatial_merge_size": 2, "text_config": WORDS | {"model_type": "mistral"},
                  "vision_config": EYE | {"model_type": "pixtral", "head_dim": 8}},
                 4, lambda T: images(3, 32, 32) | {"image_sizes": torch.tensor([[32, 32]] * 2)}),
    "mllama": ({"image_token_index": TOKEN,
                "text_config": WORDS | {"cross_attention_layers": [1], "num_hidden_layers": 3},
                "vision_config": EYE | {"num_hidden_layers": 2, "num_global_layers": 1, "attention_heads": 2,
                                        "vision_output_dim": 48, "max_num_tiles": 4,
                                        "intermediate_layers_indices": [0, 1]}},
               1, side),
    "qwen2_audio": ({"audio_token_index": TOKEN, "text_config": WORDS | {"model_type": "qwen2"},
                     "audio_config": EAR | {"model_type": "qwen2_audio_encoder"}},
                    10, lambda T: {"input_features": torch.randn(2, 8, 40),
                                 "feature_attention_mask": torch.ones(2, 40, dtype=torch.int64)}),
    "voxtral": ({"audio_token_id": TOKEN, "text_config": WORDS | {"model_type": "llama"},
                 "audio_config": {"model_type": "voxtral_encoder", "hidden_size": 16, "num_hidden_layers": 1,
                                  "num_attention_heads": 2, "intermediate_size": 64, "num_mel_bins": 8,
                                  "max_source_positions": 20}},
                5, lambda T: {"input_features": torch.randn(2, 8, 40)}),
    # Two tokens of a window of 10 frames, and 1,000 frames.
    "granite_speech": ({"audio_token_index": TOKEN, "text_config": WORDS | {"model_type": "llama"}, "window_size": 10,
                        "encoder_config": {"input_dim": 8, "hidden_dim": 16, "num_layers": 2, "num_heads": 2,
                                           "dim_head": 8, "feedforward_mult": 2, "context_size": 100, "output_dim": 4,
                                           "conv_kernel_size": 3},
                        "projector_config": {"model_type": "blip_2_qformer", "hidden_size": 16, "num_hidden_layers": 1,
                                             "encoder_hidden_size": 16, "num_attention_heads": 2,
                                             "intermediate_size": 32}},
                       200, lambda T: {"input_features": torch.randn(2, 1000, 8),
                                       "input_features_mask": torch.ones(2, 200, dtype=torch.bool)}),
}  # fmt: skip


KINDS = [pytest.param(kind, marks=[pytest.mark.slow] if kind in ("qwen2_vl", "smolvlm") else []) for kind in READERS]
FEW = [kind for kind in READERS if kind not in ("qwen2_vl", "smolvlm", "mistral3")]  # one of a kind


def target_of(kind, **others):
    config = {"model_type": kind} | READERS[kind][0] | others
    return Target.of_spec({"kind": "hugging-face", "name": kind, "config": config})


def length_of(kind):
    return READERS[kind][1] + 16


def traced(kind, phase="forward", B=2, T=None):
    T = T or length_of(kind)
    return trace(target_of(kind), phase=phase, B=B, T=T, lengths=())


def called(kind):
    """The model, and its arguments."""
    _, tokens, given = READERS[kind]
    T = length_of(kind)
    ids = torch.randint(1, 60, (2, T))
    ids[:, 0], ids[:, 1 : 1 + tokens], ids[:, 1 + tokens] = START, TOKEN, END
    return target_of(kind).build(B=2, T=T).module.eval(), {"input_ids": ids} | given(T)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_costs_what_a_call_by_hand_does(kind):
    found, (model, given), counting = traced(kind), called(kind), Contractions()
    with torch.no_grad(), counting:
        model(**given)
    assert found.flops.total(Kind.CONTRACTION) == counting.flops
    assert (found.rung, found.unused, found.uncounted) == ("fake tensors", {}, ())
    said = found.conventions["sound" if "input_features" in given else "image"]
    assert f"stands for {READERS[kind][1]} of its T tokens" in said


def test_what_was_heard_stands_beside_the_numbers():
    row = {"conventions": {"image": "one", "sound": "none was given"}, "unused": []}
    assert remarks([row]) == ["image: one", "sound: none was given"]


def test_a_formula_holds_at_other_lengths(tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"model_type": "idefics3"} | READERS["idefics3"][0]))
    answer = count(str(file), length=20)
    assert answer.polynomials["flops"](1000) == traced("idefics3", B=1, T=1000).flops.total(Kind.CONTRACTION)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FEW)
def test_a_step_costs_what_that_of_a_loop_does(kind):
    found, (model, given), counting = traced(kind, "decode"), called(kind), Contractions()
    told = {name: given.pop(name) for name in ("input_ids", "mm_token_type_ids", "cross_attention_mask")
            if name in given}  # fmt: skip
    with torch.no_grad():
        before = model(**given, **{name: value[:, :-1] for name, value in told.items()}, use_cache=True)
        told.pop("mm_token_type_ids", None)
        with counting:
            model(**{name: value[:, -1:] for name, value in told.items()},
                  past_key_values=before.past_key_values, use_cache=True)  # fmt: skip
    assert found.flops.total(Kind.CONTRACTION) == counting.flops


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["qwen2_5_vl", "llava_next", "idefics3"])
def test_both_rungs_see_the_same(kind):
    """Values that are known beside shapes are those that a run on real tensors finds."""

    def entries(rung):
        asked = ("aten::all", "aten::_is_all_true")  # whether an image has as many tokens as it should
        return {key: (e.launches, e.contraction, e.pointwise, e.bytes)
                for key, e in rung.look(T, keeping=False).entries.items() if key[2] not in asked}  # fmt: skip

    target, T = target_of(kind), length_of(kind)
    fake, real = fake_rung(target, phase="forward", B=2), real_rung(target, phase="forward", B=2, longest=T)
    assert entries(fake) == entries(real)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["qwen2_5_vl", "mllama", "voxtral"])
def test_training(kind):
    one, two = (traced(kind, "train", B=B) for B in (1, 2))
    assert two.flops.total(Kind.CONTRACTION) == 2 * one.flops.total(Kind.CONTRACTION)
    assert one.unused == {}


def test_a_text_too_short_for_it_is_counted_without():
    found = traced("qwen2_5_vl", T=66)
    assert "none was given: one stands for 64 tokens, and T = 66 has no room" in found.conventions["image"]
    assert all(name.startswith("model.visual.") for name in found.unused)
    model, _ = called("qwen2_5_vl")
    with torch.no_grad(), Contractions() as counting:
        model(input_ids=torch.ones(2, 66, dtype=torch.int64))
    assert found.flops.total(Kind.CONTRACTION) == counting.flops


def test_what_cannot_be_made_up_says_why():
    eye = READERS["qwen2_5_vl"][0]["vision_config"] | {"out_hidden_size": 48}  # of another width than the words
    found = trace(target_of("qwen2_5_vl", vision_config=eye), phase="forward", B=1, T=80, lengths=())
    said = found.conventions["image"]
    assert said.startswith("none was given, though Qwen2_5_VLForConditionalGeneration reads images: with one of 112")
    assert all(name.startswith("model.visual.") for name in found.unused)
