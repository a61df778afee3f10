"""Lengths as people write them: `1024`, `128k`, `1M`, `10^30`, `64,256,1024`, `128..1M`.

k, M and G are powers of 1024, as context lengths are named (128k = 131,072). `A..B` doubles from A to B;
`A..B+D` adds D, `A..B*F` multiplies by F.
"""

import re
from collections.abc import Iterable, Iterator

from seqcost.errors import MOST_DIGITS, BadSize, shortened

_SUFFIX = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_NUMBER = re.compile(r"(\d[\d_]*)(?:\^(\d{1,3})|e(\d{1,3})|([kmg]))?", re.IGNORECASE)
_ALLOWED = "a whole number of at least 1 (1024, 128k, 1M, 10^30), a list (64,256) or a range (128..1M) is allowed"
_ONE_ALLOWED = "a whole number of at least 1 (64, 4k, 10^6) is allowed"
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


def parse_length(text: str) -> int:
    """One length."""
    return parse_whole(text, "length", _ALLOWED)


def parse_lengths(texts: Iterable[str]) -> list[int]:
    """Every length that the texts name, in their order, without repetitions."""
    out: dict[int, None] = {}
    for text in texts:
        for item in text.split(","):
            for length in _one_item(item):
                out[length] = None
                if len(out) > MOST_LENGTHS:
                    raise BadSize(
                        f"length {shortened(text)} names over {MOST_LENGTHS:,} lengths; give a coarser range."
                    )
    return list(out)


def _one_item(item: str) -> Iterator[int]:
    if ".." not in item:
        yield parse_length(item)
        return
    first_text, _, rest = item.partition("..")
    found = re.fullmatch(r"([^+*]+)(?:([+*])(.+))?", rest)
    if found is None:
        raise BadSize(f"length {shortened(item)} was given; {_ALLOWED}.")
    last_text, operation, amount_text = found.groups()
    first, last = parse_length(first_text), parse_length(last_text)
    amount = parse_length(amount_text) if operation else 2
    if last < first:
        turned = f"{last_text}..{first_text}"
        raise BadSize(f"length {shortened(item)} was given, whose end is below its start; write {turned}.")
    if operation != "+" and amount < 2:
        raise BadSize(f"length {shortened(item)} was given; a range multiplies by 2 or more.")
    while first <= last:
        yield first
        first = first + amount if operation == "+" else first * amount
