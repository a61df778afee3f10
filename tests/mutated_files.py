"""Files of weights and ONNX graphs with a few bytes or values spoilt, the same ones for the same seed and number."""

import json
import random
import struct

SOUND = {
    "__metadata__": {"format": "pt"},
    "h.0.attn.weight": {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]},
    "h.0.attn.bias": {"dtype": "F32", "shape": [4], "data_offsets": [64, 80]},
    "h.10.up.weight": {"dtype": "BF16", "shape": [3, 1], "data_offsets": [80, 86]},
    "scale": {"dtype": "F64", "shape": [], "data_offsets": [86, 94]},
    "h.2.empty": {"dtype": "I64", "shape": [0, 7], "data_offsets": [94, 94]},
}
ROOM = 94
_SPOILT = (None, True, -1, 0, 1.5, "", "F32", "F7", [], {}, [[]], [-1, 2], [0, 2**63], [1, "2"], 10**400, 2**64,
           "x" * 999, [0] * 70, {"dtype": "F32"}, "\u0000", "😀")  # fmt: skip


def packed(header, room=ROOM):
    """A file: length, header, and so many bytes of weights."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(room)


def mutated_header(seed, number):
    """A file of weights: a value of its header, or a few of its bytes, changed."""
    draw = random.Random(f"{seed}/{number}")
    if draw.random() < 0.4:
        return mutated_bytes(packed(SOUND), draw, first=len(packed(SOUND)) - ROOM)
    header = json.loads(json.dumps(SOUND))
    name = draw.choice(sorted(header))
    change = draw.choice(("entry", "field", "missing", "unknown", "offsets", "more", "whole"))
    if change == "entry":
        header[name] = draw.choice(_SPOILT)
    elif change == "missing":
        del header[name]
    elif change == "unknown":
        header[draw.choice(("", "a" * 500, "..", "h.0", "\n"))] = draw.choice(_SPOILT)
    elif change == "more":
        return packed(header, draw.choice((0, 1, ROOM - 1, ROOM + 1, 10 * ROOM)))
    elif change == "whole":
        return packed(json.dumps(draw.choice(_SPOILT)).encode())
    elif isinstance(header[name], dict):
        field = "data_offsets" if change == "offsets" else draw.choice(("dtype", "shape", "data_offsets", "new"))
        header[name][field] = draw.choice((*_SPOILT, [0, 0], [80, 64], [10, 74], [0, 63], [0, 10**30]))
    return packed(header)


def mutated_bytes(content, draw, first=None):
    """One to eight bytes changed, left out or cut off; among the first ones where so many are named."""
    spoilt = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8))):
        at = draw.randrange(min(len(spoilt), first or len(spoilt)) or 1)
        change = draw.choice(("set", "set", "flip", "delete", "insert", "cut"))
        if change == "set":
            spoilt[at : at + 1] = bytes([draw.randrange(256)])
        elif change == "flip" and spoilt:
            spoilt[at] ^= 1 << draw.randrange(8)
        elif change == "delete":
            del spoilt[at : at + draw.choice((1, 4))]
        elif change == "insert":
            spoilt[at:at] = bytes(draw.randrange(256) for _ in range(draw.choice((1, 8))))
        elif draw.random() < 0.3:
            del spoilt[at:]
    return bytes(spoilt)
