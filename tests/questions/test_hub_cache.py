"""Models by their names on the hub: found in the cache that the packages keep, else told how to get there."""

import json
from pathlib import Path

import huggingface_hub
import pytest

from seqcost.errors import BadTarget
from seqcost.questions.count import count
from seqcost.questions.targets.hub_cache import cache_folder, cached_configuration, names_a_model

NAME, REVISION = "someone/a-model", "0123456789abcdef0123456789abcdef01234567"
CONFIG = {"model_type": "gpt2", "n_embd": 32, "n_layer": 1, "n_head": 2, "vocab_size": 64}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache with one model, laid out as the package lays it out."""
    model = tmp_path / "models--someone--a-model"
    for revision in (REVISION, "f" * 40):
        (model / "snapshots" / revision).mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(REVISION)
    (model / "blobs").mkdir()
    (model / "blobs" / "0a1b").write_text(json.dumps(CONFIG))
    (model / "snapshots" / REVISION / "config.json").symlink_to(Path("../../blobs/0a1b"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_package_finds_the_same_file(cache):
    found = huggingface_hub.try_to_load_from_cache(NAME, "config.json", cache_dir=cache)
    assert found == str(cached_configuration(NAME))


def test_a_model_by_its_name(cache):
    answer = count(NAME, length=8)
    assert (
        answer.flops == count("hf:gpt2", length=8, sizes={k: v for k, v in CONFIG.items() if k != "model_type"}).flops
    )
    assert answer.conventions["configuration"] == f"of the hub's cache, revision {REVISION}"
    assert count(NAME, length=8, sizes={"layers": 2}).params > answer.params


def test_a_folder_here_comes_first(cache):
    own = Path(NAME)
    own.mkdir(parents=True)
    (own / "config.json").write_text(json.dumps(CONFIG | {"n_layer": 2}))
    assert count(NAME, length=8).params == count(NAME, length=8, sizes={"n_layer": 2}).params


def test_what_is_in_no_cache_says_how_to_get_it(cache):
    with pytest.raises(BadTarget, match=r"nothing is downloaded: .*`hf download Qwen/Qwen3-8B config.json`"):
        count("Qwen/Qwen3-8B")


def test_a_folder_without_a_model_is_there(cache):
    (cache / "empty").mkdir()
    with pytest.raises(BadTarget, match=r"empty is a folder with none of config.json, "):
        count(str(cache / "empty"))
    with pytest.raises(BadTarget, match="no/such/folder is not there"):
        count("no/such/folder")


@pytest.mark.parametrize("name", ["../other", "a/..", "a/b/c", "a", "a/", "/a", "a/b\n", "~/x", "a b/c"])
def test_a_path_is_no_name_of_a_model(name):
    assert not names_a_model(name)


@pytest.mark.parametrize("revision", ["../../../elsewhere", "", "main", "\xff"])
def test_a_spoilt_revision_leads_nowhere(cache, revision):
    (cache / "models--someone--a-model" / "refs" / "main").write_text(revision, "latin-1")
    assert cached_configuration(NAME) is None


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HF_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({"HOME": "/d"}, "/d/.cache/huggingface/hub"),
    ],
    ids=str,
)
def test_the_cache_is_where_the_variables_say(monkeypatch, variables, folder):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(folder)
