"""Configurations of transformers as people have them: saved by the package, with settings changed, naming other models.

What a configuration derives is held against the package itself, which is given the same settings at once. That nothing
is looked up is seen by a guard on the socket, below all packages.
"""

import json
import socket

import pytest
import transformers

from seqcost.errors import BadTarget, SeqcostError, UnknownName
from seqcost.programs.hugging_face.configuration import configuration_of
from seqcost.programs.hugging_face.models import model_of
from seqcost.programs.hugging_face.offline import offline
from seqcost.questions.count import count


class LookedUpError(BaseException):
    """No package catches this."""


@pytest.fixture
def guarded(monkeypatch):
    """Any look-up or connection ends the test, whatever would have caught an error of the network."""

    def refuse(*args, **kwargs):
        raise LookedUpError(args)

    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_the_guard_sees_a_look_up(guarded):
    with pytest.raises(LookedUpError):
        transformers.AutoConfig.from_pretrained("someone/a-model-that-is-nowhere")


def test_the_package_is_told_that_it_is_offline(guarded):
    with offline(), pytest.raises(OSError, match=r"offline|cached"):
        transformers.AutoConfig.from_pretrained("someone/a-model-that-is-nowhere")


def test_an_address_resolves_to_nothing_until_the_block_ends():
    plain = socket.getaddrinfo
    with offline(), pytest.raises(OSError, match="nothing is fetched"):
        socket.create_connection(("example.invalid", 80))
    assert socket.getaddrinfo is plain


NAMING = [
    {"model_type": "maskformer", "backbone": "someone/a-backbone"},
    {"model_type": "detr", "backbone": "resnet50", "use_timm_backbone": True, "use_pretrained_backbone": True},
    {"model_type": "depth_anything", "backbone": "someone/a-backbone", "backbone_config": None},
    {"model_type": "vitmatte", "backbone": "someone/a-backbone"},
    {"model_type": "upernet", "backbone": "someone/a-backbone", "use_pretrained_backbone": False},
    {"model_type": "upernet", "use_pretrained_backbone": True},
    {"model_type": "llava", "vision_config": {"model_type": "clip_vision_model", "backbone": "someone/a-backbone"}},
]


@pytest.mark.parametrize("config", NAMING, ids=str)
def test_a_configuration_that_names_another_model_is_refused_without_a_look_up(guarded, config):
    with pytest.raises(BadTarget, match="names another model, and nothing is downloaded; leave it out"):
        model_of(config)


def test_settings_that_are_changed_cannot_name_one_either(guarded):
    with pytest.raises(BadTarget, match="names another model"):
        configuration_of({"model_type": "upernet"}, backbone="someone/a-backbone")


@pytest.mark.parametrize(
    "kind", ["maskformer", "detr", "depth_anything", "vitmatte", "upernet", "dpt", "rag", "encodec"]
)
def test_no_type_looks_anything_up_of_itself(guarded, kind):
    try:
        configuration, _ = configuration_of({"model_type": kind})
    except SeqcostError:
        return
    assert configuration.model_type == kind


def test_code_that_a_configuration_names_is_dropped_wherever_it_stands(guarded):
    named = {"auto_map": {"AutoConfig": "code.Config", "AutoModel": "code.Model"}, "trust_remote_code": True}
    vision = {"model_type": "clip_vision_model", "hidden_size": 36} | named
    config, _ = configuration_of({"model_type": "llava", "vision_config": vision} | named)
    assert config.vision_config.hidden_size == 36
    assert not [part for part in (config, config.vision_config) if hasattr(part, "auto_map")]


@pytest.mark.slow
def test_a_configuration_that_the_package_saved_is_read(tmp_path):
    sizes = {"hidden_size": 32, "num_heads": 8, "head_dim": 8, "n_groups": 1, "num_hidden_layers": 1, "vocab_size": 64}
    saved = transformers.Mamba2Config(**sizes, state_size=8)
    saved.save_pretrained(tmp_path)
    assert "__float__" in (tmp_path / "config.json").read_text("utf-8")
    written = json.loads((tmp_path / "config.json").read_text("utf-8"))
    assert list(configuration_of(written)[0].time_step_limit) == [0.0, float("inf")]
    found = count(str(tmp_path), length=8)
    assert found.params == sum(p.numel() for p in transformers.Mamba2ForCausalLM(saved).parameters())


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("llama", {"hidden_size": 2048}),
        ("llama", {"num_attention_heads": 8}),
        ("t5", {"num_layers": 3}),
        ("gemma2", {"num_hidden_layers": 4}),
        ("mamba", {"hidden_size": 512}),
        ("gpt2", {"hidden_size": 96, "n_layer": 3}),
        ("falcon", {"num_attention_heads": 4}),
    ],
)
def test_what_is_derived_follows_what_is_set(kind, changes):
    expected = transformers.AutoConfig.for_model(kind, **changes)
    assert configuration_of({"model_type": kind}, **changes)[0].to_dict() == expected.to_dict()


def test_a_head_is_as_narrow_as_the_width_asks():
    assert configuration_of({"model_type": "llama"}, hidden_size=2048)[0].head_dim == 64


def test_what_was_given_stays():
    config, _ = configuration_of({"model_type": "llama", "head_dim": 96, "n_layer": 5}, hidden_size=2048)
    assert config.head_dim == 96


def test_an_alias_takes_the_place_of_the_name_that_was_given():
    config, _ = configuration_of({"model_type": "gpt2", "n_embd": 64}, hidden_size=96)
    assert config.n_embd == 96
    config, _ = configuration_of({"model_type": "gpt2", "hidden_size": 64}, n_embd=96)
    assert config.n_embd == 96


def test_fewer_layers_take_the_first_of_a_list():
    kinds = ["full_attention", "sliding_attention"] * 3
    given = {"model_type": "gemma2", "num_hidden_layers": 6, "layer_types": kinds}
    assert configuration_of(given, num_hidden_layers=3)[0].layer_types == kinds[:3]


@pytest.mark.parametrize(
    ("kind", "word", "settings"),
    [
        ("gpt2", "layers", ["n_layer"]),
        ("gpt2", "width", ["n_embd"]),
        ("llama", "heads", ["num_attention_heads"]),
        ("llama", "F", ["intermediate_size"]),
        ("bart", "layers", ["encoder_layers", "decoder_layers"]),
        ("t5", "layers", ["num_layers", "num_decoder_layers"]),
    ],
)
def test_words_and_letters_stand_for_settings(kind, word, settings):
    config = configuration_of({"model_type": kind}, **{word: 4})[0].to_dict()
    assert [config[setting] for setting in settings] == [4] * len(settings)


def test_a_setting_that_does_not_exist():
    with pytest.raises(UnknownName, match=r"unknown setting of gpt2 'n_layers'.*did you mean"):
        configuration_of({"model_type": "gpt2"}, n_layers=3)


def test_an_unknown_type_names_near_ones_and_no_others():
    with pytest.raises(UnknownName, match="nearest of the ") as raised:
        count("hf:foo")
    assert len(str(raised.value)) < 250
    with pytest.raises(UnknownName, match="did you mean llama"):
        count("hf:llam")


def test_a_configuration_of_endless_depth_is_refused():
    config = {"model_type": "gpt2"}
    for _ in range(200):
        config = {"model_type": "gpt2", "inner": config}
    with pytest.raises(BadTarget, match="levels deep"):
        configuration_of(config)


EYES = {"model_type": "qwen2_5_vl", "hidden_size": 3584, "vision_config": {"depth": 32, "hidden_size": 1280}}


def test_settings_of_a_part_are_named_with_it():
    config, _ = configuration_of(EYES, **{"vision_config.depth": 3, "text_config.num_hidden_layers": 2})
    assert (config.vision_config.depth, config.text_config.num_hidden_layers) == (3, 2)
    assert config.vision_config.hidden_size == 1280  # what was given stays


@pytest.mark.parametrize("word", ["layers", "num_hidden_layers"])
def test_what_only_the_words_have_is_theirs(word):
    config, _ = configuration_of(EYES, **{word: 2})
    assert (config.text_config.num_hidden_layers, config.vision_config.depth) == (2, 32)
    assert config.text_config.hidden_size == 3584  # it stood beside


@pytest.mark.parametrize("name", ["vision_config.foo", "foo.depth", "vision_config.", "text_config.layers.x"])
def test_a_part_has_no_such_setting(name):
    with pytest.raises(UnknownName, match="unknown setting of qwen2_5_vl"):
        configuration_of(EYES, **{name: 2})
