"""Parameters that are trained, beside all of them; by hand, and by the flags that autograd itself goes by."""

import json

import pytest
import torch
from torch import nn

import seqcost
from seqcost.errors import BadTarget
from seqcost.questions.targets.weights import NOT_TOLD
from seqcost.report.counts import flat_row, lengths_table, totals_table
from seqcost.report.diffs import quantities_table

ALL, TRAINED = 2 * 64 * 64 + 2 * 64 * 8, 2 * 64 * 8  # 9,216 and 1,024


class LoRA(nn.Module):
    """Two frozen layers of width 64, and beside the first one two trained matrices of rank 8."""

    def __init__(self, *, trained=False):
        super().__init__()
        self.whole, self.out = (nn.Linear(64, 64, bias=False).requires_grad_(trained) for _ in range(2))
        self.down, self.up = nn.Linear(64, 8, bias=False), nn.Linear(8, 64, bias=False)

    def forward(self, x):
        return self.out(self.whole(x) + self.up(self.down(x)))


def x():
    return torch.zeros(1, 16, 64)


def both(count):
    return count.params, count.trainable_params


def test_low_rank_matrices_beside_frozen_ones():
    assert (ALL, TRAINED) == (9216, 1024)
    for phase in ("forward", "train"):
        found = seqcost.count(LoRA(), length=16, phase=phase)
        assert both(found) == (ALL, TRAINED)
        assert found.to_dict()["trainable_params"] == TRAINED
        assert not any(row.get("quantity") == "trainable_params" for row in found.uncounted)
    assert both(seqcost.count(LoRA(trained=True), length=16)) == (ALL, ALL)
    assert both(seqcost.count(LoRA().requires_grad_(False), length=16)) == (ALL, 0)


def test_the_optimizer_keeps_numbers_of_the_trained_alone():
    found = seqcost.count(LoRA(), length=16, phase="train", optimizer="adamw")
    # Two numbers per parameter, and a counter of four bytes for each of the two tensors.
    assert found.memory["categories"]["optimizer_state"] == 2 * 4 * TRAINED + 2 * 4


def test_a_formula_trains_all():
    for name in ("gpt2", "lstm", "mamba"):
        found = seqcost.count(name)
        assert found.params == found.trainable_params > 0


def test_one_memory_of_two_parameters_is_trained_under_one_name():
    table, head = nn.Embedding(40, 8), nn.Linear(8, 40, bias=False)
    head.weight = nn.Parameter(table.weight.data, requires_grad=False)
    module = nn.Sequential(table, head)
    found = seqcost.count(module, inputs=(torch.zeros(1, 5, dtype=torch.int64),), phase="train", optimizer="adamw")
    assert both(found) == (320, 320)
    assert found.memory["categories"]["parameters"] == 4 * 320
    assert found.memory["categories"]["optimizer_state"] == 2 * 4 * 320 + 4
    assert module[1].weight.data_ptr() == table.weight.data_ptr()
    head.requires_grad_(False), table.requires_grad_(False)
    assert both(seqcost.count(module, length=5)) == (320, 0)


def test_code_by_its_path(tmp_path, monkeypatch):
    (tmp_path / "frozen_parts.py").write_text(
        "from torch import nn\n\ndef make():\n"
        "    return nn.Sequential(nn.Linear(64, 64).requires_grad_(False), nn.Linear(64, 2))\n"
    )
    monkeypatch.chdir(tmp_path)
    found = seqcost.count("frozen_parts:make", length=8, phase="train", optimizer="adamw")
    assert both(found) == (64 * 64 + 64 + 130, 130)
    assert found.memory["categories"]["optimizer_state"] == 2 * 4 * 130 + 2 * 4


def test_a_model_of_transformers_with_a_frozen_table():
    """Whisper's encoder reads a table of sines that its constructor freezes; AdamW keeps nothing of it."""
    transformers = pytest.importorskip("transformers")
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
             "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "vocab_size": 50,
             "max_source_positions": 60, "max_target_positions": 20}  # fmt: skip
    special = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 1)
    config = transformers.WhisperConfig(**sizes, **special)
    model = transformers.WhisperForConditionalGeneration(config)
    wanted = sum(p.numel() for p in model.parameters() if p.requires_grad)
    inputs = {"input_features": torch.zeros(1, 80, 120), "decoder_input_ids": torch.ones(1, 7, dtype=torch.int64)}
    found = seqcost.count(model, inputs=inputs, phase="train", optimizer="sgd:momentum=0.9")
    assert both(found) == (wanted + 60 * 16, wanted)
    assert found.memory["categories"]["optimizer_state"] == 4 * wanted


def test_a_configuration_keeps_what_its_constructor_freezes():
    """Marian's tables of sines: 64 positions of width 16, in the encoder and in the decoder."""
    pytest.importorskip("transformers")
    sides = {f"{side}_{what}": size for side in ("encoder", "decoder")
             for what, size in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 32))}  # fmt: skip
    sizes = {"d_model": 16, "vocab_size": 50, "max_position_embeddings": 64, "pad_token_id": 1, "bos_token_id": 0,
             "eos_token_id": 2, "decoder_start_token_id": 1, **sides}  # fmt: skip
    found = seqcost.count("hf:marian", length=16, sizes=sizes, phase="train", optimizer="sgd:momentum=0.9")
    assert found.params - found.trainable_params == 2 * 64 * 16
    assert found.memory["categories"]["optimizer_state"] == 4 * found.trainable_params


def test_weights_alone_do_not_say(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(LoRA().state_dict(), tmp_path / "lora.safetensors")
    found = seqcost.count(str(tmp_path / "lora.safetensors"))
    assert both(found) == (ALL, None)
    assert {"quantity": "trainable_params", "reason": NOT_TOLD} in found.uncounted
    with pytest.raises(BadTarget, match=r"trainable_params of .* is not known: a safetensors header does not say"):
        found.derive("trainable_params")


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_graph_of_onnx_does_not_say(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    torch.onnx.export(LoRA().eval(), (x(),), tmp_path / "lora.onnx", dynamo=True, verbose=False, external_data=False)
    found = seqcost.count(str(tmp_path / "lora.onnx"))
    assert both(found) == (ALL, None)
    reasons = [row["reason"] for row in found.uncounted if row.get("quantity") == "trainable_params"]
    assert reasons == ["an ONNX graph does not say which of its parameters are trained"]
    step = seqcost.count(str(tmp_path / "lora.onnx"), phase="train", optimizer="adamw")
    assert both(step) == (ALL, None)
    assert step.conventions["trained"] == f"every floating-point parameter: {reasons[0]}"
    assert step.memory["categories"]["optimizer_state"] == 2 * 4 * ALL + 4 * 4


def test_exported_programs_say(tmp_path):
    program = torch.export.export(LoRA(), (x(),))
    torch.export.save(program, tmp_path / "lora.pt2")
    for target in (program, str(tmp_path / "lora.pt2")):
        assert both(seqcost.count(target)) == (ALL, TRAINED)


def test_packed_weights_are_frozen(tmp_path):
    pytest.importorskip("transformers")
    config = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1,
              "num_attention_heads": 2, "vocab_size": 50, "architectures": ["LlamaForCausalLM"],
              "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = seqcost.count(str(tmp_path / "config.json"), length=8)
    packed = 4 * 64 * 64 + 3 * 64 * 64
    assert both(found) == (packed + 2 * 50 * 64 + 3 * 64, 2 * 50 * 64 + 3 * 64)


def test_the_difference_of_an_adapter_and_the_whole():
    found = seqcost.diff(LoRA(trained=True), LoRA(), length=16, phase="train")
    rows = {row.name: row for row in found.quantities}
    assert rows["params"].difference == 0
    assert (rows["trainable_params"].a, rows["trainable_params"].b) == (ALL, TRAINED)
    assert rows["trainable_params"].difference == TRAINED - ALL
    assert ("trainable parameters", "9.22 k", "1.02 k", "−8.19 k", "0.1111") in quantities_table(found.to_dict()).rows
    same = seqcost.diff(LoRA(trained=True), LoRA(trained=True), length=16)
    assert "trainable parameters" not in [row[0] for row in quantities_table(same.to_dict()).rows]


def test_tables_and_rows():
    some, every = (seqcost.count(LoRA(trained=trained), length=[16, 17]) for trained in (False, True))
    assert ("trainable parameters", "1,024", "1.02 k", "") in totals_table(some[0].to_dict()).rows
    assert "trainable parameters" not in [row[0] for row in totals_table(every[0].to_dict()).rows]
    several = [[count.to_dict() for count in counts] for counts in (some, every)]
    assert "trainable parameters" in lengths_table(several[0]).headings
    assert "trainable parameters" not in lengths_table(several[1]).headings
    assert [flat_row(rows[0])["trainable_params"] for rows in several] == [TRAINED, ALL]


def test_its_steps_are_the_trained_tensors():
    found = seqcost.count(LoRA(), length=16).derive("trainable_params")
    assert [(step.path, step.amount) for step in found.steps] == [("down.weight", 512), ("up.weight", 512)]
    assert found.total == found.whole == TRAINED
