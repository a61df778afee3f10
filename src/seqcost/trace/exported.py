"""Programs of torch.export: the graph is replayed node by node, with no memory for its weights and no code of its own.

A .pt2 file may hold what runs when it is opened: pickled objects, compiled libraries, operators by any name. So it is
not opened as it is. A copy in memory is made of the graph and of the shapes of its weights (declared to lie on no
device); everything else is left out, or refused where the graph needs it.
"""

import io
import json
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind, TensorArgument

from seqcost.errors import BadTarget, SeqcostError, with_type
from seqcost.trace.axes import Axes
from seqcost.trace.replayed import Replayed

MOST_BYTES = 2**28  # of what is kept of a file: the graph and the example inputs
# Sizes are written as SymPy's constructors, and read by evaluating them: only those, names and numbers may stand there.
_QUOTED = re.compile(r"Symbol\('\w+'(, \w+=(True|False))*\)|Float\('[\d.e+-]+', precision=\d+\)")
_EXPRESSION = re.compile(r"[\w\s+\-*/%(),<>=!&|~]*")
# Operators of torch by namespace, name and overload; arithmetic on sizes. `torch.ops.load_library` is none.
_NAME = r"(?:[A-Za-z0-9]|_(?!_))+|__i?(?:and|or|xor|lshift|rshift)__"
_OPERATOR = re.compile(
    rf"torch\.ops\.[A-Za-z]\w*\.(?:{_NAME})\.(?:{_NAME})|torch\.ops\.higher_order\.(?:{_NAME})"
    r"|math\.(?:ceil|floor|sqrt|trunc)|torch\.sym_[a-z]+"
    r"|_operator\.(?:add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_|not_|getitem)"
)


class Exported(Replayed):
    """The graph of an exported program; takes its inputs as a flat list."""

    def __init__(self, name: str, program: ExportedProgram) -> None:
        axes, dtypes, self._order = _inputs(name, program)
        super().__init__(axes, dtypes)
        state = {**program.state_dict, **program.constants}
        for spec in program.graph_signature.input_specs:
            if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR):
                held = state[spec.target]
                trainable = spec.kind == InputKind.PARAMETER
                if spec.target not in self._weights:
                    self.hold(spec.target, tuple(held.shape), held.dtype, trainable=trainable)
            elif spec.kind != InputKind.USER_INPUT:
                raise BadTarget(
                    f"{name} carries a {spec.kind.name.lower()}; a program of tensors and operators is allowed."
                )
        self._graph = program.graph_module
        self._outputs = [s.kind == OutputKind.USER_OUTPUT for s in program.graph_signature.output_specs]
        for node in self._graph.graph.nodes:
            self.scope(_path(node))

    def forward(self, *given: Any) -> tuple[Any, ...]:
        """The user's outputs."""
        rest = iter(given)
        values = [value if kind == "value" else next(rest) if kind == "input" else self.weight(value)
                  for kind, value in self._order]  # fmt: skip
        found = _Replay(self).run(*values)
        outputs = found if isinstance(found, tuple | list) else (found,)
        return tuple(value for value, wanted in zip(outputs, self._outputs, strict=False) if wanted)


class _Replay(fx.Interpreter):
    """Runs every node inside the scope of the module that it came from; a value is dropped after its last use."""

    def __init__(self, program: Exported) -> None:
        super().__init__(program._graph)
        self._program = program

    def run_node(self, n: fx.Node) -> Any:
        if n.op in ("placeholder", "output", "get_attr"):
            return super().run_node(n)
        return self._program.inside(_path(n), super().run_node, n)

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


def _inputs(name: str, program: ExportedProgram) -> tuple[Axes, dict[str, torch.dtype], list[tuple[str, Any]]]:
    shapes: dict[str, tuple[int | str, ...]] = {}
    dtypes: dict[str, torch.dtype] = {}
    order: list[tuple[str, Any]] = []
    placeholders = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    for spec in program.graph_signature.input_specs:
        if spec.kind != InputKind.USER_INPUT:
            order.append(("weight", spec.target))
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
              for symbol, limits in program.range_constraints.items()}  # fmt: skip
    return Axes(name, shapes, ranges), dtypes, order


def _bound(value: Any) -> int | None:
    try:
        found = int(value)
    except (TypeError, ValueError, OverflowError, AttributeError):
        return None
    return found if abs(found) < 2**60 else None


def program_at(path: Path) -> ExportedProgram:
    """The program of a .pt2 file (torch.export.save); its weights are not read, and nothing in the file is run.

    Raises BadTarget for what is no such file, and for one that would have to run code to be opened.
    """
    if not path.is_file():
        raise BadTarget(f"{path} is not there; name a file that torch.export.save has written.")
    try:
        with zipfile.ZipFile(path) as archive:
            harmless = _harmless_copy(path, archive)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.load(harmless)
    except SeqcostError:
        raise
    except Exception as error:  # noqa: BLE001 - a spoilt file goes wrong in many ways
        raise BadTarget(
            f"{path} is no program of torch.export that this PyTorch reads ({with_type(error, most=200)}); "
            "save it anew."
        ) from None


def _harmless_copy(path: Path, archive: zipfile.ZipFile) -> io.BytesIO:
    """The archive without weights and without anything that runs."""
    copied, kept = io.BytesIO(), 0
    with zipfile.ZipFile(copied, "w") as copy:
        for info in archive.infolist():
            inside = info.filename.partition("/")[2]
            part = _part(path, inside)
            if part == "dropped":
                continue
            kept += 0 if part == "weights" else info.file_size
            if kept > MOST_BYTES:
                raise BadTarget(f"{path} has a graph of over {MOST_BYTES:,} bytes; export a smaller program.")
            content = b"" if part == "weights" else archive.read(info)
            if part == "shapes":
                content = json.dumps(_without_device(path, json.loads(content))).encode()
            elif part == "graph":
                _check_graph(path, json.loads(content))
            elif part == "inputs" and content:
                # Tensors and numbers only; a default of an older release would fall back to running the pickle.
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    torch.load(io.BytesIO(content), weights_only=True)
            copy.writestr(info.filename, content)
    copied.seek(0)
    return copied


def _part(path: Path, inside: str) -> str:
    name = inside.rpartition("/")[2]
    if inside.startswith(("data/aotinductor/", "data/executorch/", "extra/")):
        return "dropped"
    if inside.startswith(("data/weights/", "data/constants/")):
        if name.endswith("_config.json"):
            return "shapes"
        if name.startswith(("weight_", "tensor_")):
            return "weights"
        raise BadTarget(f"{path} holds {name}, which would have to be run to be read; a program of tensors is allowed.")
    if inside.startswith("data/sample_inputs/"):
        return "inputs"
    return "graph" if inside.startswith("models/") else "kept"


def _without_device(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    for name, entry in config["config"].items():
        if entry.get("use_pickle") or entry.get("tensor_meta") is None:
            raise BadTarget(f"{path} holds {name[:80]} as a pickled object; plain tensors are allowed.")
        entry["tensor_meta"]["device"] = {"type": "meta", "index": None}
    return config


def _check_graph(path: Path, graph: Any) -> None:
    """Refuse operators and expressions whose reading or running would do anything but arithmetic on tensors."""
    for key, text in _strings(graph):
        if key == "target" and _OPERATOR.fullmatch(text) is None:
            raise BadTarget(f"{path} calls {text[:80]!r}; operators of torch and arithmetic are allowed.")
        if key == "expr_str" and ("__" in text or _EXPRESSION.fullmatch(_QUOTED.sub("s", text)) is None):
            raise BadTarget(f"{path} has the size {text[:80]!r}; arithmetic on names is allowed.")


def _strings(value: Any) -> Iterator[tuple[str, str]]:
    waiting = [("", value)]
    while waiting:
        key, found = waiting.pop()
        if isinstance(found, str):
            if key == "expr_str" or key == "target":
                yield key, found
        elif isinstance(found, dict):
            # Targets of nodes; in the signature a target is the name of a weight.
            waiting += [(k if k != "target" or "inputs" in found else "", v) for k, v in found.items()]
        elif isinstance(found, list):
            waiting += [(key, item) for item in found]
