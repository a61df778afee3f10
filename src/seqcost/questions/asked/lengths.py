"""Lengths as people write them: `1024`, `128k`, `1M`, `10^30`, `64,256,1024`, `128..1M`; or as numbers of Python.

k, M and G are powers of 1024, as context lengths are named (128k = 131,072). `A..B` doubles from A to B;
`A..B+D` adds D, `A..B*F` multiplies by F.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from seqcost.errors import MOST_DIGITS, BadSize, shortened

_SUFFIX = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_NUMBER = re.compile(r"(\d[\d_]*)(?:\^(\d{1,3})|e(\d{1,3})|([kmg]))?", re.IGNORECASE)
_ALLOWED = "a whole number of at least 1 (1024, 128k, 1M, 10^30), a list (64,256) or a range (128..1M) is allowed"
_ONE_ALLOWED = "a whole number of at least 1 (64, 4k, 10^6) is allowed"
_SEVERAL = (list, tuple, range, set, frozenset)
MOST_LENGTHS = 5_000  # a formula takes some milliseconds at each


def parse_whole(text: str, what: str, allowed: str = _ONE_ALLOWED) -> int:
    """One whole number of at least 1, with the suffixes of lengths; anything else raises BadSize."""
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        raise BadSize(f"{what} {shortened(text)} was given; {allowed}.")
    digits, power, exponent, suffix = found.groups()
    too_long = f"{what} {shortened(text)} was given; a number of at most {MOST_DIGITS:,} digits is allowed."
    if len(digits) * int(power or 1) + int(exponent or 0) > 2 * MOST_DIGITS:  # not worked out at all
        raise BadSize(too_long)
    value = int(digits.replace("_", ""))
    if power is not None:
        value = value ** int(power)
    elif exponent is not None:
        value = value * 10 ** int(exponent)
    value *= _SUFFIX[(suffix or "").lower()]
    if value < 1:
        raise BadSize(f"{what} {shortened(text)} was given; {allowed}.")
    if value >= 10**MOST_DIGITS:
        raise BadSize(too_long)
    return value


def whole(given: Any, what: str) -> int:
    """A whole number of at least 1, given as one or as text ("128k").

    Raises BadSize, in which `what` names the argument.

    >>> whole("128k", "length")
    131072
    """
    if isinstance(given, str):
        return parse_whole(given, what)
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise BadSize(f"{what} = {shortened(given)} was given; a whole number of at least 1 is allowed.")
    if given >= 10**MOST_DIGITS:
        raise BadSize(f"{what} = {shortened(given)} was given; one of at most {MOST_DIGITS:,} digits is allowed.")
    return given


def lengths_in(given: Any, what: str = "length") -> list[int]:
    """Lengths given as a number, as text, or as several of them, in their order.

    Raises BadSize for what is none, and for none at all.

    >>> lengths_in("1k,128k")
    [1024, 131072]
    >>> lengths_in([64, "100..300*3"])
    [64, 100, 300]
    """
    if isinstance(given, str):
        return parse_lengths([given], what)
    if not isinstance(given, _SEVERAL):
        return [whole(given, what)]
    out = [n for item in given for n in (parse_lengths([item], what) if isinstance(item, str) else [whole(item, what)])]
    if not out:
        raise BadSize(f"no {what} was given; give at least one whole number.")
    return out


def names_several(given: Any) -> bool:
    """Whether an argument asks for several lengths, so that the answer is a list: a list does, "1k,128k", "64..4k"."""
    return any(sign in given for sign in (",", "..")) if isinstance(given, str) else isinstance(given, _SEVERAL)


def parse_length(text: str, what: str = "length") -> int:
    """One length."""
    return parse_whole(text, what, _ALLOWED)


def parse_lengths(texts: Iterable[str], what: str = "length") -> list[int]:
    """Every length that the texts name, in their order, without repetitions."""
    out: dict[int, None] = {}
    for text in texts:
        for item in text.split(","):
            for length in _one_item(item, what):
                out[length] = None
                if len(out) > MOST_LENGTHS:
                    raise BadSize(
                        f"{what} {shortened(text)} names over {MOST_LENGTHS:,} lengths; give a coarser range."
                    )
    return list(out)


def _one_item(item: str, what: str) -> Iterator[int]:
    if ".." not in item:
        yield parse_length(item, what)
        return
    first_text, _, rest = item.partition("..")
    found = re.fullmatch(r"([^+*]+)(?:([+*])(.+))?", rest)
    if found is None:
        raise BadSize(f"{what} {shortened(item)} was given; {_ALLOWED}.")
    last_text, operation, amount_text = found.groups()
    first, last = parse_length(first_text, what), parse_length(last_text, what)
    amount = parse_length(amount_text, what) if operation else 2
    if last < first:
        turned = f"{last_text}..{first_text}"
        raise BadSize(f"{what} {shortened(item)} was given, whose end is below its start; write {turned}.")
    if operation != "+" and amount < 2:
        raise BadSize(f"{what} {shortened(item)} was given; a range multiplies by 2 or more.")
    while first <= last:
        yield first
        first = first + amount if operation == "+" else first * amount
