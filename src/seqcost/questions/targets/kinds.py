"""What a user may name as a target.

An architecture or preset with sizes; `package.module:callable`; a Hugging Face configuration, as a file, a folder or
`hf:MODEL_TYPE`, with settings overridden; a file of weights (safetensors), of a program of `torch.export` (pt2) or of a
graph (ONNX); a live module. `kind_of` tells them apart, everything else asks it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from seqcost.errors import BadSize, BadTarget
from seqcost.extras import need
from seqcost.files.child import read
from seqcost.formulas.catalogue import CATALOGUE, configure, entry
from seqcost.formulas.core.component import Component
from seqcost.formulas.core.foreign_names import FRIENDLY
from seqcost.questions.targets.hub_cache import cache_folder, cached_configuration, names_a_model

HUGGING_FACE = "hf:"
LARGEST_CONFIG_BYTES = 4 * 2**20
INDEX_OF_WEIGHTS = "model.safetensors.index.json"
WEIGHTS = "model.safetensors"

# Files by the end of their name, the longest that fits; a folder is what it has inside, the first that is there.
FILES = {
    ".safetensors.index.json": "weights",
    ".safetensors": "weights",
    ".json": "hugging-face",
    ".pt2": "exported-program",
    ".onnx": "onnx",
}
FOLDERS = {"config.json": "hugging-face", INDEX_OF_WEIGHTS: "weights", WEIGHTS: "weights"}


def resolve_sizes(name: str, sizes: Mapping[str, Any]) -> dict[str, Any]:
    """Friendly words to letters; a word for a size that the target lacks is refused by `configure`."""
    entry(name)
    out: dict[str, Any] = {}
    for word, value in sizes.items():
        letter = FRIENDLY.get(word, word)
        if letter in out:
            raise BadSize(f"{word} and {letter} were both given for {name}; give one.")
        out[letter] = value
    return out


def kind_of(target: str) -> str:
    """What a name stands for: catalogue, callable, hugging-face, weights, exported-program or onnx.

    Raises BadTarget for a file that is there and ends in no known way.
    """
    if target in CATALOGUE:
        return "catalogue"
    if target.startswith(HUGGING_FACE):
        return "hugging-face"
    path = Path(target)
    if path.is_dir():
        return next((kind for name, kind in FOLDERS.items() if (path / name).is_file()), "hugging-face")
    end = next((end for end in FILES if path.name.endswith(end)), None)
    if end is not None:
        return FILES[end]
    if path.is_file():
        raise BadTarget(f"{target} was given; a file that ends in {', '.join(FILES)} is allowed.")
    if "/" in target and ":" not in target:
        return "hugging-face"
    return "callable" if ":" in target else "catalogue"


def formula_of(target: str, sizes: Mapping[str, Any]) -> Component | None:
    """Config of a catalogue name; None for what has no formula; sizes of what has none are refused."""
    kind = kind_of(target)
    if kind == "catalogue":
        return configure(target, **resolve_sizes(target, sizes))
    if sizes and kind in _NO_SIZES:
        raise BadTarget(f"sizes {', '.join(sizes)} were given for {target!r}, {_NO_SIZES[kind]}.")
    return None


def need_for(target: Any) -> None:
    """Nothing where the package that reads a target is installed; asked before PyTorch is, whose extra lacks it.

    Raises MissingExtra, which names the `pip install` line.
    """
    kind = kind_of(target) if isinstance(target, str) else ""
    if kind in _READ_BY:
        need(*_READ_BY[kind])


_READ_BY = {
    "hugging-face": ("transformers", "Hugging Face configurations need"),
    "onnx": ("onnx", "ONNX graphs need"),
}
_NO_SIZES = {
    "callable": "which is code; set them in the callable instead",
    "weights": "a file of weights; give the config.json, whose settings can be set",
    "exported-program": "an exported program, whose sizes are fixed; export it anew",
    "onnx": "an ONNX graph, whose sizes are fixed; export it anew",
}


def spec_of(target: str, sizes: Mapping[str, Any], *, source: int | None = None) -> dict[str, Any]:
    """The target as plain data, for a trace or a started process; `source` is the length of a second sequence.

    Raises BadTarget for a file of weights alone, which nothing can run, and for a source of what makes its own inputs.
    """
    formula_of(target, sizes)
    kind = kind_of(target)
    if kind == "weights":
        raise BadTarget(f"{target} holds weights alone, which cannot be run; give the config.json of the model.")
    made = _SPECS[kind](target, sizes)
    if source is None:
        return made
    if kind not in ("catalogue", "hugging-face"):
        raise BadTarget(f"a source was given for {target!r}, which makes its own inputs; set its length there.")
    return made | {"source": source}


def _configuration(target: str, sizes: Mapping[str, Any]) -> dict[str, Any]:
    named = target.startswith(HUGGING_FACE)
    config = {"model_type": target.removeprefix(HUGGING_FACE)} if named else configuration_at(Path(target))
    return {"kind": "hugging-face", "name": target, "config": config, "sizes": dict(sizes)}


_SPECS: dict[str, Callable[[str, Mapping[str, Any]], dict[str, Any]]] = {
    "catalogue": lambda target, sizes: {
        "kind": "catalogue",
        "name": target,
        "sizes": resolve_sizes(target, sizes),
    },
    "callable": lambda target, sizes: {"kind": "callable", "path": target},
    "hugging-face": _configuration,
    "exported-program": lambda target, sizes: {"kind": "exported-program", "path": target},
    "onnx": lambda target, sizes: {"kind": "onnx", "path": target},
}


def configuration_at(path: Path) -> dict[str, Any]:
    """The Hugging Face configuration in a file, or in the `config.json` of a folder or of a model in the hub's cache.

    Raises BadTarget where there is none, or where it is no JSON object that names a model type.
    """
    file = path / "config.json" if path.is_dir() else path
    if not file.is_file():
        file = _elsewhere(path)
    if file.stat().st_size > LARGEST_CONFIG_BYTES:
        raise BadTarget(f"{file} has {file.stat().st_size:,} bytes; a configuration has a few thousand.")
    found = read("json", file)
    if not isinstance(found, dict) or not isinstance(found.get("model_type"), str):
        raise BadTarget(f"{file} names no model_type; a Hugging Face configuration is an object that does.")
    return found


def _elsewhere(path: Path) -> Path:
    """The configuration of a model by its name on the hub, as it was fetched; BadTarget where it is nowhere."""
    name = path.as_posix()
    if path.is_dir():
        raise BadTarget(f"{name} is a folder with none of {', '.join(FOLDERS)}; name one of a model.")
    if not names_a_model(name):
        raise BadTarget(
            f"{name} is not there; name a file or a folder with a Hugging Face configuration (config.json)."
        )
    found = cached_configuration(name)
    if found is None:
        raise BadTarget(
            f"{name} is no folder here and not in the hub's cache ({cache_folder()}), and nothing is downloaded: get "
            f"its configuration with `hf download {name} config.json`, or name a config.json."
        )
    return found
