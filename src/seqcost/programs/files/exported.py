"""Programs of torch.export: the graph is replayed node by node, with no memory for its weights and no code of its own.

A live ExportedProgram is the user's own object and runs as it is, on weights without values. A .pt2 file is data of
somebody else's: it is read in a process of its own (seqcost.files), `torch.export.load` never sees it, and only
operators that compute are looked up for it (program_operators).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind, TensorArgument

from seqcost.errors import BadTarget
from seqcost.fakes.places import place_of
from seqcost.files.child import read
from seqcost.programs.files.axes import Axes, Size
from seqcost.programs.files.program_graph import DTYPES, ProgramGraph
from seqcost.programs.files.replayed import Replayed


@dataclass(frozen=True)
class Held:
    """A weight; `same` is the name of an earlier one in the same memory: tied, used twice, or frozen beside it."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    parameter: bool
    trained: bool
    same: str | None = None


@dataclass(frozen=True)
class Program:
    """A program, however it came: what goes in, in order, what runs it, and which results are the user's."""

    order: Sequence[Held | tuple[str, Any]]  # a weight, ("input", its name) or ("value", the constant)
    shapes: Mapping[str, tuple[Size, ...]]
    dtypes: Mapping[str, torch.dtype]
    ranges: Mapping[str, tuple[int, int | None]]
    wanted: Sequence[bool]
    paths: Sequence[str]
    run: Callable[[Replayed, Sequence[Any]], Sequence[Any]]


class Exported(Replayed):
    """The graph of an exported program; takes its inputs as a flat list."""

    def __init__(self, name: str, program: Program) -> None:
        super().__init__(Axes(name, program.shapes, program.ranges), dict(program.dtypes))
        self._program = program
        leaves: dict[tuple[str, bool], str] = {}  # one memory may be trained under one name and frozen under another
        for held in program.order:
            if isinstance(held, Held):
                first = leaves.setdefault((held.same or held.name, held.trained), held.name)
                if first != held.name:
                    self.tie(held.name, first)
                else:
                    self.hold(
                        held.name,
                        held.shape,
                        held.dtype,
                        parameter=held.parameter,
                        trained=held.trained,
                        beside=held.same,
                    )
        for path in program.paths:
            self.scope(path)

    def forward(self, *given: Any) -> tuple[Any, ...]:
        """The user's outputs."""
        rest = iter(given)
        values = [
            self.weight(entry.name) if isinstance(entry, Held) else next(rest) if entry[0] == "input" else entry[1]
            for entry in self._program.order
        ]
        outputs = self._program.run(self, values)
        return tuple(value for value, wanted in zip(outputs, self._program.wanted, strict=False) if wanted)


def program_at(path: Path) -> Program:
    """The program of a .pt2 file (torch.export.save); its weights are not read, and nothing in the file is run.

    Raises BadTarget for what is no such file, and for one that would have to run code to be opened.
    """
    if not path.is_file():
        raise BadTarget(f"{path} is not there; name a file that torch.export.save has written.")
    plain = read("exported-program", path)
    order: list[Held | tuple[str, Any]] = []
    shapes: dict[str, tuple[Size, ...]] = {}
    dtypes: dict[str, torch.dtype] = {}
    for kind, *told in plain["inputs"]:
        if kind == "value":
            order.append(("value", told[0]))
            continue
        if told[1] not in DTYPES:
            raise BadTarget(f"{told[0]} of {path} has the type {told[1]}, which cannot be followed; export it anew.")
        dtype = DTYPES[told[1]]
        if kind == "weight":
            parameter, trained = told[3], told[4] and (dtype.is_floating_point or dtype.is_complex)
            order.append(Held(told[0], tuple(told[2]), dtype, parameter, trained, told[5]))
        else:
            order.append(("input", told[0]))
            shapes[told[0]], dtypes[told[0]] = tuple(told[2]), dtype
    graph = ProgramGraph(str(path), plain["graph"])
    ranges = {name: (low, high) for name, (low, high) in plain["ranges"].items()}
    paths = tuple(dict.fromkeys(graph.paths()))
    return Program(order, shapes, dtypes, ranges, plain["wanted"], paths, graph.run)


def program_of(name: str, live: ExportedProgram) -> Program:
    """A live program; raises BadTarget where it takes or carries what is no tensor."""
    state = {**live.state_dict, **live.constants}
    placeholders = {node.name: node.meta.get("val") for node in live.graph.nodes if node.op == "placeholder"}
    order: list[Held | tuple[str, Any]] = []
    shapes: dict[str, tuple[Size, ...]] = {}
    dtypes: dict[str, torch.dtype] = {}
    places: dict[Any, str] = {}
    for spec in live.graph_signature.input_specs:
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR):
            held = state[spec.target]
            first = places.setdefault(place_of(held), spec.target)
            same = None if first == spec.target else first
            parameter = spec.kind == InputKind.PARAMETER
            trained = parameter and held.requires_grad
            order.append(Held(spec.target, tuple(held.shape), held.dtype, parameter, trained, same))
        elif spec.kind != InputKind.USER_INPUT:
            raise BadTarget(
                f"{name} carries a {spec.kind.name.lower()}; a program of tensors and operators is allowed."
            )
        elif isinstance(spec.arg, ConstantArgument):
            order.append(("value", spec.arg.value))
        elif isinstance(spec.arg, TensorArgument):
            seen = placeholders[spec.arg.name]
            shapes[spec.arg.name] = tuple(n if isinstance(n, int) else str(n.node.expr) for n in seen.shape)
            dtypes[spec.arg.name] = seen.dtype
            order.append(("input", spec.arg.name))
        else:
            raise BadTarget(f"{name} takes {spec.arg.name}, which is no tensor; export it with tensors and constants.")
    if not shapes:
        raise BadTarget(f"{name} takes no tensor; a program that reads one is allowed.")
    ranges = {str(symbol): (_bound(limits.lower) or 0, _bound(limits.upper))
              for symbol, limits in live.range_constraints.items()}  # fmt: skip
    wanted = [spec.kind == OutputKind.USER_OUTPUT for spec in live.graph_signature.output_specs]
    paths = tuple(dict.fromkeys(_path(node) for node in live.graph_module.graph.nodes))

    def run(module: Replayed, values: Sequence[Any]) -> Sequence[Any]:
        found = _Replay(module, live.graph_module).run(*values)
        return found if isinstance(found, tuple | list) else (found,)

    return Program(order, shapes, dtypes, ranges, wanted, paths, run)


class _Replay(fx.Interpreter):
    """Runs every node inside the scope of the module that it came from; a value is dropped after its last use."""

    def __init__(self, module: Replayed, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self._module = module

    def run_node(self, n: fx.Node) -> Any:
        if n.op in ("placeholder", "output", "get_attr"):
            return super().run_node(n)
        return self._module.inside(_path(n), super().run_node, n)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        args, kwargs = fx.node.map_aggregate((args, kwargs), _on_cpu)
        return super().call_function(target, args, kwargs)


def _on_cpu(value: Any) -> Any:
    return torch.device("cpu") if isinstance(value, torch.device) else value


def _path(node: fx.Node) -> str:
    stack = node.meta.get("nn_module_stack") or {}
    path = str(next(reversed(stack.values()))[0]) if stack else ""
    # A second call of the same module is numbered; what belongs to none has a note of the exporter in its place.
    return "" if path.startswith("_empty") else path.partition("@")[0]


def _bound(value: Any) -> int | None:
    try:
        found = int(value)
    except (TypeError, ValueError, OverflowError, AttributeError):
        return None
    return found if abs(found) < 2**60 else None
