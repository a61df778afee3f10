"""The graph of an ONNX file, from the plain data that its reader hands over (seqcost.files.onnx_model)."""

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from seqcost.errors import BadTarget
from seqcost.extras import need
from seqcost.files.child import read
from seqcost.programs.files.axes import Axes, Size

# By number in TensorProto.DataType.
DTYPES: dict[int, torch.dtype] = {
    1: torch.float32, 2: torch.uint8, 3: torch.int8, 4: torch.uint16, 5: torch.int16, 6: torch.int32, 7: torch.int64,
    9: torch.bool, 10: torch.float16, 11: torch.float64, 12: torch.uint32, 13: torch.uint64, 14: torch.complex64,
    15: torch.complex128, 16: torch.bfloat16, 17: torch.float8_e4m3fn, 18: torch.float8_e4m3fnuz,
    19: torch.float8_e5m2, 20: torch.float8_e5m2fnuz,
}  # fmt: skip


@dataclass(frozen=True)
class Constant:
    """An initializer, the result of a node of type Constant, or a tensor among attributes; `array` has its values."""

    name: str
    shape: tuple[int, ...]
    data_type: int  # in TensorProto.DataType
    parameter: bool
    values: tuple[str, str] | None  # type of NumPy, base64
    why: str = ""

    @property
    def dtype(self) -> torch.dtype:
        """Its type."""
        return DTYPES[self.data_type]

    @property
    def numel(self) -> int:
        """Elements; 1 for a scalar."""
        return math.prod(self.shape)

    @property
    def array(self) -> Any:
        """Its values as a NumPy array; raises BadTarget where they lie in another file, are many, or are spoilt."""
        import numpy as np

        if self.why:
            raise BadTarget(f"the constant {self.name} of the graph is spoilt ({self.why}); export it anew.")
        if self.values is None:
            raise BadTarget(
                f"the values of {self.name} decide a shape, and are not in the ONNX file itself or are many; export "
                "the graph with small constants inside."
            )
        kind, packed = self.values
        return np.frombuffer(base64.b64decode(packed), dtype=np.dtype(kind)).reshape(self.shape)


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
    need("onnx", "ONNX graphs need")
    return graph_from(read("onnx", path))


def graph_from(plain: Mapping[str, Any]) -> Graph:
    """A graph from plain data, with those inside it."""
    constants = {name: _constant(name, told) for name, told in plain["constants"].items()}
    inputs: dict[str, tuple[torch.dtype, tuple[Size, ...]]] = {
        name: (DTYPES[number], tuple(sizes)) for name, (number, sizes) in plain["inputs"].items()
    }
    return Graph(tuple(_node(told) for told in plain["nodes"]), constants, tuple(plain["outputs"]), inputs)


def _node(told: list[Any]) -> Node:
    kind, domain, name, path, inputs, outputs, attributes, opset = told
    made: dict[str, Any] = {}
    for word, (sort, value) in attributes.items():
        made[word] = graph_from(value) if sort == "graph" else _constant(word, value) if sort == "tensor" else value
    return Node(kind, domain, name, path, tuple(inputs), tuple(outputs), made, opset)


def _constant(name: str, told: Mapping[str, Any]) -> Constant:
    values = None if told["values"] is None else tuple(told["values"])
    return Constant(name, tuple(told["shape"]), told["type"], told["parameter"], values, told["why"])
