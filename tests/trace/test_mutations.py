"""Spoilt configurations are answered or refused in one sentence; `benchmarks/mutations.py` asks thousands of them."""

import json
import warnings

import pytest
from mutated_configs import BASES, as_json, mutated

from seqcost.errors import BadSize, BadTarget, SeqcostError
from seqcost.questions.targets.resolve import resolve
from seqcost.trace import trace

SEED, CASES = 20260, 60


@pytest.fixture
def asked(tmp_path):
    """The way of a user's file: read, built, traced at one length."""

    def ask(text):
        file = tmp_path / "config.json"
        file.write_text(text, "utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns of empty tensors, transformers of odd values
            return trace(resolve(str(file)).recipe(), phase="forward", B=1, T=8, lengths=())

    return ask


@pytest.mark.parametrize("kind", BASES)
def test_the_sound_ones_are_answered(asked, kind):
    assert asked(json.dumps({"model_type": kind} | BASES[kind])).params > 0


@pytest.mark.parametrize("number", range(CASES))
def test_an_answer_or_one_sentence(asked, number):
    words, config = mutated(SEED, number)
    said = ""
    try:
        said = f"{asked(as_json(config)).params:,} parameters"
    except SeqcostError as error:
        said = str(error)
    assert said, words
    assert "\n" not in said, words


def test_a_seed_and_a_number_make_the_same_case():
    assert [repr(mutated(3, n)) for n in range(50)] == [repr(mutated(3, n)) for n in range(50)]
    assert len({repr(mutated(3, n)) for n in range(50)}) > 45


@pytest.mark.parametrize(
    ("kind", "changes", "error", "says"),
    [
        ("llama", {"num_hidden_layers": 10**9}, BadSize, "at most 10,000 layers are allowed"),
        ("t5", {"num_decoder_layers": 10**6}, BadSize, "at most 10,000 layers are allowed"),
        ("bert", {"num_labels": 10**12}, BadSize, "at most 1,000,000 labels are allowed"),
        ("mixtral", {"num_local_experts": 10**8}, BadSize, "at most 100,000 experts are allowed"),
        ("distilbert", {"max_position_embeddings": 10**10}, BadSize, "at most 134,217,728 positions are allowed"),
        ("gpt2", {"vocab_size": 10**30}, BadSize, "vocab_size of gpt2 is beyond 64 bits"),
        ("vit", {"image_size": 10**6}, BadSize, "at most 32,768 pixels a side are allowed"),
        ("llama", {"attn_implementation": "someone/kernel"}, BadTarget, "nothing is downloaded"),
    ],
)
def test_what_would_take_all_time_or_memory_is_refused(asked, kind, changes, error, says):
    with pytest.raises(error, match=says):
        asked(json.dumps({"model_type": kind} | BASES[kind] | changes))


def test_a_constructor_of_too_many_modules_is_stopped(asked, monkeypatch):
    monkeypatch.setattr("seqcost.programs.hugging_face.models.MOST_MODULES", 10)
    with pytest.raises(BadSize, match="over 10 modules"):
        asked(json.dumps({"model_type": "llama"} | BASES["llama"]))


def test_large_widths_need_no_memory(asked):
    wide = BASES["llama"] | {"vocab_size": 10**8, "intermediate_size": 10**7}
    assert asked(json.dumps({"model_type": "llama"} | wide)).params > 3 * 10**9
