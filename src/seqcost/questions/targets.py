"""What a user may name as a target: an architecture or preset with sizes, `package.module:callable`, a live module."""

from collections.abc import Mapping
from typing import Any

from seqcost.errors import BadSize, BadTarget
from seqcost.formulas.catalogue import CATALOGUE, configure, entry
from seqcost.formulas.parts.component import Component

# The words of the command line, and the letter that each stands for.
FRIENDLY = {"width": "D", "layers": "L", "heads": "H", "vocab": "U"}


def parse_assignment(text: str) -> tuple[str, Any]:
    """`D=512`, `norm=rms`, `bias=false` → name and value."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise BadSize(f"--set {text!r} was given; LETTER=VALUE is allowed, such as D=512 or norm=rms.")
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
    """Config of a catalogue name; None for `package.module:callable`; anything else is refused."""
    if target in CATALOGUE or ":" not in target:
        return configure(target, **resolve_sizes(target, sizes))
    if sizes:
        raise BadTarget(
            f"sizes {', '.join(sizes)} were given for {target!r}, which is code; set them in the callable instead."
        )
    return None


def spec_of(target: str, sizes: Mapping[str, Any], *, source: int | None = None) -> dict[str, Any]:
    """The target as plain data, for a trace or a started process; `source` is the length of a second sequence."""
    if formula_of(target, sizes) is None:
        return {"kind": "callable", "path": target}
    spec: dict[str, Any] = {"kind": "catalogue", "name": target, "sizes": resolve_sizes(target, sizes)}
    return spec if source is None else spec | {"source": source}
