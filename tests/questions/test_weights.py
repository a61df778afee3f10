import json
import subprocess
import sys

import pytest
from mutated_files import ROOM, SOUND, packed

import seqcost
from seqcost.algebra.quantity import QUANTITIES, Told
from seqcost.errors import BadTarget
from seqcost.questions.targets.weights import NOT_TOLD, disagreement, weights_at


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(packed(SOUND))
    return path


@pytest.fixture
def shards(tmp_path):
    """Two files and their index; the numbers are those of the sound file, twice."""
    for at, name in enumerate(("one.safetensors", "two.safetensors")):
        (tmp_path / name).write_bytes(
            packed({f"part{at}.{key}": entry for key, entry in SOUND.items() if "meta" not in key})
        )
    names = {f"part{at}.{key}": f"{n}.safetensors" for at, n in enumerate(("one", "two")) for key in SOUND}
    index = {"weight_map": {key: file for key, file in names.items() if "meta" not in key}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    return tmp_path


def test_a_count_of_weights(file):
    count = seqcost.count(str(file))
    assert count.params == 16 + 4 + 3 + 1
    rows = [(line["name"], line["amount"]) for line in count.lines]
    assert rows == [("h.0.attn", 20), ("h.2", 0), ("h.10.up", 3), ("scale", 1)]
    data = count.to_dict()
    unknown = {row.name for row in QUANTITIES.told(Told.COUNT)} - {"params"}
    assert all(data[quantity] is None for quantity in unknown | {"memory"})
    assert {row["quantity"] for row in data["uncounted"]} == unknown | {"memory", "polynomials"}
    for row in data["uncounted"]:
        said = NOT_TOLD if row["quantity"] == "trainable_params" else "no operators; give the config.json"
        assert said in row["reason"]
    assert data["weights"]["bytes"] == ROOM
    assert data["weights"]["dtypes"]["F32"] == {"tensors": 2, "elements": 20, "bytes": 80}
    assert list(data["weights"]["dtypes"]) == ["F32", "F64", "BF16", "I64"]


def test_several_files(shards):
    for target in (shards, shards / "model.safetensors.index.json"):
        count = seqcost.count(str(target))
        assert count.params == 48
        assert count.to_dict()["weights"]["files"] == ["one.safetensors", "two.safetensors"]


def test_a_configuration_goes_before_the_weights_and_disagreement_is_told(file):
    pytest.importorskip("transformers")
    small = {"model_type": "gpt2", "n_embd": 8, "n_layer": 1, "n_head": 2, "vocab_size": 16, "n_positions": 16}
    (file.parent / "config.json").write_text(json.dumps(small), "utf-8")
    count = seqcost.count(str(file.parent), length=8)
    assert count.rung == "fake tensors"
    said = f"the configuration gives {count.params:,} parameters, model.safetensors holds 24 elements"
    assert count.conventions["weights"].startswith(said)
    assert disagreement(file.parent, 24) is None


def test_a_difference_of_weights(file, shards):
    found = seqcost.diff(str(file), str(shards / "one.safetensors"))
    assert next(row for row in found.quantities if row.name == "params").difference == 0
    assert next(row for row in found.quantities if row.name == "flops").difference is None
    assert {line.name for line in found.lines} >= {"h.0.attn", "part0.h.0.attn"}


def test_no_torch_is_loaded(file):
    code = (
        f"import sys, seqcost; seqcost.count({str(file)!r}); sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sizes": {"D": 3}}, "sizes D were given"),
        ({"trace": True}, "a trace was given"),
        ({"phase": "train"}, "the phase train was given"),
        ({"dtype": "float16"}, "the dtype float16 was given"),
        ({"optimizer": "adamw"}, "an optimizer was given"),
        ({"source": 3}, "a source was given"),
    ],
)
def test_what_weights_have_no_use_for(file, options, says):
    with pytest.raises(BadTarget, match=says):
        seqcost.count(str(file), **options)


@pytest.mark.parametrize(
    ("index", "says"),
    [
        ("{", "is not JSON"),
        ("[]", "has no weight_map"),
        ('{"weight_map": {}}', "has no weight_map"),
        ('{"weight_map": {"a": 3}}', "has no weight_map"),
        ('{"weight_map": {"a": "../up.safetensors"}}', "a safetensors file in the same folder is allowed"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "a safetensors file in the same folder is allowed"),
        ('{"weight_map": {"a": "gone.safetensors"}}', "gone.safetensors, which is not there"),
        ('{"weight_map": {"a": "one.safetensors"}}', "do not have the same tensors"),
    ],
)
def test_spoilt_indices(shards, index, says):
    path = shards / "model.safetensors.index.json"
    path.write_text(index, "utf-8")
    with pytest.raises(BadTarget, match=says):
        weights_at(path)
