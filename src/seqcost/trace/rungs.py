"""The rungs of the ladder: ways of running a target that differ in what its tensors are.

fake tensors    shapes without memory; no kernel runs, and with CPU fake tensors PyTorch picks exactly the operators
                that the CPU would execute. (Plain meta tensors are no rung: on them LSTM and fused attention take other
                code paths than on a CPU.)
real tensors    the module itself, at small lengths; for code that asks for values (`.item()`, `nonzero`)
"""

import operator
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily

from seqcost.errors import BadTarget, TraceFailed
from seqcost.fakes.copies import deep_copy
from seqcost.fakes.faking import UNFAKEABLE, as_fake, copied, fake_mode, inside, no_larger_than, retype
from seqcost.fakes.formats import check_dtype, main_format, mixture
from seqcost.fakes.parts import named_parts
from seqcost.fakes.recall import Recall
from seqcost.fakes.threads import ONE_AT_A_TIME
from seqcost.fakes.trees import tensors_in
from seqcost.fakes.values import values_known
from seqcost.formulas.core.component import Component
from seqcost.programs.changes import changed
from seqcost.programs.files.replayed import Replayed
from seqcost.programs.hugging_face.models import is_hugging_face
from seqcost.programs.hugging_face.quantised import said_of
from seqcost.programs.hugging_face.runs import counted_as_they_should, on_plain_torch, without_padding
from seqcost.programs.hugging_face.senses import said_of_senses, senses_of
from seqcost.programs.inputs import Inputs
from seqcost.programs.own_sizes import Reading, read, source_in
from seqcost.programs.program import prepare
from seqcost.programs.targets import Built, Target
from seqcost.progress import tell
from seqcost.trace.book.paths import Paths
from seqcost.trace.quick.naming import DoubtError
from seqcost.trace.quick.stacks import Stack, stacks_of
from seqcost.trace.sighting import Sighting, see

_PLAIN = (str, int, float, bool, type(None))
_LARGEST_REAL_BYTES = 4 * 2**30  # of parameters that are built for real only to be traced


@dataclass
class Rung:
    """A target opened on one rung: `look(T)` runs it at a length."""

    name: str
    target: Target
    phase: str
    B: int
    inside: Callable[[], AbstractContextManager[Any]]
    build: Callable[[int], Built]
    own_inputs: Callable[[Inputs], Inputs]
    longest: int | None = None  # lengths beyond are not run
    quick: bool = False  # whether equal layers are followed a few times and multiplied
    optimizer: str | None = None
    accumulate: int = 1
    asked: int | None = None  # the length that was asked for: what its memory is for is remembered
    reading: Reading | None = None  # of inputs that came with the module
    _recall: Recall = field(default_factory=Recall)
    _built: Built | None = None
    _stacks: list[Stack] | None = None  # its rows of equal layers, as long as none has been given anything to remember
    _ran: tuple[int, Inputs] | None = None  # the last length, and the inputs of that run

    def open(self, B: int | None, T: int | None, default: int) -> int:
        """Settle B and T, which this gives back: those asked for (None: not asked), else the target's own.

        Raises BadSize where the target's inputs came with it and are of other sizes.
        """
        self.asked = T or default
        if not self.target.takes_sizes:
            with self.inside():
                built = self._built = self._changed(self.asked)
            if built.given is not None:
                self.reading = read(built.given.args, built.given.kwargs, built.module, B=B, T=T)
                B, self.asked = self.reading.B, self.reading.T
            elif self.program is not None:
                axes = self.program.axes
                B, self.asked = B or axes.fixed_batch, T or axes.fixed_length or default
        elif not self.target.takes_batch:
            with self.inside():
                built = self._changed(self.asked)
            if built.given is not None:  # they have a length as it was asked for, and a batch of their own
                B = read(built.given.args, built.given.kwargs, built.module, B=B, T=None).B
        self.B = B or 1
        return self.asked

    def _changed(self, T: int) -> Built:
        return changed(self.build(T), self.target.changes)

    def look(self, T: int, *, keeping: bool = True) -> Sighting:
        """One run at length T; without `keeping` in half the time, a forward pass then says nothing of saved bytes."""
        tell(f"tracing {self.target.name}, {self.phase}, T = {T}")
        with self.inside():
            if self._built is None or self.target.takes_sizes:
                self._built, self._stacks = self._changed(T), None
            built = self._built
            theirs = is_hugging_face(built.module)
            padding = nullcontext() if built.given is not None else without_padding()
            checks = counted_as_they_should(built.module) if theirs else nullcontext()
            reads_more = theirs and built.given is None and bool(senses_of(built.module).given)
            with on_plain_torch(), padding, checks, values_known() if reads_more else nullcontext():
                if self._stacks is None:
                    self._stacks = stacks_of(built.module) if self.quick else []
                try:
                    return self._see(built, T, keeping, self._stacks)
                except DoubtError:  # equal layers did not do the same after all
                    return self._see(built, T, keeping, [])

    def _see(self, built: Built, T: int, keeping: bool, stacks: Sequence[Stack]) -> Sighting:
        inputs = self.own_inputs(built.inputs_at(self.B, T))
        self._ran = T, inputs
        program = prepare(
            built.module,
            inputs,
            phase=self.phase,
            own_mode=self.target.own_mode,
            optimizer=self.optimizer,
            accumulate=self.accumulate,
            loss=built.loss,
        )
        paths = Paths(built.module)
        with _as_it_was(built.module, self._forget_stacks), paths.following_ways_in(built.module):
            return see(
                program, paths, remember=self.asked in (None, T), keeping=keeping, stacks=stacks, recall=self._recall
            )

    def _forget_stacks(self) -> None:
        self._stacks = None

    @property
    def program(self) -> Replayed | None:
        """The program of a file that was opened, if the target is one."""
        module = None if self._built is None else self._built.module
        return module if isinstance(module, Replayed) else None

    @property
    def module(self) -> nn.Module:
        """The module of the last run."""
        assert self._built is not None, "nothing was run yet"
        return self._built.module

    @property
    def one_length(self) -> bool:
        """Whether the inputs came with the module, so that no other length can be seen."""
        return self.reading is not None

    @property
    def hint(self) -> str:
        """What a user can do: give inputs, where they were made up; else mend the module or the inputs."""
        if self._ran is None or self.reading is not None or self.target.takes_sizes:
            return "mend the module or its inputs"
        given = [*self._ran[1].args, *self._ran[1].kwargs.values()]
        shapes = ", ".join(str(list(t.shape)) for t in given if isinstance(t, Tensor))
        return (
            f"its inputs {shapes} were made up: mend the module, or give inputs=(…) or a function "
            "`def make(batch, length): return module, inputs`"
        )

    @property
    def dtype(self) -> str:
        """The format that stands for what ran."""
        if self.program is not None:
            return self.program.dtype
        inputs = () if self._ran is None else tensors_in((self._ran[1].args, self._ran[1].kwargs))
        return main_format(self.module, inputs)

    def conventions(self, T: int) -> dict[str, str]:
        """What labels mean that the target chose: sizes of its own inputs, axes of a program, a mixture of formats."""
        found = {} if self.reading is None else dict(self.reading.conventions)
        if self.program is not None:
            return self.program.axes.conventions
        if packing_encoders(self.module):
            found["padding"] = "computed as well, by nn.TransformerEncoder too, which leaves it out where it can"
        if (packed := said_of(self.module)) is not None:
            found["quantised"] = packed
        idle = getattr(getattr(self.module, "config", None), "zero_expert_num", None)
        if isinstance(idle, int) and idle:
            found["experts"] = (
                f"{idle:,} of them give back what they are given, so FLOPs depend on where the router sends each "
                "token: here it has random weights, and another run may send fewer or more"
            )
        if self.reading is None and is_hugging_face(self.module):
            with self.inside():
                found |= said_of_senses(self.module, T)
        formats = mixture(self.module)
        return found if formats is None else found | {"formats": f"the module holds {formats}"}

    @property
    def other_tokens(self) -> int:
        """Tokens of a sequence that stand for an image or a sound, where there is one at the length asked for."""
        if self._built is None or self.reading is not None or self.asked is None or self.target.takes_sizes:
            return 0
        if not is_hugging_face(self.module):
            return 0
        with self.inside():
            senses = senses_of(self.module)
        return senses.tokens if senses.fits(self.asked) else 0

    def source_at(self, T: int) -> int | None:
        """Tokens of the source that stands beside T tokens; None where there is none."""
        if self.target.source is not None:
            return self.target.source
        config = getattr(self.module, "config", None)
        if isinstance(config, Component):
            return int(config.source_tokens(T)) if config.takes_source else None
        assert self._ran is not None, "nothing was run yet"
        ran, inputs = self._ran
        found = source_in(inputs.kwargs)
        return T if found == ran else found


def packing_encoders(module: nn.Module) -> list[nn.TransformerEncoder]:
    """Encoders that put padded sequences into a nested tensor, whose work depends on the mask's values."""
    return [
        part for _, part in named_parts(module) if isinstance(part, nn.TransformerEncoder) and part.use_nested_tensor
    ]


def fake_rung(target: Target, *, phase: str, B: int = 1, dtype: str | None = None) -> Rung:
    """Shapes without memory; in the formats of the module's own, or all in one data type."""
    mode, wanted = fake_mode(), None if target.shapes_only or dtype is None else check_dtype(dtype)

    def build(T: int) -> Built:
        built = _built_as_fake(target, mode, rung.B, T)
        if wanted is not None:
            retype(built.module, wanted)
        return built

    def own(inputs: Inputs) -> Inputs:
        return inputs.mapped(lambda tensor: as_fake(tensor, mode, wanted))

    rung = Rung("fake tensors", target, phase, B, lambda: inside(mode), build, own, quick=True)
    return rung


def _built_as_fake(target: Target, mode: FakeTensorMode, B: int, T: int) -> Built:
    if target.shapes_only:
        return target.build(B=B, T=T)
    refused: BadTarget | None = None
    if not target.live:
        try:
            return target.build(B=B, T=T)
        except BadTarget as error:
            refused = error
        except UNFAKEABLE:
            pass  # constructors may ask for values, too: then build it for real and copy the shapes
    try:
        with unset_fake_temporarily(), no_larger_than(_LARGEST_REAL_BYTES):
            built = target.build(B=B, T=T)
    except TraceFailed:
        raise refused or TraceFailed("its constructor needs values, and more memory than there is") from None
    return replace(built, module=copied(built.module, mode))


def real_rung(target: Target, *, phase: str, B: int = 1, dtype: str | None = None, longest: int) -> Rung:
    """The module itself at small lengths; a live one is copied, so that its buffers and its mode stay as they are."""

    def build(T: int) -> Built:
        with no_larger_than(_LARGEST_REAL_BYTES):
            built = target.build(B=rung.B, T=T)
        if target.live:
            built = replace(built, module=deep_copy(built.module))
        return built.converted(dtype)

    rung = Rung("real tensors", target, phase, B, nullcontext, build, lambda inputs: inputs, longest)
    return rung


@contextmanager
def _as_it_was(module: nn.Module, remembers: Callable[[], None]) -> Iterator[None]:
    """Undo what a run changes in the making of a module: its parts, its plain settings and those of its configuration.

    A model may turn to another attention for good when it meets a short sequence (BigBird), or settle its number of
    buckets by the first length that it sees (Reformer). What it remembers besides (tables of angles, say) it may keep,
    as it does between the runs of its user; `remembers` is told of it.
    """
    parts = [(part, dict(part._modules)) for _, part in named_parts(module)]
    holders = {id(holder): holder for part, _ in parts for holder in (part, getattr(part, "config", None))}
    before = [(holder, dict(vars(holder))) for holder in holders.values() if hasattr(holder, "__dict__")]
    for encoder in packing_encoders(module):
        encoder.use_nested_tensor = False
    try:
        yield
    finally:
        for part, children in parts:
            if part._modules != children:
                part._modules = children
        for holder, attributes in before:
            now = vars(holder)
            if _is_same(now, attributes):
                continue
            settings = _settings_of(attributes)
            for name in settings.keys() | _settings_of(now).keys():
                if name not in settings:
                    del now[name]
                elif now.get(name) is not settings[name]:
                    now[name] = settings[name]
            if not _is_same(now, attributes):
                remembers()


def _is_same(now: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    return (
        len(now) == len(before)
        and now.keys() == before.keys()
        and all(map(operator.is_, now.values(), before.values()))
    )


def _settings_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are plain: words, numbers, lists and tuples of them, nothing."""

    def plain(value: object) -> bool:
        return type(value) in _PLAIN or (type(value) in (list, tuple) and all(type(v) in _PLAIN for v in value))  # type: ignore[attr-defined]

    return {name: value for name, value in attributes.items() if plain(value)}


@contextmanager
def untouched_random_state() -> Iterator[None]:
    """Leave the global random numbers of Python, NumPy and PyTorch where they were; one thread after the other."""
    with ONE_AT_A_TIME:
        python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global state is what is kept
        with torch.random.fork_rng(devices=[]):
            try:
                yield
            finally:
                random.setstate(python)
                np.random.set_state(numpy)  # noqa: NPY002
