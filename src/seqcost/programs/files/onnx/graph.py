"""An ONNX graph as a module: its nodes run one by one with torch's functions (`onnx_operators`), so a trace sees all.

What decides a shape must be known: the values that go into such a place (the shape of a Reshape, the bounds of a Slice)
and everything that they come from, back to constants and to the shapes of tensors, are computed beside the run by the
reference operators of the onnx package. They are no part of the cost. Everything else is a tensor with a shape only.
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch

from seqcost.errors import BadTarget, SeqcostError, TraceFailed, with_type
from seqcost.programs.files.onnx.file import Constant, Graph, Node
from seqcost.programs.files.onnx.growth import most_elements
from seqcost.programs.files.onnx.operators import OPERATORS, VALUES_AT
from seqcost.programs.files.replayed import Replayed

MOST_KNOWN = 2 * 10**7  # elements of all values that are computed beside one run


class OnnxGraph(Replayed):
    """A graph whose constants are weights by their names; a training step trains all that are parameters."""

    trains_unknown = "an ONNX graph does not say which of its parameters are trained"

    def __init__(self, name: str, graph: Graph) -> None:
        super().__init__(graph.axes(name), {key: dtype for key, (dtype, _) in graph.inputs.items()})
        self._graph = graph
        self._needed: set[str] = set()
        self._constants: dict[str, Constant] = {}
        self._evaluators: dict[int, Any] = {}
        self._evaluated_elements = 0.0
        self._gather(graph)
        self._mark(graph)
        as_data = self._used_as_data(graph)
        for key, constant in self._constants.items():
            if key in as_data:
                parameter, trained = constant.parameter, constant.parameter and constant.dtype.is_floating_point
                self.hold(key, constant.shape, constant.dtype, parameter=parameter, trained=trained)
        self._refuse_unknown(graph)
        self._make_scopes(graph)

    def forward(self, *given: Any) -> tuple[Any, ...]:
        """The graph's outputs."""
        self._evaluated_elements = 0.0
        values: dict[str, Any] = dict(zip(self._graph.inputs, given, strict=True))
        self._run(self._graph, values)
        return tuple(values[name] for name in self._graph.outputs if torch.is_tensor(values.get(name)))

    def _gather(self, graph: Graph) -> None:
        self._constants |= graph.constants
        for node in graph.nodes:
            for inner in _graphs_of(node):
                self._gather(inner)

    def _make_scopes(self, graph: Graph) -> None:
        """All of them beforehand: a run leaves a module as it was."""
        for node in graph.nodes:
            self.scope(node.path)
            for inner in _graphs_of(node):
                self._make_scopes(inner)

    def _refuse_unknown(self, graph: Graph) -> None:
        for node in graph.nodes:
            if node.domain != "ai.onnx" or (node.kind not in OPERATORS and node.kind not in ("If", "Shape", "Size")):
                where = "" if node.domain == "ai.onnx" else f"{node.domain}."
                raise BadTarget(
                    f"{self.axes.target} has the operator {where}{node.kind} ({node.name or 'without a name'}), which "
                    "cannot be followed; export the graph with operators of ai.onnx that "
                    "seqcost.programs.files.onnx.operators lists."
                )
            for inner in _graphs_of(node):
                self._refuse_unknown(inner)

    def _mark(self, graph: Graph) -> None:
        """Note every name whose value decides a shape, from the last node to the first."""
        for node in reversed(graph.nodes):
            self._needed |= {node.inputs[at] for at in self._places(node) if at < len(node.inputs)}
            for inner in _graphs_of(node):
                self._needed |= {
                    name for name, out in zip(inner.outputs, node.outputs, strict=False) if out in self._needed
                }
                self._mark(inner)
            if node.kind not in ("Shape", "Size", "If") and self._needed & set(node.outputs):
                self._needed |= set(node.inputs)
        self._needed.discard("")

    def _places(self, node: Node) -> tuple[int, ...]:
        if node.kind == "Gather" and len(node.inputs) > 1:  # one constant index: a view, as in torch
            index = self._constants.get(node.inputs[1])
            return (1,) if index is not None and index.shape == () else ()
        return (0,) if node.kind == "If" else VALUES_AT.get(node.kind, ())

    def _used_as_data(self, graph: Graph) -> set[str]:
        used = {name for name in graph.outputs if name in self._constants}
        for node in graph.nodes:
            if not self._is_known(node):
                places = self._places(node)
                used |= {name for at, name in enumerate(node.inputs) if at not in places}
            for inner in _graphs_of(node):
                used |= self._used_as_data(inner)
        return used

    def _is_known(self, node: Node) -> bool:
        return node.kind in ("Shape", "Size") or bool(self._needed & set(node.outputs))

    def _run(self, graph: Graph, values: dict[str, Any]) -> None:
        left = Counter(name for node in graph.nodes for name in _reads(node))
        kept = set(graph.outputs)
        for node in graph.nodes:
            try:
                results = self._results(node, values)
            except SeqcostError:
                raise
            except Exception as error:
                said = with_type(error, most=200, after=", ")
                raise TraceFailed(f"{node.kind} {node.name} does not run: {said}") from error
            made = zip(node.outputs, results, strict=False)
            values |= {name: result for name, result in made if name and (left[name] or name in kept)}
            del results, made
            for name in _reads(node):
                left[name] -= 1
                if not left[name] and name not in kept and graph is self._graph:
                    values.pop(name, None)

    def _results(self, node: Node, values: dict[str, Any]) -> tuple[Any, ...]:
        if node.kind == "If":
            chosen = node.get("then_branch" if bool(self._known(node, 0, values)) else "else_branch")
            self._run(chosen, values)
            return tuple(self._value(name, values) for name in chosen.outputs)
        if node.kind in ("Shape", "Size"):
            return (self._shape(node, values),)
        if self._is_known(node):
            return self._evaluated(node, values)
        places = self._places(node)
        given = [None if not name else self._known(node, at, values) if at in places else self._tensor(name, values)
                 for at, name in enumerate(node.inputs)]  # fmt: skip
        found = self.inside(node.path, OPERATORS[node.kind], node, *given)
        return found if isinstance(found, tuple) else (found,)

    def _shape(self, node: Node, values: Mapping[str, Any]) -> Any:
        import numpy as np

        value = self._value(node.inputs[0], values)
        shape = value.shape  # of a tensor, of an array, of a constant
        if node.kind == "Size":
            return np.asarray(math.prod(shape), dtype=np.int64)
        return np.asarray(list(shape)[node.get("start", 0) : node.get("end", None)], dtype=np.int64)

    def _evaluated(self, node: Node, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Results of a node that decides a shape, by the reference operators."""
        given = {name: self._known(node, at, values) for at, name in enumerate(node.inputs) if name}
        elements = most_elements(node, [given.get(name) for name in node.inputs])
        if elements is None:
            raise BadTarget(
                f"{node.kind} {node.name} of {self.axes.target} makes values that decide a shape, which it cannot be "
                "followed in; export the graph so that shapes are computed by simpler operators."
            )
        self._evaluated_elements += elements
        if self._evaluated_elements > MOST_KNOWN:
            raise BadTarget(
                f"{self.axes.target} makes over {MOST_KNOWN:,} values that decide shapes, at {node.kind} {node.name} "
                "the last; choose a shorter length."
            )
        if id(node) not in self._evaluators:
            self._evaluators[id(node)] = _evaluator(node)
        return tuple(self._evaluators[id(node)].run(None, given))

    def _value(self, name: str, values: Mapping[str, Any]) -> Any:
        if name in values:
            return values[name]
        if name not in self._constants:
            raise TraceFailed(f"{name} is read before anything makes it")
        return self._constants[name]

    def _known(self, node: Node, at: int, values: Mapping[str, Any]) -> Any:
        value = self._value(node.inputs[at], values)
        if isinstance(value, Constant):
            return value.array
        if isinstance(value, torch.Tensor | list):
            raise BadTarget(
                f"{node.kind} {node.name} of {self.axes.target} needs the values of {node.inputs[at]}, which depend on "
                "data; export the graph so that shapes depend on shapes alone."
            )
        return value

    def _tensor(self, name: str, values: Mapping[str, Any]) -> torch.Tensor | list[torch.Tensor]:
        value = self._value(name, values)
        if isinstance(value, torch.Tensor | list):
            return value
        if isinstance(value, Constant):
            return self.weight(name)
        return torch.empty(value.shape, dtype=getattr(torch, str(value.dtype)))


def _graphs_of(node: Node) -> list[Graph]:
    return [value for value in node.attributes.values() if isinstance(value, Graph)]


def _reads(node: Node) -> list[str]:
    """Every name that a node reads, those inside its graphs included."""
    inner = [name for graph in _graphs_of(node) for part in graph.nodes for name in _reads(part)]
    return [*node.inputs, *inner, *(name for graph in _graphs_of(node) for name in graph.outputs)]


def _evaluator(node: Node) -> Any:
    from onnx import helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    attributes = {
        name: numpy_helper.from_array(value.array) if isinstance(value, Constant) else value
        for name, value in node.attributes.items()
    }
    proto = helper.make_node(node.kind, node.inputs, node.outputs, **attributes)
    read, made = (
        [helper.make_empty_tensor_value_info(name) for name in dict.fromkeys(names) if name]
        for names in (node.inputs, node.outputs)
    )
    graph = helper.make_graph([proto], "value", read, made)
    return ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid("", node.opset)]))
