"""The jobs that predictions are judged by: the catalogue and other people's modules over phases, lengths and widths.

A group is one target at one width: its jobs run in one process. Of the catalogue it is the models, in which all layers
and parts stand; presets are left out, which are settings of theirs. Models have as few layers as show each kind of
them, since more of them are more of the same. Loads no torch.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import other_modules

from seqcost.formulas.catalogue import CATALOGUE, configure
from seqcost.records import Job

WIDTHS = (128, 512)
LENGTHS = (32, 64, 128, 256, 512)
LAYERS = 2
OTHERS = other_modules.__name__
RUNS = "runs.jsonl"
Line = dict[str, Any]  # a job and what became of it in a round


@dataclass(frozen=True)
class Group:
    """One target at one width."""

    name: str
    D: int
    family: str
    jobs: tuple[Job, ...]

    @property
    def target(self) -> str:
        """As `predict` takes it."""
        spec = self.jobs[0].target
        return str(spec.get("path") or spec["name"])

    @property
    def sizes(self) -> dict[str, Any] | None:
        """The same."""
        return self.jobs[0].target.get("sizes")

    def __str__(self) -> str:
        return f"{self.name}, D {self.D}"


def groups(threads: int, names: Sequence[str] = ()) -> Iterator[Group]:
    """Every group, or those of these names."""
    for name, entry in CATALOGUE.items():
        if entry.group == "model" and (not names or name in names):
            phases = ("forward", "train", *(["decode"] if configure(name).decodes else []))
            for D in WIDTHS:
                spec = {"kind": "catalogue", "name": name, "sizes": sizes_of(name, D)}
                yield Group(name, D, entry.family or entry.group, _jobs(spec, phases, threads))
    for name in other_modules.NAMES:
        if not names or f"{OTHERS}:{name}" in names:
            phases = ("forward", "train", *(["decode"] if name in other_modules.DECODES else []))
            for D in WIDTHS:
                spec = {"kind": "callable", "path": f"{OTHERS}:D{D}.{name}"}
                yield Group(f"{OTHERS}:{name}", D, "modules of others", _jobs(spec, phases, threads))


def sizes_of(name: str, D: int) -> dict[str, Any]:
    """A width and what goes with it; few layers."""
    fields, usual = CATALOGUE[name].fields, configure(name)
    width = usual.D  # type: ignore[attr-defined]
    found: dict[str, Any] = {"D": D}
    found |= {letter: D for letter in "N" if letter in fields and getattr(usual, letter, None) == width}
    found |= {letter: 4 * D for letter in "F" if letter in fields and getattr(usual, letter, None) == 4 * width}
    if name == "classifier":
        found |= {"F": 4 * D}
    if "L" in fields:
        found["L"] = 4 if name == "hybrid" else LAYERS
    if name in ("vit", "dit"):
        found |= {"H": 8, "M": 1024}  # a square of at least as many patches as the longest has
    return found


def _jobs(spec: dict[str, Any], phases: Sequence[str], threads: int) -> tuple[Job, ...]:
    return tuple(Job(target=spec, phase=phase, B=1, T=T, threads=threads) for phase in phases for T in LENGTHS)


def lines_in(path: Path) -> Iterator[Line]:
    """What is kept; a line that was cut off by an interruption is none."""
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue
