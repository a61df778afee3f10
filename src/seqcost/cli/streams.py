"""What standard output can hold: UTF-8 as a rule, else an alphabet in which some of our signs are missing.

A sign that the encoding lacks is spelt in ASCII: T² as T^2, ⌈T/C⌉ as ceil(T/C), δ as delta, hₜ as h_t; one that has no
spelling is a question mark. JSON escapes what is not ASCII instead, so that nothing is lost.
"""

import codecs
import sys
import unicodedata
from typing import Any

_SPELT = {
    "·": "*", "×": "x", "⊙": "*", "−": "-", "–": "-", "—": "-", "─": "-", "│": "|", "…": "...", "≈": "~", "≤": "<=",
    "≥": ">=", "≠": "!=", "±": "+-", "→": "->", "←": "<-", "⌈": "ceil(", "⌉": ")", "⌊": "floor(", "⌋": ")", "²": "^2",
    "³": "^3", "⁴": "^4", "√": "sqrt ", "∈": " in ", "∑": "sum ", "∏": "prod ", "∞": "inf", "✓": "yes", "✗": "no",
}  # fmt: skip


def spell_what_is_missing() -> None:
    """Let both streams write anything, whatever their encoding."""
    codecs.register_error("seqcost.spelt", _spelt)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure") and stream.errors == "strict":
            stream.reconfigure(errors="seqcost.spelt")


def holds_everything() -> bool:
    """Whether standard output takes any sign as it is."""
    return (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "").startswith("utf")


def _spelt(error: Any) -> tuple[str, int]:
    missing = error.object[error.start : error.end]
    lowered = [unicodedata.decomposition(sign).startswith("<sub>") for sign in missing]
    starts = [low and not before for low, before in zip(lowered, [False, *lowered], strict=False)]
    spelt = "".join("_" * start + _spelling(sign) for sign, start in zip(missing, starts, strict=True))
    try:
        spelt.encode(error.encoding)
    except UnicodeEncodeError:  # no ASCII either
        spelt = "?" * len(missing)
    return spelt, error.end


def _spelling(sign: str) -> str:
    if sign in _SPELT:
        return _SPELT[sign]
    plain = unicodedata.normalize("NFKD", sign)  # a subscript's letter, a letter without its accent
    plain = "".join(_SPELT.get(part, part) for part in plain)
    if plain.isascii():
        return plain
    name = unicodedata.name(sign, "").split()
    if name[:1] == ["GREEK"]:
        return name[3].lower() if name[1] == "SMALL" else name[3].title()
    return plain.encode("ascii", "ignore").decode() or "?"
