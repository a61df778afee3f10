"""The archive of an exported program (.pt2, torch.export.save) as plain data: graph, inputs, shapes of weights.

A .pt2 is a zip archive. Its graph is JSON, its weights are bytes beside it, and it may hold what runs when PyTorch
opens it: pickled objects, compiled libraries, names of modules to import, expressions to evaluate. Only two members
are read here, by their exact names, `models/NAME.json` and `data/weights/NAME_weights_config.json`, both as data. What
is not known is refused. (Format: torch/export/pt2_archive; torch/_export/serde/schema.py of PyTorch 2.13.)

The answer of `read_program`:

inputs    in the order of the graph: ["weight", name, dtype, shape, whether it is a parameter, whether it is trained,
          same], where `same` is the name of an earlier weight in the same memory; ["input", name, dtype, shape];
          ["value", plain value]
graph     {"takes": names, "gives": [values], "nodes": [[target, values, {keyword: value}, results, path]], "single"}
          results are a name, null, or a list of results; a value is one of the pairs that `_Values` makes
wanted    for each result of the graph whether it is one of the user's
ranges    {name of a size: [least, most or null]}
"""

import json
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from seqcost.errors import BadTarget, with_type
from seqcost.files.size_text import size_text

MOST_JSON_BYTES = 64 * 2**20  # GPT-2's graph has one million
MOST_NODES = 200_000
MOST_DEPTH = 20  # of graphs inside graphs
_MODEL = re.compile(r"models/([^/]+)\.json")
# By name alone; whether it may be called is decided where it is looked up (programs/files/program_operators).
_TARGET = re.compile(r"[A-Za-z_][\w.]{0,200}")
_PLAIN = {"as_bool": bool, "as_int": int, "as_float": (int, float), "as_string": str}
_LISTS = {"as_bools": "as_bool", "as_ints": "as_int", "as_floats": "as_float", "as_strings": "as_string"}


def read_program(path: Path, name: str) -> dict[str, Any]:
    """The program; raises BadTarget for what is none, and for one with parts that would have to be run."""
    try:
        with zipfile.ZipFile(path) as archive:
            model, weights = _members(archive, name)
        return _Program(name, model, weights).plain()
    except (BadTarget, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - a spoilt archive goes wrong in many ways
        said = with_type(error, most=200)
        raise BadTarget(f"{name} is no program of torch.export that can be read ({said}); save it anew.") from None


def _members(archive: zipfile.ZipFile, name: str) -> tuple[Any, Any]:
    """The graph and the description of the weights, the latter {} where there is none."""
    inside = [info.filename.partition("/")[2] for info in archive.infolist()]
    if len({info.filename for info in archive.infolist()}) < len(inside):
        raise BadTarget(f"{name} has two members of one name; save it anew.")
    models = [found.group(1) for part in inside if (found := _MODEL.fullmatch(part))]
    if not models:
        raise BadTarget(f"{name} holds no graph under models/; save it anew with torch.export.save of PyTorch 2.8 on.")
    if len(models) > 1:
        raise BadTarget(f"{name} holds {len(models)} graphs ({', '.join(models[:3])}); save one program per file.")
    root = archive.infolist()[inside.index(f"models/{models[0]}.json")].filename.partition("/")[0]

    def read(part: str) -> Any:
        with archive.open(f"{root}/{part}") as member:
            content = member.read(MOST_JSON_BYTES + 1)
        if len(content) > MOST_JSON_BYTES:
            raise BadTarget(f"{name} has a graph of over {MOST_JSON_BYTES:,} bytes; export a smaller program.")
        return json.loads(content)

    described = f"data/weights/{models[0]}_weights_config.json"
    return read(f"models/{models[0]}.json"), read(described) if described in inside else {}


class _Program:
    """One program on its way from what its file says to plain data that has been looked at."""

    def __init__(self, name: str, model: Mapping[str, Any], weights: Mapping[str, Any]) -> None:
        self._name, self._nodes = name, 0
        self._graph = model["graph_module"]["graph"]
        self._signature = model["graph_module"]["signature"]
        self._limits = model.get("range_constraints") or {}
        self._weights = weights.get("config") or {}

    def plain(self) -> dict[str, Any]:
        ranges = {
            key: [_whole(limits.get("min_val")) or 0, _whole(limits.get("max_val"))]
            for key, limits in self._limits.items()
            if key.isidentifier()
        }
        return {
            "inputs": self._inputs(),
            "graph": self._plain_graph(self._graph, 0),
            "wanted": [next(iter(spec)) == "user_output" for spec in self._signature["output_specs"]],
            "ranges": ranges,
        }

    def _inputs(self) -> list[list[Any]]:
        found: list[list[Any]] = []
        places: dict[str, str] = {}
        for spec in self._signature["input_specs"]:
            ((kind, told),) = spec.items()
            if kind in ("parameter", "buffer", "tensor_constant"):
                name = str(told[f"{kind}_name"])
                same = places.setdefault(_place(self._weights[name]), name) if name in self._weights else name
                dtype, shape = self._tensor(told["arg"]["name"])
                if not all(isinstance(size, int) for size in shape):
                    raise BadTarget(f"{self._name} has the weight {name} of no fixed shape; export it anew.")
                trained = kind == "parameter" and self._is_trained(name, told["arg"]["name"])
                found.append(
                    ["weight", name, dtype, shape, kind == "parameter", trained, None if same == name else same]
                )
            elif kind == "user_input" and "as_tensor" in told["arg"]:
                name = told["arg"]["as_tensor"]["name"]
                found.append(["input", name, *self._tensor(name)])
            elif kind == "user_input" and (word := next(iter(told["arg"]))) in (*_PLAIN, "as_none"):
                found.append(["value", None if word == "as_none" else _typed(told["arg"][word], _PLAIN[word])])
            elif kind == "constant_input":
                word, value = next(iter(told["value"].items()))
                found.append(["value", None if word == "as_none" else _typed(value, _PLAIN[word])])
            elif kind == "user_input":
                called = next(iter(told["arg"].values()))
                called = called.get("as_name") or called.get("name") if isinstance(called, dict) else called
                raise BadTarget(
                    f"{self._name} takes {str(called)[:80]}, which is no tensor; export it with tensors and constants."
                )
            else:
                raise BadTarget(f"{self._name} carries a {kind}; a program of tensors and operators is allowed.")
        if not any(entry[0] == "input" for entry in found):
            raise BadTarget(f"{self._name} takes no tensor; a program that reads one is allowed.")
        return found

    def _tensor(self, name: str) -> tuple[int, list[int | str]]:
        told = self._graph["tensor_values"][name]
        return int(told["dtype"]), [self._size(size) for size in told["sizes"]]

    def _is_trained(self, name: str, called: str) -> bool:
        """As the weights beside the graph say, which is what PyTorch goes by; without them, as the graph says."""
        told = (self._weights.get(name) or {}).get("tensor_meta") or self._graph["tensor_values"][called]
        found: bool = _typed(told["requires_grad"], bool)
        return found

    def _size(self, told: Mapping[str, Any]) -> int | str:
        if "as_int" in told:
            found: int = _typed(told["as_int"], int)
            return found
        return size_text(told["as_expr"]["expr_str"], self._name)

    def _plain_graph(self, graph: Mapping[str, Any], depth: int) -> dict[str, Any]:
        if depth > MOST_DEPTH:
            raise BadTarget(f"{self._name} has graphs inside graphs, over {MOST_DEPTH} deep; export a smaller program.")
        values = _Values(self._name, lambda inner: self._plain_graph(inner, depth + 1))
        nodes = []
        for node in graph["nodes"]:
            self._nodes += 1
            if self._nodes > MOST_NODES:
                raise BadTarget(f"{self._name} has over {MOST_NODES:,} operators; export a smaller program.")
            if not isinstance(node["target"], str) or _TARGET.fullmatch(node["target"]) is None:
                raise BadTarget(f"{self._name} calls {str(node['target'])[:80]!r}; operators of torch are allowed.")
            given, named = [], {}
            for entry in node["inputs"]:
                if entry.get("kind") == 2:
                    named[str(entry["name"])] = values.plain(entry["arg"])
                else:
                    given.append(values.plain(entry["arg"]))
            results = [_result(entry) for entry in node["outputs"]]
            if len(results) == 1:  # a list of tensors is taken apart by its receivers' names
                results = results[0]
            nodes.append([node["target"], given, named, results, _path(node)])
        return {
            # Inputs that are no tensors (constants of the caller's) have no name.
            "takes": [_name_of(entry) for entry in graph["inputs"]],
            "gives": [values.plain(entry) for entry in graph["outputs"]],
            "nodes": nodes,
            "single": bool(graph.get("is_single_tensor_return")),
        }


class _Values:
    """Arguments as pairs of a kind and what is held.

    ["name", n], ["plain", v], ["list", [pairs]], ["dtype" | "layout" | "format", number], ["device", null],
    ["complex", [a, b]], ["graph", graph].
    """

    def __init__(self, name: str, graph: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
        self._name, self._graph = name, graph

    def plain(self, told: Mapping[str, Any]) -> list[Any]:
        ((word, value),) = told.items()
        if word == "as_none":
            return ["plain", None]
        if word in _PLAIN:
            return ["plain", _typed(value, _PLAIN[word])]
        if word in _LISTS:
            return ["list", [["plain", _typed(item, _PLAIN[_LISTS[word]])] for item in value]]
        if word in ("as_int_lists", "as_float_lists"):
            inner = "as_ints" if word == "as_int_lists" else "as_floats"
            return ["list", [self.plain({inner: item}) for item in value]]
        if word == "as_tensor":
            return ["name", _typed(value["name"], str)]
        if word in ("as_tensors", "as_nested_tensors"):
            inner = "as_tensor" if word == "as_tensors" else "as_tensors"
            return ["list", [self.plain({inner: item}) for item in value]]
        if word in ("as_sym_int", "as_sym_bool", "as_sym_float", "as_optional_tensor"):
            inner, held = next(iter(value.items()))
            return ["name", _typed(held, str)] if inner == "as_name" else self.plain({inner: held})
        if word in ("as_sym_ints", "as_sym_bools", "as_sym_floats", "as_optional_tensors"):
            return ["list", [self.plain({word[:-1]: item}) for item in value]]
        if word in ("as_scalar_type", "as_layout", "as_memory_format"):
            kind = {"as_scalar_type": "dtype", "as_layout": "layout", "as_memory_format": "format"}[word]
            return [kind, _typed(value, int)]
        if word == "as_device":
            return ["device", None]
        if word == "as_complex":
            return ["complex", [_typed(value[part], (int, float)) for part in ("real", "imag")]]
        if word == "as_graph":
            return ["graph", self._graph(value["graph"])]
        raise BadTarget(f"{self._name} hands an operator {word[3:80]}; tensors, numbers and words are allowed.")


def _result(told: Mapping[str, Any]) -> Any:
    ((word, value),) = told.items()
    if word == "as_none":
        return None
    if word in ("as_tensors", "as_sym_ints", "as_optional_tensors"):
        return [_result(item if word != "as_tensors" else {"as_tensor": item}) for item in value]
    return _name_of(told)


def _name_of(told: Mapping[str, Any]) -> str | None:
    value = next(iter(told.values()))
    while isinstance(value, dict):
        value = value["name"] if "name" in value else value.get("as_name")
    return value if isinstance(value, str) else None


def _path(node: Mapping[str, Any]) -> str:
    """The module that a node came from: the last of `key,path,type;key,path,type`."""
    stack = str((node.get("metadata") or {}).get("nn_module_stack", ""))
    parts = stack.rpartition(";")[2].split(",")
    path = parts[1] if len(parts) > 1 else ""
    # A second call of the same module is numbered; what belongs to none has a note of the exporter in its place.
    return "" if path.startswith("_empty") else path.partition("@")[0]


def _place(entry: Mapping[str, Any]) -> str:
    """Where a weight lies in the archive: what lies in one place, in one shape, is one tensor."""
    told = entry.get("tensor_meta") or {}
    return json.dumps(
        [entry.get("path_name"), *(told.get(key) for key in ("dtype", "storage_offset", "sizes", "strides"))]
    )


def _typed(value: Any, kind: Any) -> Any:
    if kind == (int, float) and value in ("Infinity", "-Infinity", "NaN"):
        return float(value)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise ValueError(f"{str(value)[:40]} stands where something else is meant")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("a number is beyond 64 bits")
    return value


def _whole(value: Any) -> int | None:
    return value if type(value) is int and abs(value) < 2**60 else None
