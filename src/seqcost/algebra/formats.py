"""Number formats: the four that a model computes in, by the names that people and packages use for them."""

from typing import Any

from seqcost.errors import UnknownName, shortened

ITEMSIZE = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}  # bytes of one number

_ALSO = {
    "float32": ("fp32", "f32", "float", "single"),
    "bfloat16": ("bf16",),
    "float16": ("fp16", "f16", "half"),
    "float64": ("fp64", "f64", "double"),
}
NAMES = {name: name for name in ITEMSIZE} | {short: name for name, shorts in _ALSO.items() for short in shorts}


def dtype_named(given: Any) -> str:
    """The full name of a format: of "bf16", "BF16" and torch.bfloat16 alike "bfloat16".

    Raises UnknownName for what names none of the four.

    >>> dtype_named("bf16")
    'bfloat16'
    >>> dtype_named("float")
    'float32'
    """
    text = given if isinstance(given, str) else str(given) if type(given).__module__ == "torch" else ""
    found = NAMES.get(text.removeprefix("torch.").lower())
    if found is None:
        raise UnknownName.among("dtype", given if isinstance(given, str) else shortened(given), NAMES)
    return found
