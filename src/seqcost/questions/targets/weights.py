"""Counts of weights alone: a safetensors file, or a folder or an index that divides them over several files.

A header has names and shapes but no operators, so a Count has parameters, by module path, and the bytes of the weights
by data type; everything else is None and listed. No PyTorch.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from seqcost.algebra import Bill, Kind
from seqcost.algebra.line import Line
from seqcost.algebra.quantity import QUANTITIES, Told
from seqcost.errors import BadTarget
from seqcost.files.child import read
from seqcost.files.safetensors_header import Stored, stored_at
from seqcost.questions.answers.count import Bills, Count
from seqcost.questions.asked.request import DEFAULT_LENGTH, Request
from seqcost.questions.targets.files import INDEX_OF_WEIGHTS, WEIGHTS
from seqcost.questions.targets.subject import Subject

REASON = "a safetensors header has no operators; give the config.json"
NOT_TOLD = "a safetensors header does not say which tensors are trained; give the config.json or the module"
# A header's word for a data type, and the word that every Count uses.
DTYPES = {"F32": "float32", "F64": "float64", "F16": "float16", "BF16": "bfloat16"}
CONVENTIONS = {
    "params": "elements of every tensor that is stored: a buffer is not told from a parameter, shared ones are stored "
    "once, packed ones count as they are packed",
}


@dataclass(frozen=True)
class Weights:
    """The tensors of a file, or of several that belong together."""

    name: str
    files: tuple[str, ...]
    tensors: tuple[Stored, ...]

    @cached_property
    def params(self) -> int:
        """Elements of all tensors."""
        return sum(tensor.numel for tensor in self.tensors)

    @cached_property
    def by_dtype(self) -> dict[str, dict[str, int]]:
        """Tensors, elements and bytes of each data type, the one with most bytes first."""
        found: dict[str, Counter[str]] = {}
        for tensor in self.tensors:
            row = found.setdefault(tensor.dtype, Counter())
            row.update(tensors=1, elements=tensor.numel, bytes=tensor.nbytes)
        ranked = sorted(found.items(), key=lambda item: (-item[1]["bytes"], item[0]))
        return {dtype: dict(row) for dtype, row in ranked}

    def bill(self) -> Bill:
        """One line per module, in the order of the names, sorted as a reader counts (2 before 10)."""
        ordered = sorted(self.tensors, key=lambda tensor: _natural(tensor.name))
        return Bill(Line(module_of(tensor.name), tensor.numel, Kind.PARAMETERS) for tensor in ordered)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: `files`, `tensors`, `bytes`, and the same by data type."""
        return {
            "files": list(self.files),
            "tensors": len(self.tensors),
            "bytes": sum(tensor.nbytes for tensor in self.tensors),
            "dtypes": {dtype: dict(row) for dtype, row in self.by_dtype.items()},
        }


def weights_at(path: Path) -> Weights:
    """The weights in a file, in the files that an index names, or in a folder with either.

    Raises BadTarget where there are none, and where a header or the index is spoilt.
    """
    if path.is_dir():
        inside = next((path / name for name in (INDEX_OF_WEIGHTS, WEIGHTS) if (path / name).is_file()), None)
        if inside is None:
            raise BadTarget(f"{path} has neither {INDEX_OF_WEIGHTS} nor {WEIGHTS}; name a file of weights.")
        path = inside
    if not path.is_file():
        raise BadTarget(f"{path} is not there; name a safetensors file, or a folder with {WEIGHTS}.")
    if path.suffix != ".json":
        return Weights(str(path), (path.name,), stored_at(path))
    return _divided(path)


def _divided(index: Path) -> Weights:
    found = read("json", index)
    places = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(places, dict) or not places or not all(isinstance(file, str) for file in places.values()):
        raise BadTarget(f"{index} has no weight_map of tensor names to files; download or write it again.")
    files = sorted(set(places.values()))
    for file in files:
        if Path(file).name != file or not file.endswith(".safetensors") or "\0" in file:
            raise BadTarget(f"{index} names {file!r}; a safetensors file in the same folder is allowed.")
    tensors: list[Stored] = []
    for file in files:
        if not (index.parent / file).is_file():
            raise BadTarget(f"{index} names {file}, which is not there; put all {len(files)} files beside it.")
        tensors += stored_at(index.parent / file)
    counted = Counter(tensor.name for tensor in tensors)
    wrong = sorted((set(counted) ^ set(places)) | {name for name, times in counted.items() if times > 1})
    if wrong:
        raise BadTarget(
            f"{index} and its {len(files)} files do not have the same tensors ({wrong[0]!r} and {len(wrong) - 1} "
            "others differ); download or write them again."
        )
    return Weights(str(index), tuple(files), tuple(tensors))


class WeightsFile(Subject):
    """A file of weights, an index of several, or a folder with either: nothing can run it."""

    family: ClassVar[str] = "weights"
    runs: ClassVar[bool] = False
    changeable: ClassVar[bool] = False
    no_sizes: ClassVar[str] = "a file of weights; give the config.json, whose settings can be set"

    @property
    def reads_source(self) -> bool:
        """Nothing reads anything."""
        return False

    @cached_property
    def weights(self) -> Weights:
        """What the headers say."""
        return weights_at(Path(self.name))

    def counted(self, request: Request) -> Count:
        """Parameters, the same at every length. Raises BadTarget for what weights alone have no use for."""
        given = {
            "a source": request.S,
            "a trace": request.trace,
            "an optimizer": request.optimizer,
            "accumulate": request.accumulate > 1,
            f"the phase {request.phase}": request.phase != "forward",
            f"the dtype {request.dtype}": request.dtype not in (None, "float32"),
        }
        for what, value in given.items():
            if value:
                raise BadTarget(
                    f"{what} was given for {self.name!r}, a file of weights alone; give the config.json instead."
                )
        missing = [*(row.name for row in QUANTITIES.told(Told.COUNT) if row.bill != "params"), "memory", "polynomials"]
        reasons = dict.fromkeys(missing, REASON) | {"trainable_params": NOT_TOLD}
        dtype = next(iter(self.weights.by_dtype), "F32")
        return Count(
            target=self.name,
            sizes={"B": request.B or 1, "T": DEFAULT_LENGTH if request.T is None else request.T},
            phase=request.phase,
            dtype=DTYPES.get(dtype, dtype.lower()),
            rung="safetensors header",
            bills=Bills(params=self.weights.bill()),
            numbers={},
            uncounted=tuple({"quantity": quantity, "reason": reason} for quantity, reason in reasons.items()),
            polynomials={},
            conventions=CONVENTIONS,
            weights=self.weights.to_dict(),
        )

    def spec(self, source: int | None = None) -> NoReturn:
        """Weights alone have none."""
        raise BadTarget(f"{self.name} holds weights alone, which cannot be run; give the config.json of the model.")


def disagreement(folder: Path, params: int) -> str | None:
    """One sentence where the weights in a folder have another number of elements than the configuration there gives.

    None where they agree, where there are no weights, or where their headers cannot be read.
    """
    try:
        weights = weights_at(folder)
    except BadTarget:
        return None
    if weights.params == params:
        return None
    return (
        f"the configuration gives {params:,} parameters, {', '.join(weights.files[:3])} "
        f"{'and others ' if len(weights.files) > 3 else ''}{'hold' if len(weights.files) > 1 else 'holds'} "
        f"{weights.params:,} elements (buffers and untied copies count there)"
    )


def module_of(name: str) -> str:
    """`h.0.attn` of `h.0.attn.weight`; a name without a dot stands for itself."""
    return name.rpartition(".")[0] or name or "module"


def _natural(name: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdecimal() and len(part) < 19 else (1, 0, part) for part in name.split(".")]
