import pytest

from seqcost.errors import BadSize, BadTarget, UnknownName
from seqcost.questions.asked.assignments import parse_assignment
from seqcost.questions.targets.catalogue import resolve_sizes
from seqcost.questions.targets.resolve import kind_of, resolve


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("D=512", ("D", 512)), ("norm=rms", ("norm", "rms")), ("bias=false", ("bias", False)),
        ("epsilon=1e-6", ("epsilon", 1e-6)), (" D = 8 ", ("D", 8)), ("D=-3", ("D", -3)),
    ],
)  # fmt: skip
def test_assignments(text, pair):
    assert parse_assignment(text) == pair


@pytest.mark.parametrize("text", ["D", "=3", "D=", ""])
def test_what_is_no_assignment(text):
    with pytest.raises(BadSize, match="LETTER=VALUE is allowed"):
        parse_assignment(text)


def test_friendly_words_are_letters():
    assert resolve_sizes("gpt2", {"width": 64, "layers": 2, "heads": 4, "vocab": 11}) == {
        "D": 64,
        "L": 2,
        "H": 4,
        "U": 11,
    }


def test_a_size_given_twice_is_refused():
    with pytest.raises(BadSize, match="both given for gpt2"):
        resolve_sizes("gpt2", {"width": 64, "D": 64})


def test_near_misses_are_named():
    with pytest.raises(UnknownName, match="did you mean"):
        resolve("gpt-2", {})


def test_sizes_of_code_are_refused():
    with pytest.raises(BadTarget, match="set them in the callable"):
        resolve("pkg.mod:fn", {"D": 3})


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gpt2", "catalogue"), ("gtp2", "catalogue"), ("hf:gpt2", "hugging-face"), ("pkg.mod:fn", "callable"),
        ("some/folder", "hugging-face"), ("config.json", "hugging-face"), ("m.safetensors", "weights"),
        ("m.safetensors.index.json", "weights"), ("m.pt2", "exported-program"), ("a/m.onnx", "onnx"),
    ],
)  # fmt: skip
def test_kinds(name, kind):
    assert kind_of(name) == kind


def test_folders_are_what_they_have_inside(tmp_path):
    assert kind_of(str(tmp_path)) == "hugging-face"  # which says that there is no config.json
    for name, kind in (("model.safetensors", "weights"), ("config.json", "hugging-face")):
        (tmp_path / name).touch()
        assert kind_of(str(tmp_path)) == kind


@pytest.mark.parametrize("name", ["m.safetensors", "m.pt2", "m.onnx"])
def test_sizes_of_files_are_refused(name):
    with pytest.raises(BadTarget, match="sizes D were given"):
        resolve(name, {"D": 3})


def test_specs_are_plain_data():
    assert resolve("lstm", {"width": 8}).spec() == {"kind": "catalogue", "name": "lstm", "sizes": {"D": 8}}
    assert resolve("pkg.mod:fn").spec() == {"kind": "callable", "path": "pkg.mod:fn"}
    assert resolve("encoder-decoder").spec(7)["source"] == 7


@pytest.mark.parametrize("sizes", [{"D": True}, {"D": 1.5}, {"D": "wide"}, {"D": 0}, {"D": -4}, {"L": 0}])
def test_sizes_that_are_none(sizes):
    with pytest.raises(BadSize, match=r"is allowed|choose sizes"):
        resolve("gpt2", sizes)
