"""The header of a safetensors file: names, data types, shapes and places of its tensors; the weights are never read.

A file begins with eight bytes, the length of the header (little-endian), then the header, JSON: for every tensor its
`dtype`, its `shape` and its `data_offsets` [begin, end) in what follows. The offsets must cover the rest of the file
without a hole. (Format: https://huggingface.co/docs/safetensors, "Format".)

Read here and not with the safetensors package: this room needs neither a package nor NumPy for twenty lines, and the
package's own complaint about a spoilt header is not one sentence that says what to do.
"""

import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqcost.errors import BadTarget
from seqcost.files.child import read

MOST_HEADER_BYTES = 100_000_000  # the format's own limit
MOST_DIMENSIONS = 64
# Bits of an element. The four-bit and six-bit types pack their elements.
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64,
    "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


@dataclass(frozen=True)
class Stored:
    """A tensor as a header describes it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int

    @property
    def numel(self) -> int:
        """Elements; 1 for a scalar."""
        return math.prod(self.shape)


def stored_at(path: Path) -> tuple[Stored, ...]:
    """The tensors of a file, read in a process of its own; raises BadTarget as `read_header` does."""
    return tuple(Stored(name, dtype, tuple(shape), nbytes) for name, dtype, shape, nbytes in read("safetensors", path))


def read_header(path: Path, shown: str = "") -> list[list[Any]]:
    """Name, dtype, shape and bytes of the tensors of a file, in the order in which they lie in it.

    `shown` is what a sentence calls the file. Raises BadTarget for a file that cannot be read, for a header that is
    cut off, too long or no JSON, and for one that does not describe the file it stands in.
    """
    shown = shown or str(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = int.from_bytes(start, "little")
            if len(start) < 8 or length > size - 8:
                asked = f"its header would have {length:,} bytes" if len(start) == 8 else "8 bytes say how long it is"
                raise _spoilt(shown, f"the file has {size:,} bytes, {asked}")
            if length > MOST_HEADER_BYTES:
                raise _spoilt(shown, f"it has {length:,} bytes, at most {MOST_HEADER_BYTES:,} are allowed")
            text = file.read(length)
    except OSError as error:
        raise BadTarget(f"{shown} cannot be read ({error.strerror or error}); name a file of weights.") from None
    found = _checked(shown, _parsed(shown, text), size - 8 - length)
    return [[tensor.name, tensor.dtype, list(tensor.shape), tensor.nbytes] for tensor in found]


def _parsed(shown: str, text: bytes) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
            raise _spoilt(shown, f"{_short(twice)} stands in it twice")
        return found

    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=once)
    except BadTarget:
        raise
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits
        raise _spoilt(shown, f"it is not JSON: {_short(str(error))}") from None
    if not isinstance(header, dict):
        raise _spoilt(shown, f"it is a JSON {type(header).__name__}, an object is allowed")
    return header


def _checked(shown: str, header: dict[str, Any], room: int) -> tuple[Stored, ...]:
    placed = []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if not isinstance(entry, dict):
            raise _spoilt(shown, f"{_short(name)} is no object with dtype, shape and data_offsets")
        dtype: Any = entry.get("dtype")
        shape: Any = entry.get("shape")
        offsets: Any = entry.get("data_offsets")
        if not isinstance(dtype, str) or dtype not in BITS:
            raise _spoilt(shown, f"{_short(name)} has the unknown dtype {_short(str(dtype))}")
        if not _whole_numbers(shape) or len(shape) > MOST_DIMENSIONS:
            raise _spoilt(shown, f"the shape of {_short(name)} is no list of at most {MOST_DIMENSIONS} whole numbers")
        if not _whole_numbers(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
            raise _spoilt(shown, f"the data_offsets of {_short(name)} are no pair of rising whole numbers")
        tensor = Stored(name, dtype, tuple(shape), offsets[1] - offsets[0])
        if tensor.numel * BITS[dtype] != 8 * tensor.nbytes:
            raise _spoilt(
                shown, f"{_short(name)} has {tensor.nbytes:,} bytes, its shape and dtype ask for another size"
            )
        placed.append((offsets, tensor))
    placed.sort(key=lambda pair: pair[0])
    end = 0
    for (begin, after), tensor in placed:
        if begin != end:
            raise _spoilt(
                shown, f"{_short(tensor.name)} begins at byte {begin:,}, the tensor before it ends at {end:,}"
            )
        end = after
    if end != room:
        raise _spoilt(shown, f"its tensors take {end:,} bytes, {room:,} follow the header")
    return tuple(tensor for _, tensor in placed)


def _whole_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**63 for n in value)


def _short(text: str) -> str:
    """A name or a complaint as one line of bounded length."""
    line = repr(text)[1:-1]
    return line if len(line) <= 80 else f"{line[:77]}..."


def _spoilt(shown: str, what: str) -> BadTarget:
    return BadTarget(f"the safetensors header of {shown} is spoilt ({what}); download or write the file again.")
