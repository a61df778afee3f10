"""An ONNX file as plain data: nodes, inputs, and weights by shape and type; read with the onnx package.

Values of weights are not needed, so neither are the files beside the graph in which large ones lie (external data).
Values of small constants are kept, since they may decide a shape. Functions are put in their places only once it is
known how many operators that makes.

A graph is {"nodes", "constants", "outputs", "inputs"}; a node [kind, domain, name, path, inputs, outputs, attributes,
opset]; an attribute ["plain", value], ["tensor", constant] or ["graph", graph]; a constant {"shape", "type": number in
TensorProto.DataType, "parameter", "values": [dtype of NumPy, base64] or null, "why": what is wrong with them}.
"""

import ast
import base64
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, inliner, numpy_helper

from seqcost.errors import BadTarget, with_type

MOST_FILE_BYTES = 2**31  # protobuf's own limit
MOST_NODES = 100_000  # with all functions in their places
MOST_DEPTH = 20  # of graphs inside graphs, and of functions inside functions
MOST_VALUES = 4096  # elements of a constant whose values may decide a shape
MOST_LETTERS = 2000  # of the name of an axis
_FLOATING = (1, 10, 11, 16, 17, 18, 19, 20)
_NUMBERS = (2, 3)  # bytes, which hold quantised weights
_KNOWN = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20})
_KIND = "pkg.torch.export.graph_signature.InputSpec.kind"
_FOLDED_FROM = "pkg.onnxscript.optimizer.folded_from"
_SCOPES = "pkg.torch.onnx.name_scopes"


def read_model(path: Path, name: str) -> dict[str, Any]:
    """The graph of an .onnx file; raises BadTarget for what is no such file, and for one that is too large."""
    size = path.stat().st_size
    if size > MOST_FILE_BYTES:
        raise BadTarget(f"{name} has {size:,} bytes; weights that large lie in a file beside the graph.")
    try:
        model = onnx.load_model(str(path), format="protobuf", load_external_data=False)
        _refuse_many(model, name)
        if model.functions:
            model = inliner.inline_local_functions(model)
        if not model.graph.node:
            raise BadTarget(f"{name} has no operators; an ONNX graph is allowed.")
        _clean_names(model.graph)
        opsets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
        return _graph(model.graph, opsets, name)
    except (BadTarget, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - a spoilt file goes wrong in many ways
        raise BadTarget(f"{name} is not an ONNX graph ({with_type(error, most=200)}); export it anew.") from None


def _refuse_many(model: Any, target: str) -> None:
    """Count the operators that there are once every function stands in its place, before it does."""
    functions = {(f.domain, f.name, f.overload): f.node for f in model.functions}
    known: dict[Any, int] = {}

    def nodes_in(nodes: Any, above: tuple[Any, ...]) -> int:
        if len(above) > MOST_DEPTH:
            raise BadTarget(f"{target} has graphs or functions inside each other, over {MOST_DEPTH} deep; export less.")
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type, node.overload)
            if key in functions:
                if key in above:
                    raise BadTarget(f"{target} has the function {_word(node.op_type)[:80]}, which calls itself.")
                if key not in known:
                    known[key] = nodes_in(functions[key], (*above, key))
                total += known[key]
            total += 1
            total += sum(nodes_in(attribute.g.node, (*above, None)) for attribute in node.attribute)
            if total > MOST_NODES:
                raise BadTarget(f"{target} has over {MOST_NODES:,} operators; export a smaller graph.")
        return total

    nodes_in(model.graph.node, ())


def _clean_names(graph: Any) -> None:
    """Names that stand on one line, as they will in a sentence."""
    for named in (*graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        named.name = _word(named.name)
    for value in graph.input:
        for size in value.type.tensor_type.shape.dim if value.type.HasField("tensor_type") else ():
            if size.HasField("dim_param"):
                size.dim_param = _word(size.dim_param)
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [_word(name) for name in names]
        node.op_type, node.domain = _word(node.op_type), _word(node.domain)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _clean_names(attribute.g)


def _word(name: str) -> str:
    return name if name.isprintable() else repr(name)[1:-1]


def _graph(proto: Any, opsets: Mapping[str, int], target: str) -> dict[str, Any]:
    kinds = {value.name: kind for value in proto.value_info if (kind := _note(value, _KIND))}
    folded = {value.name: _folded(_note(value, _FOLDED_FROM)) for value in proto.value_info}
    held = {tensor.name for tensor in proto.initializer}
    constants: dict[str, Any] = {}
    for tensor in proto.initializer:
        origin = folded.get(tensor.name)
        # A copy that the exporter made of a weight that is there as well is no second one.
        shared = origin in held and origin != tensor.name
        constants[tensor.name] = _constant(tensor.name, tensor, target, weight=not shared, kind=kinds.get(tensor.name))
    nodes = []
    for node in proto.node:
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx") and len(node.output) == 1:
            constants[node.output[0]] = _constant(node.output[0], _tensor_of(node, target), target, weight=False)
        else:
            nodes.append(_node(node, opsets, target))
    inputs = {value.name: _input(value, target) for value in proto.input if value.name not in constants}
    return {"nodes": nodes, "constants": constants, "outputs": [value.name for value in proto.output], "inputs": inputs}


def _constant(name: str, proto: Any, target: str, *, weight: bool, kind: str | None = None) -> dict[str, Any]:
    number = _type(proto.data_type, f"the constant {name}", target)
    shape = [int(size) for size in proto.dims]
    if len(shape) > 64 or any(size < 0 for size in shape) or math.prod(shape) >= 2**60:
        raise BadTarget(f"the constant {name} of {target} has the shape {str(shape)[:80]}; export the graph anew.")
    numbers = number in _FLOATING or number in _NUMBERS
    parameter = weight and numbers and math.prod(shape) > 1 and kind in (None, "PARAMETER")
    found: dict[str, Any] = {"shape": shape, "type": number, "parameter": parameter, "values": None, "why": ""}
    if proto.external_data or proto.data_location == onnx.TensorProto.EXTERNAL or math.prod(shape) > MOST_VALUES:
        return found
    try:
        array = np.asarray(numpy_helper.to_array(proto))
    except Exception as error:  # noqa: BLE001 - spoilt bytes go wrong in many ways
        return found | {"why": with_type(error, most=200)}
    if array.dtype.kind in "biufc" and list(array.shape) == shape:
        found["values"] = [array.dtype.str, base64.b64encode(array.tobytes()).decode("ascii")]
    return found


def _node(proto: Any, opsets: Mapping[str, int], target: str) -> list[Any]:
    attributes = {_word(attribute.name): _attribute(attribute, proto, opsets, target) for attribute in proto.attribute}
    domain = proto.domain or "ai.onnx"
    return [proto.op_type, domain, proto.name, _path(proto), list(proto.input), list(proto.output), attributes,
            opsets.get(domain, 1)]  # fmt: skip


def _attribute(proto: Any, node: Any, opsets: Mapping[str, int], target: str) -> list[Any]:
    kinds = onnx.AttributeProto
    if proto.type == kinds.GRAPH:
        return ["graph", _graph(proto.g, opsets, target)]
    if proto.type == kinds.TENSOR:
        return [
            "tensor",
            _constant(f"{_word(proto.name)} of {node.op_type}", _inside(proto.t, target), target, weight=False),
        ]
    if proto.type not in (kinds.FLOAT, kinds.INT, kinds.STRING, kinds.FLOATS, kinds.INTS, kinds.STRINGS):
        raise BadTarget(
            f"{node.op_type} {node.name} of {target} has an attribute that is no number, word, tensor or graph; "
            "export the graph without it."
        )
    value = helper.get_attribute_value(proto)
    if proto.type == kinds.STRING:
        value = value.decode("utf-8", "replace")
    elif proto.type == kinds.STRINGS:
        value = [item.decode("utf-8", "replace") for item in value]
    return ["plain", list(value) if proto.type in (kinds.FLOATS, kinds.INTS) else value]


def _inside(tensor: Any, target: str) -> Any:
    """A tensor among attributes, whose values are in the file itself."""
    if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise BadTarget(f"{target} has an attribute whose values lie in another file; export it with them inside.")
    return tensor


def _path(node: Any) -> str:
    """The module that a node came from: as the exporter of torch notes it, else as older ones spell its name."""
    if scopes := _note(node, _SCOPES):
        try:
            found = ast.literal_eval(scopes)[:-1]  # the last one is the operator
        except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
            found = []
        return next((str(path) for path in reversed(found) if not str(path).startswith("_empty")), "")
    return ".".join(part for part in node.name.split("/")[:-1] if part)


def _tensor_of(node: Any, target: str) -> Any:
    attribute = node.attribute[0]
    if attribute.name == "value":
        return _inside(attribute.t, target)
    value = helper.get_attribute_value(attribute)
    wanted = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32}
    return numpy_helper.from_array(np.asarray(value, dtype=wanted[attribute.name]))


def _input(value: Any, target: str) -> list[Any]:
    if not value.type.HasField("tensor_type"):
        raise BadTarget(f"the input {value.name} of {target} is no tensor; export the graph with tensors.")
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        raise BadTarget(f"the input {value.name} of {target} has no shape; export the graph with shapes.")
    sizes: list[int | str] = []
    for axis, size in enumerate(kind.shape.dim):
        if size.HasField("dim_value"):
            sizes.append(int(size.dim_value))
        elif len(size.dim_param) > MOST_LETTERS:
            raise BadTarget(
                f"an axis of {target} has a name of {len(size.dim_param):,} letters; export the graph anew."
            )
        else:
            sizes.append(size.dim_param or f"{value.name}.{axis}")
    return [_type(kind.elem_type, f"the input {value.name}", target), sizes]


def _type(number: int, what: str, target: str) -> int:
    if number not in _KNOWN:
        raise BadTarget(f"{what} of {target} has the type {number}, which torch has not; export it in another type.")
    return int(number)


def _note(proto: Any, key: str) -> str:
    return next((entry.value for entry in proto.metadata_props if entry.key == key), "")


def _folded(note: str) -> str | None:
    """The one weight that a constant was made of."""
    try:
        found = ast.literal_eval(note) if note else []
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return found[0] if isinstance(found, list) and len(found) == 1 else None
