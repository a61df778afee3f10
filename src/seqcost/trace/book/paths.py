"""Which module an operator belongs to, in the forward and in the backward pass.

Forward: the innermost module whose call is open, followed by hooks that are global, so that no module is touched
(a module that carries hooks of its own takes other code paths in torch.nn). `extend` and `step` of our layers are not
calls of the module; they are wrapped on the traced copy while it runs.

Backward: autograd numbers its nodes in the order in which the forward pass makes them. The number is noted at every
entry and exit, so the node that is running says in whose call it was made. Gradient accumulation has no number; it
belongs to the parameter's module.
"""

import functools
import threading
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from seqcost.fakes.parts import named_parameters, named_parts

FORWARD, BACKWARD, OPTIMIZER = "forward", "backward", "optimizer"
OUTSIDE = "loss"  # what runs around the module: the loss of a training step
_WAYS_IN = ("extend", "step")


class Paths:
    """Path of the operator that is running now."""

    def __init__(self, module: nn.Module) -> None:
        self._names = {id(m): name for name, m in reversed(named_parts(module, again=True))}
        self._owners = {
            id(parameter): name.rpartition(".")[0] for name, parameter in reversed(named_parameters(module, again=True))
        }
        self._open: list[tuple[nn.Module, str]] = []  # calls that have not returned yet, with their paths
        self.num_calls = 0  # of modules, up to now
        self.within_forward = False  # whether a call is open that was not made from within backward
        self._numbers = [0]
        self._at_number = [OUTSIDE]
        self._stepping = False

    @contextmanager
    def stepping(self) -> Iterator[None]:
        """The optimizer's step while the block runs: it belongs to no module."""
        self._stepping = True
        try:
            yield
        finally:
            self._stepping = False

    @contextmanager
    def following(self) -> Iterator[None]:
        """Follow calls while the block runs."""
        self._numbers, self._at_number = [torch._C._autograd._get_sequence_nr()], [OUTSIDE]
        thread = threading.get_ident()

        def followed() -> bool:
            """Whether this is the thread that is followed, or one of autograd's (GPUs have them)."""
            modes = () if threading.get_ident() == thread else _get_current_dispatch_mode_stack()
            return modes == () or any(getattr(mode, "paths", None) is self for mode in modes)

        def entering(module: nn.Module, *_: Any) -> None:
            if followed():
                self._enter(module)

        def leaving(module: nn.Module, *_: Any) -> None:
            if followed():
                self._leave(module)

        enter = register_module_forward_pre_hook(entering)
        leave = register_module_forward_hook(leaving, always_call=True)
        try:
            yield
        finally:
            enter.remove()
            leave.remove()

    def now(self) -> tuple[str, str]:
        """Path, and whether forward, backward or the optimizer is running."""
        if self._stepping:
            return "", OPTIMIZER
        node: Any = torch._C._current_autograd_node()
        if node is None:
            return self.here, FORWARD
        if self._open:  # recomputation: the module is called again from within backward
            return self.here, BACKWARD
        variable = getattr(node, "variable", None)
        if variable is not None:
            return self._owners.get(id(variable), OUTSIDE), BACKWARD
        return self._at_number[bisect_right(self._numbers, node._sequence_nr()) - 1], BACKWARD

    def _enter(self, module: nn.Module) -> None:
        self.num_calls += 1
        if not self._open:
            self.within_forward = torch._C._current_autograd_node() is None
        name = self._names.get(id(module))
        self._open.append((module, self.here if name is None else name))
        self._note()

    def _leave(self, module: nn.Module) -> None:
        # A call that was open already when the following began is not on the list.
        places = [place for place, (caller, _) in enumerate(self._open) if caller is module]
        if places:
            del self._open[places[-1] :]
            self.within_forward = self.within_forward and bool(self._open)
            self._note()

    @property
    def in_own_loop(self) -> bool:
        """Whether the innermost call is of a module whose steps PyTorch loops over by itself."""
        return bool(self._open) and isinstance(self._open[-1][0], nn.RNNBase)

    @property
    def here(self) -> str:
        """Innermost open path."""
        return self._open[-1][1] if self._open else OUTSIDE

    def _note(self) -> None:
        self._numbers.append(torch._C._autograd._get_sequence_nr())
        self._at_number.append(self.here)

    @contextmanager
    def following_ways_in(self, module: nn.Module) -> Iterator[None]:
        """Follow `extend` and `step`, too, of this module and of everything inside it, while the block runs."""
        wrapped = [
            (part, way)
            for _, part in named_parts(module)
            for way in _WAYS_IN
            if callable(getattr(type(part), way, None))
        ]
        for part, way in wrapped:
            setattr(part, way, self._followed(part, getattr(part, way)))
        try:
            yield
        finally:
            for part, way in wrapped:
                delattr(part, way)

    def _followed(self, part: nn.Module, method: Any) -> Any:
        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            self._enter(part)
            try:
                return method(*args, **kwargs)
            finally:
                self._leave(part)

        return call
