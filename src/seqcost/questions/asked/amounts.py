"""Amounts of memory and time as people write them: `24GiB`, `80 GB`, `1h`, `250ms`; or as numbers of Python.

KiB, MiB, GiB and TiB are powers of 1024, kB, MB, GB and TB powers of 1000; a bare number is bytes, or seconds.
"""

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from seqcost.errors import BadSize, shortened

_BYTES: Mapping[str, Fraction | int] = {
    "": 1, "b": 1,
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgtp", 1)},
    **{f"{prefix}b": 1000**power for power, prefix in enumerate("kmgtp", 1)},
}  # fmt: skip
_SECONDS: Mapping[str, Fraction | int] = {
    "": 1, "s": 1, "ms": Fraction(1, 1000), "us": Fraction(1, 10**6), "µs": Fraction(1, 10**6),
    "min": 60, "m": 60, "h": 3600, "d": 86400,
}  # fmt: skip
_AMOUNT = re.compile(r"(\d{1,30}(?:\.\d{1,30})?)\s*([^\W\d_]*)")
_BYTES_ALLOWED = "an amount above 0 with a unit (24GiB, 80GB, 512MiB) is allowed"
_SECONDS_ALLOWED = "a time above 0 with a unit (1h, 30min, 90s, 250ms) is allowed"


def bytes_in(given: Any, what: str) -> int:
    """A number of bytes, given as one or as text.

    Raises BadSize, in which `what` names the argument.

    >>> bytes_in("1.5 GiB", "memory")
    1610612736
    """
    return int(_amount(given, what, _BYTES, _BYTES_ALLOWED))


def seconds_in(given: Any, what: str) -> float:
    """A number of seconds, given as one or as text.

    Raises BadSize, in which `what` names the argument.

    >>> seconds_in("1h", "time")
    3600.0
    """
    return float(_amount(given, what, _SECONDS, _SECONDS_ALLOWED))


def _amount(given: Any, what: str, units: Mapping[str, Fraction | int], allowed: str) -> Fraction:
    refused = BadSize(f"{what} = {shortened(given)} was given; {allowed}.")
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise refused
    if isinstance(given, str):
        found = _AMOUNT.fullmatch(given.strip())
        if found is None or found[2].lower() not in units:
            raise refused
        amount = Fraction(found[1]) * units[found[2].lower()]
    else:
        if not math.isfinite(given):
            raise refused
        amount = Fraction(given)
    if amount <= 0 or (units is _BYTES and amount < 1):
        raise refused
    return amount
