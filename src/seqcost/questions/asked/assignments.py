"""Sizes and choices as people write them on a command line: `D=512`, `norm=rms`, `bias=false`."""

import math
import re
from typing import Any

from seqcost.errors import MOST_DIGITS, BadSize, shortened

_WHOLE = re.compile(r"[+-]?\d(_?\d)*")


def parse_assignment(text: str, option: str = "--set") -> tuple[str, Any]:
    """`D=512`, `norm=rms`, `bias=false` → name and value."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise BadSize(f"{option} {text!r} was given; LETTER=VALUE is allowed, such as D=512 or norm=rms.")
    return name.strip(), parse_value(value.strip())


def parse_value(text: str) -> Any:
    """A whole number, a decimal number, true or false, else the word itself.

    Raises BadSize for a number of more digits than can be worked with.
    """
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if _WHOLE.fullmatch(text):
        sign, digits = ("-", text[1:]) if text[0] == "-" else ("", text.removeprefix("+"))
        if len(digits) > MOST_DIGITS:
            raise BadSize(f"{shortened(text)} was given; a number of at most {MOST_DIGITS:,} digits is allowed.")
        return int(sign + digits)
    try:
        value = float(text)
    except ValueError:
        return text
    if math.isinf(value) and any(sign.isdigit() for sign in text):
        raise BadSize(f"{shortened(text)} was given, which is beyond the largest number of float64 (1.8e308).")
    return value
