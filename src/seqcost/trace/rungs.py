"""The rungs of the ladder: ways of running a target that differ in what its tensors are.

fake tensors    shapes without memory; no kernel runs, and with CPU fake tensors PyTorch picks exactly the operators
                that the CPU would execute. (Plain meta tensors are no rung: on them LSTM and fused attention take other
                code paths than on a CPU.)
real tensors    the module itself, at small lengths; for code that asks for values (`.item()`, `nonzero`)
"""

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch._subclasses.fake_tensor import unset_fake_temporarily

from seqcost.errors import BadTarget
from seqcost.trace.fakes import UNFAKEABLE, as_fake, copied, fake_mode
from seqcost.trace.inputs import Inputs
from seqcost.trace.paths import Paths
from seqcost.trace.program import prepare
from seqcost.trace.sighting import Sighting, see
from seqcost.trace.targets import Built, Target


@dataclass
class Rung:
    """A target opened on one rung: `look(T)` runs it at a length."""

    name: str
    target: Target
    phase: str
    B: int
    dtype: str
    inside: Callable[[], AbstractContextManager[Any]]
    build: Callable[[int], Built]
    own_inputs: Callable[[Inputs], Inputs]
    longest: int | None = None  # lengths beyond are not run
    _built: Built | None = None

    def look(self, T: int) -> Sighting:
        """One run at length T."""
        with self.inside():
            if self._built is None or self.target.takes_sizes:
                self._built = self.build(T)
            built = self._built
            inputs = self.own_inputs(built.inputs_at(self.B, T))
            program = prepare(built.module, inputs, phase=self.phase, own_mode=self.target.own_mode)
            paths = Paths(built.module)
            with paths.following_ways_in(built.module):
                return see(program, paths)

    @property
    def one_length(self) -> bool:
        """Whether the inputs came with the module, so that no other length can be seen."""
        return self._built is not None and self._built.given is not None and not self.target.takes_sizes


def fake_rung(target: Target, *, phase: str, B: int, dtype: str) -> Rung:
    """Shapes without memory."""
    mode = fake_mode()

    def build(T: int) -> Built:
        if target.live:
            built = target.build(B=B, T=T)
            return Built(copied(built.module, mode), built.given and _fake(built.given))
        try:
            return target.build(B=B, T=T, dtype=dtype)
        except (*UNFAKEABLE, BadTarget):
            # Constructors may ask for values, too: build it for real and copy the shapes.
            with unset_fake_temporarily():
                built = target.build(B=B, T=T, dtype=dtype)
            return Built(copied(built.module, mode), built.given and _fake(built.given))

    def _fake(inputs: Inputs) -> Inputs:
        return Inputs(as_fake(inputs.args, mode), as_fake(inputs.kwargs, mode))

    return Rung("fake tensors", target, phase, B, dtype, lambda: mode, build, _fake)


def real_rung(target: Target, *, phase: str, B: int, dtype: str, longest: int) -> Rung:
    """The module itself at small lengths; a live one is copied, so that its buffers and its mode stay as they are."""

    def build(T: int) -> Built:
        built = target.build(B=B, T=T, dtype=dtype)
        return Built(copy.deepcopy(built.module), built.given) if target.live else built

    return Rung("real tensors", target, phase, B, dtype, nullcontext, build, lambda inputs: inputs, longest)


@contextmanager
def untouched_random_state() -> Iterator[None]:
    """Leave the global random numbers of Python, NumPy and PyTorch where they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global state is what is kept
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
