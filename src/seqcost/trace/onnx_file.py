"""An ONNX file as plain data: nodes, inputs, and weights by shape and type; read with the onnx package.

Values of weights are not needed, so neither are the files beside the graph in which large ones lie (external data).
"""

import ast
import importlib.util
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from seqcost.errors import BadTarget, MissingExtra, with_type
from seqcost.trace.axes import Axes, Size

MOST_FILE_BYTES = 2**31  # protobuf's own limit
MOST_INLINE = 4096  # elements of a constant whose values may decide a shape
# By number in TensorProto.DataType.
DTYPES: dict[int, torch.dtype] = {
    1: torch.float32, 2: torch.uint8, 3: torch.int8, 4: torch.uint16, 5: torch.int16, 6: torch.int32, 7: torch.int64,
    9: torch.bool, 10: torch.float16, 11: torch.float64, 12: torch.uint32, 13: torch.uint64, 14: torch.complex64,
    15: torch.complex128, 16: torch.bfloat16, 17: torch.float8_e4m3fn, 18: torch.float8_e4m3fnuz,
    19: torch.float8_e5m2, 20: torch.float8_e5m2fnuz,
}  # fmt: skip
_KIND = "pkg.torch.export.graph_signature.InputSpec.kind"
_FOLDED_FROM = "pkg.onnxscript.optimizer.folded_from"
_SCOPES = "pkg.torch.onnx.name_scopes"


@dataclass(frozen=True)
class Constant:
    """An initializer, or the result of a node of type Constant; `array` reads its values."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    proto: Any
    trainable: bool

    @property
    def numel(self) -> int:
        """Elements; 1 for a scalar."""
        return math.prod(self.shape)

    @property
    def array(self) -> Any:
        """Its values as a NumPy array; raises BadTarget where they lie in another file, or are spoilt."""
        from onnx import numpy_helper

        try:
            if self.proto.external_data or self.numel > MOST_INLINE:
                raise BadTarget(
                    f"the values of {self.name} decide a shape, and are not in the ONNX file itself or more than "
                    f"{MOST_INLINE:,}; export the graph with small constants inside."
                )
            return numpy_helper.to_array(self.proto)
        except BadTarget:
            raise
        except Exception as error:  # noqa: BLE001 - spoilt bytes go wrong in many ways
            raise BadTarget(f"the constant {self.name} of the graph is spoilt ({error}); export it anew.") from None


@dataclass(frozen=True)
class Node:
    """One operator: where it stands, what goes in and out, its attributes as plain values or graphs."""

    kind: str
    domain: str
    name: str
    path: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    opset: int

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.attributes.get(name, default)


@dataclass(frozen=True)
class Graph:
    """Nodes in the order in which they run, the constants among their inputs, and what comes out."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, Constant]
    outputs: tuple[str, ...]
    inputs: Mapping[str, tuple[torch.dtype, tuple[Size, ...]]] = field(default_factory=dict)

    def axes(self, target: str) -> Axes:
        """The inputs' shapes; raises BadTarget where there is none."""
        if not self.inputs:
            raise BadTarget(f"{target} has no inputs; a graph that reads a sequence is allowed.")
        return Axes(target, {name: shape for name, (_, shape) in self.inputs.items()})


def graph_at(path: Path) -> Graph:
    """The graph of an .onnx file.

    Raises BadTarget for what is no such file, and MissingExtra where the onnx package is not installed.
    """
    if not path.is_file():
        raise BadTarget(f"{path} is not there; name an ONNX file.")
    if importlib.util.find_spec("onnx") is None:
        raise MissingExtra("ONNX graphs need the onnx package; pip install 'seqcost[onnx]'.")
    if path.stat().st_size > MOST_FILE_BYTES:
        raise BadTarget(f"{path} has {path.stat().st_size:,} bytes; weights that large lie in a file beside the graph.")
    import onnx

    try:
        model = onnx.load_model(str(path), format="protobuf", load_external_data=False)
        if model.functions:
            from onnx import inliner

            model = inliner.inline_local_functions(model)
        if not model.graph.node:
            raise BadTarget(f"{path} has no operators; an ONNX graph is allowed.")
        _clean_names(model.graph)
        opsets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
        return _graph(model.graph, opsets, str(path))
    except BadTarget:
        raise
    except Exception as error:  # noqa: BLE001 - a spoilt file goes wrong in many ways
        raise BadTarget(f"{path} is not an ONNX graph ({with_type(error, most=200)}); export it anew.") from None


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


def _graph(proto: Any, opsets: Mapping[str, int], target: str) -> Graph:
    kinds = {value.name: kind for value in proto.value_info if (kind := _note(value, _KIND))}
    folded = {value.name: _folded(_note(value, _FOLDED_FROM)) for value in proto.value_info}
    held = {tensor.name for tensor in proto.initializer}
    constants: dict[str, Constant] = {}
    for tensor in proto.initializer:
        origin = folded.get(tensor.name)
        # A copy that the exporter made of a weight that is there as well is no second one.
        shared = origin in held and origin != tensor.name
        constants[tensor.name] = _constant(tensor.name, tensor, target, weight=not shared, kind=kinds.get(tensor.name))
    nodes = []
    for node in proto.node:
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx") and len(node.output) == 1:
            constants[node.output[0]] = _constant(node.output[0], _tensor_of(node), target, weight=False)
        else:
            nodes.append(_node(node, opsets, target))
    inputs = {value.name: _input(value, target) for value in proto.input if value.name not in constants}
    return Graph(tuple(nodes), constants, tuple(value.name for value in proto.output), inputs)


def _constant(name: str, proto: Any, target: str, *, weight: bool, kind: str | None = None) -> Constant:
    dtype = _dtype(proto.data_type, f"the constant {name}", target)
    shape = tuple(int(size) for size in proto.dims)
    if any(size < 0 for size in shape) or math.prod(shape) >= 2**60:
        raise BadTarget(f"the constant {name} of {target} has the shape {shape}; export the graph anew.")
    numbers = dtype.is_floating_point or dtype in (torch.int8, torch.uint8)
    trainable = weight and numbers and math.prod(shape) > 1 and kind in (None, "PARAMETER")
    return Constant(name, shape, dtype, proto, trainable)


def _node(proto: Any, opsets: Mapping[str, int], target: str) -> Node:
    from onnx import helper

    attributes = {}
    for attribute in proto.attribute:
        value = helper.get_attribute_value(attribute)
        if attribute.HasField("g"):
            value = _graph(attribute.g, opsets, target)
        attributes[attribute.name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    domain = proto.domain or "ai.onnx"
    return Node(proto.op_type, domain, proto.name, _path(proto), tuple(proto.input), tuple(proto.output), attributes,
                opsets.get(domain, 1))  # fmt: skip


def _path(node: Any) -> str:
    """The module that a node came from: as the exporter of torch notes it, else as older ones spell its name."""
    if scopes := _note(node, _SCOPES):
        try:
            found = ast.literal_eval(scopes)[:-1]  # the last one is the operator
        except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
            found = []
        return next((str(path) for path in reversed(found) if not str(path).startswith("_empty")), "")
    return ".".join(part for part in node.name.split("/")[:-1] if part)


def _tensor_of(node: Any) -> Any:
    from onnx import helper, numpy_helper

    attribute = node.attribute[0]
    value = helper.get_attribute_value(attribute)
    if attribute.name == "value":
        return value
    import numpy as np

    wanted = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32}
    return numpy_helper.from_array(np.asarray(value, dtype=wanted[attribute.name]))


def _input(value: Any, target: str) -> tuple[torch.dtype, tuple[Size, ...]]:
    if not value.type.HasField("tensor_type"):
        raise BadTarget(f"the input {value.name} of {target} is no tensor; export the graph with tensors.")
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        raise BadTarget(f"the input {value.name} of {target} has no shape; export the graph with shapes.")
    sizes: list[Size] = []
    for axis, size in enumerate(kind.shape.dim):
        if size.HasField("dim_value"):
            sizes.append(int(size.dim_value))
        else:
            sizes.append(size.dim_param or f"{value.name}.{axis}")
    return _dtype(kind.elem_type, f"the input {value.name}", target), tuple(sizes)


def _dtype(number: int, what: str, target: str) -> torch.dtype:
    if number not in DTYPES:
        raise BadTarget(f"{what} of {target} has the type {number}, which torch has not; export it in another type.")
    return DTYPES[number]


def _note(proto: Any, key: str) -> str:
    return next((entry.value for entry in proto.metadata_props if entry.key == key), "")


def _folded(note: str) -> str | None:
    """The one weight that a constant was made of."""
    try:
        found = ast.literal_eval(note) if note else []
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return found[0] if isinstance(found, list) and len(found) == 1 else None
