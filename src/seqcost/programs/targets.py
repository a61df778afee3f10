"""What can be traced or measured, and how it becomes a module: a catalogue name, a path to a callable, a live module.

Building a module and making inputs for a length are apart, because a trace builds once and looks at many lengths.
Only a callable that takes the length itself (`length` or T, with or without `batch` or B) is called again for every
length.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seqcost.errors import FOREIGN_ERRORS, BadTarget, SeqcostError, UnknownName
from seqcost.fakes.faking import retype
from seqcost.fakes.formats import WORDS, check_dtype
from seqcost.fakes.trees import tensors_in
from seqcost.programs.inputs import Inputs, example_inputs
from seqcost.programs.own_code import imported
from seqcost.programs.refusals import refuse_layouts

_BATCH, _LENGTH = ("batch", "B", "batch_size"), ("length", "T", "seq_len")


@dataclass(frozen=True)
class Built:
    """A module and the inputs that came with it, if any."""

    module: nn.Module
    given: Inputs | None = None
    source: int | None = None  # tokens of a second sequence, where it is not as long as the first
    loss: Callable[[Any, Any], torch.Tensor] | None = None  # of features and what should have been said, see changes

    def inputs_at(self, B: int, T: int, *, text: bytes | None = None) -> Inputs:
        """The inputs that came with the module, else inputs of B sequences of T tokens."""
        return self.given if self.given is not None else example_inputs(self.module, B, T, S=self.source, text=text)

    def converted(self, dtype: str | None, device: str = "cpu") -> "Built":
        """Parameters, buffers and inputs in this data type, where they are in one of `WORDS`; None: as they are."""
        wanted = None if dtype is None else check_dtype(dtype)

        def convert(tensor: torch.Tensor) -> torch.Tensor:
            kind = wanted if tensor.dtype in WORDS else None
            return tensor.detach().to(device=device, dtype=kind).requires_grad_(tensor.requires_grad)

        module = self.module.to(device=device)
        if wanted is not None:
            retype(module, wanted)
        return replace(self, module=module, given=self.given and self.given.mapped(convert))


@dataclass(frozen=True)
class Target:
    """A recipe for a module.

    `takes_sizes` says that every length needs a call of its own, `takes_batch` that this is told B as well; `live`
    that the module exists already, holds real memory and must not be touched; `shapes_only` that it is a program whose
    weights have shapes and types but no values, which keeps its own types.
    """

    name: str
    make: Callable[..., Any]
    takes_sizes: bool = False
    takes_batch: bool = True
    live: bool = False
    own_mode: bool = False  # the module is ours and is run in the mode it was built in
    source: int | None = None  # tokens of a second sequence, where it is not as long as the first
    shapes_only: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict)  # that are made to the module once it is built

    @classmethod
    def of_spec(cls, spec: dict[str, Any]) -> "Target":
        """From plain data, by its "kind".

        "catalogue": name, sizes, source (optional: the length of a second sequence); "callable": path, which reads
        "package.module:function"; "hugging-face": name, config, sizes (settings of the config to override), source;
        "exported-program" and "onnx": path, of a file. Any may have "changes": see programs.changes.
        """
        kind = str(spec.get("kind"))
        if kind not in _MAKERS:
            raise UnknownName.among("kind of target", kind, _MAKERS)
        return replace(_MAKERS[kind](spec), changes=dict(spec.get("changes") or {}))

    @classmethod
    def of_module(cls, module: Any, inputs: Any = None) -> "Target":
        """A live module, or a program of torch.export, with inputs of its own or with ones that are inferred."""
        if isinstance(module, torch.export.ExportedProgram):
            if inputs is not None:
                raise BadTarget("inputs were given for an exported program, which knows its own; leave them out.")
            from seqcost.programs.files.exported import program_of

            return _of_program("ExportedProgram", program_of("ExportedProgram", module))
        _check_module(module, "the target")
        return cls(type(module).__name__, lambda: module if inputs is None else (module, inputs), live=True)

    def build(self, *, B: int, T: int) -> Built:
        """Make the module, as its maker leaves it."""
        made = self.make(B, T) if self.takes_sizes else self.make()
        module, given = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
        _check_module(module, self.name)
        inputs = None if given is None else Inputs.of(given)
        refuse_layouts(self.name, (*module.named_parameters(), *module.named_buffers()))
        if inputs is not None:
            refuse_layouts(self.name, (("an input", t) for t in tensors_in((inputs.args, inputs.kwargs))))
        return Built(module, inputs, self.source)


def _check_module(value: Any, name: str) -> None:
    if not isinstance(value, nn.Module):
        raise BadTarget(
            f"{name} gave a {type(value).__name__}; a torch.nn.Module or a pair (module, inputs) is allowed."
        )


def _of_catalogue(name: str, sizes: dict[str, Any], source: int | None) -> Target:
    def make() -> Any:
        from seqcost.formulas.catalogue import configure
        from seqcost.layers.build import build

        return build(configure(name, **sizes))

    return Target(name, make, own_mode=True, source=source)


def _of_hugging_face(spec: dict[str, Any]) -> Target:
    def make() -> Any:
        from seqcost.programs.hugging_face.models import model_of

        return model_of(spec["config"], **spec.get("sizes") or {})

    return Target(spec["name"], make, source=spec.get("source"))


def _of_program(name: str, program: Any) -> Target:
    from seqcost.programs.files.exported import Exported

    return Target(name, lambda: Exported(name, program), own_mode=True, shapes_only=True)


def _of_exported(path: str) -> Target:
    from seqcost.programs.files.exported import program_at

    return _of_program(path, program_at(Path(path)))


def _of_onnx(path: str) -> Target:
    from seqcost.programs.files.onnx.file import graph_at
    from seqcost.programs.files.onnx.graph import OnnxGraph

    graph = graph_at(Path(path))
    return Target(path, lambda: OnnxGraph(path, graph), own_mode=True, shapes_only=True)


def _of_callable(path: str) -> Target:
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute:
        raise BadTarget(f"{path!r} was given as a target; write package.module:function.")
    try:
        function: Any = imported(module_name)
        for part in attribute.split("."):
            function = getattr(function, part)
    except AttributeError:
        raise BadTarget(f"{module_name} has no {attribute}; name a function or a torch.nn.Module in it.") from None
    except SeqcostError:
        raise
    except FOREIGN_ERRORS as error:  # importing runs the user's code
        raise BadTarget(f"{module_name} could not be imported: {_sentence(error)}") from None
    if isinstance(function, nn.Module):
        return Target(path, lambda: function)
    if not callable(function):
        raise BadTarget(f"{path} is a {type(function).__name__}; a function or a torch.nn.Module is allowed.")
    batch, length = _size_names(function)
    if length is None:
        return Target(path, lambda: _called(path, function))

    def make(B: int, T: int) -> Any:
        return _called(path, function, **({} if batch is None else {batch: B}) | {length: T})

    return Target(path, make, takes_sizes=True, takes_batch=batch is not None)


def _size_names(function: Callable[..., Any]) -> tuple[str | None, str | None]:
    """What the function calls B and T; None for what it does not take."""
    # A module class is instantiated without arguments: its `length` would be a size of the model.
    if isinstance(function, type):
        return None, None
    parameters = inspect.signature(function).parameters
    batch, length = (next((name for name in names if name in parameters), None) for names in (_BATCH, _LENGTH))
    return batch, length


def _called(path: str, function: Callable[..., Any], **sizes: int) -> Any:
    try:
        return function(**sizes)
    except SeqcostError:
        raise
    except FOREIGN_ERRORS as error:
        raise BadTarget(f"{path} raised {_sentence(error)}") from None


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


_MAKERS: dict[str, Callable[[dict[str, Any]], Target]] = {
    "catalogue": lambda spec: _of_catalogue(spec["name"], spec.get("sizes") or {}, spec.get("source")),
    "callable": lambda spec: _of_callable(spec["path"]),
    "hugging-face": _of_hugging_face,
    "exported-program": lambda spec: _of_exported(spec["path"]),
    "onnx": lambda spec: _of_onnx(spec["path"]),
}
