"""Which kind of target it is, asked once: everything else asks the subject that this gives."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from seqcost.errors import BadTarget
from seqcost.formulas.catalogue import CATALOGUE
from seqcost.questions.targets.catalogue import Named
from seqcost.questions.targets.code import Code, Live
from seqcost.questions.targets.files import kind_of_path
from seqcost.questions.targets.hugging_face import PREFIX, Configuration
from seqcost.questions.targets.program_files import Exported, Onnx
from seqcost.questions.targets.subject import Subject
from seqcost.questions.targets.weights import WeightsFile

_OF_KIND: dict[str, Callable[[str, Mapping[str, Any]], Subject]] = {
    "catalogue": Named,
    "hugging-face": Configuration,
    "callable": lambda name, _: Code(name),
    "weights": lambda name, _: WeightsFile(name),
    "exported-program": lambda name, _: Exported(name),
    "onnx": lambda name, _: Onnx(name),
}


def resolve(target: Any, sizes: Mapping[str, Any] | None = None, inputs: Any = None) -> Subject:
    """The subject that a target is: a name by what it names, any other object as a live module.

    A pair (module, inputs) is a live module with its inputs.

    Raises UnknownName for a name or a size that does not exist, BadTarget for sizes and inputs that the target has no
    use for.
    """
    if not isinstance(target, str):
        if sizes:
            raise BadTarget("sizes were given for a live module; they belong to architectures and presets by name.")
        if isinstance(target, tuple) and len(target) == 2 and inputs is None:
            return Live(*target)
        return Live(target, inputs)
    subject = _OF_KIND[kind_of(target)](target, sizes or {})
    if sizes and subject.no_sizes:
        raise BadTarget(f"sizes {', '.join(sizes)} were given for {target!r}, {subject.no_sizes}.")
    if inputs is not None:
        raise BadTarget(
            f"inputs were given for {target!r}; only a live module takes them: have it return (module, inputs)."
        )
    return subject


def of_record(spec: Mapping[str, Any]) -> Subject:
    """The subject that was run, from what a job says of it.

    Raises UnknownName, BadSize or BadTarget for what is no longer there.
    """
    if spec["kind"] == "hugging-face":
        subject = Configuration(spec["name"], spec["sizes"])
        subject.given = dict(spec["config"])
        return subject
    return _OF_KIND[spec["kind"]](spec.get("name") or spec["path"], spec.get("sizes") or {})


def kind_of(target: str) -> str:
    """What a name stands for: catalogue, callable, hugging-face, weights, exported-program or onnx.

    Raises BadTarget for a file that is there and ends in no known way.
    """
    if target in CATALOGUE:
        return "catalogue"
    if target.startswith(PREFIX):
        return "hugging-face"
    if (kind := kind_of_path(Path(target))) is not None:
        return kind
    if "/" in target and ":" not in target:
        return "hugging-face"
    return "callable" if ":" in target else "catalogue"
