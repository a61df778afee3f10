"""Files of weights and ONNX graphs with a few bytes or values spoilt, the same ones for the same seed and number."""

import io
import json
import random
import struct
import zipfile

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


def mutated_graph(sound, seed, number):
    """An ONNX graph: a few of its bytes, or a size, a name, an attribute, a node of it, changed."""
    draw = random.Random(f"onnx/{seed}/{number}")
    if draw.random() < 0.5:
        return mutated_bytes(sound, draw)
    import onnx

    model = onnx.load_model_from_string(sound)
    for _ in range(draw.choice((1, 1, 2, 3))):
        _change_graph(model, draw)
    return model.SerializeToString()


def _change_graph(model, draw):
    from onnx import helper

    graph = model.graph
    node = draw.choice(graph.node) if graph.node else None
    change = draw.choice(("kind", "input", "output", "attribute", "twice", "less", "size", "type", "values", "again"))
    if node is None:
        return
    if change == "kind":
        node.op_type = draw.choice(
            ("Concat", "Expand", "Tile", "If", "Loop", "LSTM", "Einsum", "Range", "Conv", "\x1b[2J", "")
        )
    elif change == "input" and node.input:
        node.input[draw.randrange(len(node.input))] = draw.choice(("x", "w", "shape", "y", "", "gone", "\u202e"))
    elif change == "output" and node.output:
        node.output[0] = draw.choice(("x", "w", "y", "", "a"))
    elif change == "attribute":
        value = draw.choice((0, -1, 2**40, -(2**63), 1.5, "word", [1, -1], [2**31] * 3, "\x1b"))
        node.attribute.append(helper.make_attribute(draw.choice(("axis", "perm", "to", "axes", "allowzero")), value))
    elif change == "twice":
        for _ in range(draw.choice((1, 30))):
            graph.node.append(helper.make_node("Concat", [node.output[0]] * 2, [node.output[0]], axis=0))
    elif change == "less":
        graph.node.remove(node)
    elif change == "size" and graph.input:
        size = draw.choice(graph.input[0].type.tensor_type.shape.dim)
        if draw.random() < 0.5:
            size.dim_value = draw.choice((0, -1, 1, 8, 2**31, 2**62))
        else:
            size.dim_param = draw.choice(
                ("batch", "sequence", "2*s", "s//0", "a**b", "(", "\x1b", "x" * 5000, "1e9", "a-a")
            )
    elif change == "type" and graph.initializer:
        draw.choice(graph.initializer).data_type = draw.choice((0, 1, 2, 7, 8, 9, 16, 99))
    elif change == "values" and graph.initializer:
        tensor = draw.choice(graph.initializer)
        tensor.dims[:] = draw.choice(([], [0], [-1], [2**40], [2**31, 2**31], [4, 6], [1] * 70))
        if draw.random() < 0.5:
            tensor.raw_data = bytes(draw.randrange(256) for _ in range(draw.choice((0, 7, 8, 16))))
    else:
        graph.node.append(node)


def mutated_program(sound, seed, number):
    """A .pt2 archive: a few of its bytes, or values anywhere in its JSON, or its members changed."""
    draw = random.Random(f"pt2/{seed}/{number}")
    kind = draw.choice(("bytes", "json", "json", "json", "members"))
    if kind == "bytes":
        return mutated_bytes(sound, draw)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(sound)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            content, name = old.read(info), info.filename
            if kind == "json" and name.endswith("model.json"):
                graph = json.loads(content)
                for _ in range(draw.choice((1, 1, 2, 4))):
                    _change_json(graph, draw)
                content = json.dumps(graph).encode()
            elif kind == "members" and draw.random() < 0.2:
                name, content = draw.choice(
                    (
                        (name.upper(), content),
                        (name + "x", content),
                        (name, b""),
                        ("../../up", content),
                        (name, b"{}" * 1000),
                        (name, b"[" * 100000),
                        (name, b"\x80\x04."),
                    )
                )
            new.writestr(name, content)
    return out.getvalue()


_ODD = (
    None,
    True,
    -1,
    0,
    2**31,
    2**62,
    10**30,
    1.5,
    "",
    "x",
    "\x1b[2J",
    [],
    {},
    [[]],
    {"as_int": 10**12},
    {"as_none": True},
    {"as_expr": {"expr_str": "exec('1')"}},
    "Pow(Integer(9), Integer(99999999))",
    "torch.ops.aten._print.default",
    "torch.ops.aten.zeros.default",
    "torch.ops.aten.cat.default",
    "ids",
    "linear",
    {"name": "ids"},
    "9" * 5000,
)


def _change_json(value, draw):
    """Walk down to somewhere and put something else there; the graph's own part is looked for more often."""
    above = value.get("graph_module")
    inner = above.get("graph") if isinstance(above, dict) else None
    value = inner if draw.random() < 0.7 and isinstance(inner, dict) else value
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = draw.choice(keys)
        below = value[key]
        if isinstance(below, dict | list) and below and draw.random() < 0.85:
            value = below
            continue
        change = draw.choice(("set", "set", "set", "delete", "twice", "number"))
        if change == "delete":
            del value[key]
        elif change == "twice" and isinstance(value, list):
            value[key:key] = [below] * draw.choice((1, 50))
        elif change == "number" and isinstance(below, int):
            value[key] = below + draw.choice((-1, 1, 7, 10**6, 10**12))
        else:
            value[key] = draw.choice(_ODD)
        return
