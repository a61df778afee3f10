"""What a user may name as a target.

An architecture or preset with sizes; `package.module:callable`; a Hugging Face configuration, as a file, a folder or
`hf:MODEL_TYPE`, with settings overridden; a live module.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqcost.errors import BadSize, BadTarget
from seqcost.formulas.catalogue import CATALOGUE, configure, entry
from seqcost.formulas.parts.component import Component

HUGGING_FACE = "hf:"
LARGEST_CONFIG_BYTES = 4 * 2**20

# The words of the command line, and the letter that each stands for.
FRIENDLY = {"width": "D", "layers": "L", "heads": "H", "vocab": "U"}


def parse_assignment(text: str, option: str = "--set") -> tuple[str, Any]:
    """`D=512`, `norm=rms`, `bias=false` → name and value."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise BadSize(f"{option} {text!r} was given; LETTER=VALUE is allowed, such as D=512 or norm=rms.")
    return name.strip(), parse_value(value.strip())


def parse_value(text: str) -> Any:
    """A whole number, a decimal number, true or false, else the word itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text.replace("_", ""))
        except ValueError:
            continue
    return text


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


def formula_of(target: str, sizes: Mapping[str, Any]) -> Component | None:
    """Config of a catalogue name; None for what has no formula and must be traced; anything else is refused."""
    if target in CATALOGUE or not (":" in target or _is_path(target)):
        return configure(target, **resolve_sizes(target, sizes))
    if sizes and ":" in target and not target.startswith(HUGGING_FACE):
        raise BadTarget(
            f"sizes {', '.join(sizes)} were given for {target!r}, which is code; set them in the callable instead."
        )
    return None


def _is_path(target: str) -> bool:
    return "/" in target or Path(target).suffix == ".json" or Path(target).is_dir()


def spec_of(target: str, sizes: Mapping[str, Any], *, source: int | None = None) -> dict[str, Any]:
    """The target as plain data, for a trace or a started process; `source` is the length of a second sequence."""
    if formula_of(target, sizes) is None:
        if target.startswith(HUGGING_FACE):
            config = {"model_type": target.removeprefix(HUGGING_FACE)}
            return {"kind": "hugging-face", "name": target, "config": config, "sizes": dict(sizes)}
        if _is_path(target):
            return {
                "kind": "hugging-face",
                "name": target,
                "config": configuration_at(Path(target)),
                "sizes": dict(sizes),
            }
        return {"kind": "callable", "path": target}
    spec: dict[str, Any] = {"kind": "catalogue", "name": target, "sizes": resolve_sizes(target, sizes)}
    return spec if source is None else spec | {"source": source}


def configuration_at(path: Path) -> dict[str, Any]:
    """The Hugging Face configuration in a file, or in the `config.json` of a folder.

    Raises BadTarget where there is none, or where it is no JSON object that names a model type.
    """
    file = path / "config.json" if path.is_dir() else path
    if not file.is_file():
        raise BadTarget(
            f"{path} is not there; name a file or a folder with a Hugging Face configuration (config.json)."
        )
    if file.stat().st_size > LARGEST_CONFIG_BYTES:
        raise BadTarget(f"{file} has {file.stat().st_size:,} bytes; a configuration has a few thousand.")
    try:
        found = json.loads(file.read_text("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise BadTarget(f"{file} is not JSON ({error}); write a Hugging Face configuration.") from None
    if not isinstance(found, dict) or not isinstance(found.get("model_type"), str):
        raise BadTarget(f"{file} names no model_type; a Hugging Face configuration is an object that does.")
    return found
