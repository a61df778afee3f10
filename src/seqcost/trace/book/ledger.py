"""The book in which every operator of a run is written down: FLOPs, bytes, depth, module, memory.

A dispatch mode below autograd: it sees the operators that the CPU executes, forward and backward, with the modules'
own code and PyTorch's autograd deciding which. It works alike on fake, symbolic and real tensors. What is made of
weights and constants alone (a mask, a table of angles) could be made beforehand and is on no chain of the depth.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode

from seqcost.algebra.work import Beside
from seqcost.fakes.cpu_kernels import DECOMPOSITIONS, SUBSTITUTES, detaches_a_real_one, has_cpu_kernel
from seqcost.fakes.foreach import is_foreach, one_by_one
from seqcost.fakes.higher_order import follow, is_higher_order, uncompiled
from seqcost.fakes.in_place import InPlace
from seqcost.fakes.recall import Recall
from seqcost.fakes.replays import Replays
from seqcost.fakes.schemas import base_name
from seqcost.fakes.threads import replaced
from seqcost.trace.book.book import Op, Shown
from seqcost.trace.book.history import Storage
from seqcost.trace.book.keeper import Keeper
from seqcost.trace.book.lookups import Lookups
from seqcost.trace.book.memory import Memory
from seqcost.trace.book.paths import BACKWARD, FORWARD, Paths
from seqcost.trace.operators import cudnn
from seqcost.trace.operators.contractions import cell_steps
from seqcost.trace.operators.registry import costs_of
from seqcost.trace.operators.temporaries import temporary_bytes
from seqcost.trace.operators.traffic import OVERWRITTEN, UNINITIALISED, moved_bytes

_DEVICE = torch.ops.prim.device.default
_STEPS_OF = {
    "aten::mkldnn_rnn_layer": cell_steps,
    "aten::mkldnn_rnn_layer_backward": cell_steps,
    "aten::_cudnn_rnn": cudnn.steps,
    "aten::_cudnn_rnn_backward": cudnn.steps_backward,
}  # one call of these is as many steps as tokens


class Ledger(TorchDispatchMode):
    """Use as a context: everything that runs inside is booked."""

    rewrites = True  # whether what a real run does in place is done in place here

    def __init__(
        self, paths: Paths, memory: Memory, inputs: Iterable[torch.Tensor], recall: Recall | None = None
    ) -> None:
        super().__init__()
        self._recall = recall or Recall()
        self.saved: dict[str, int] = {}
        self.shapes: set[Any] | None = None  # of everything that an operator returned, where they are asked for
        self.blind = False  # whether what autograd kept could not all be seen
        self.noting = memory.book.history is not None  # whether launches are kept apart by their shapes
        self.inner = 0  # of the launches forward, those in loops of PyTorch's own
        self.views, self.launched = Counter[str](), Counter[str]()  # by direction, each once
        self.times = 1  # equal runs that the one under way stands for
        self.memory = memory
        self.paths = paths
        self._in_place, self._replays = InPlace(), Replays()
        inputs = list(inputs)
        self.lookups = Lookups(paths, inputs)
        self.book = memory.book
        for tensor in inputs:
            if (block := memory.known(tensor)) is not None:
                self.book.begin(block)
        self.book.mark_peak()

    @contextmanager
    def booking(self, weights: list[torch.Tensor]) -> Iterator[None]:
        """Book a run; what autograd keeps is booked too, `weights` excepted."""
        # A number that autograd wraps was made by no operator: its memory is first seen when it is kept.
        keeper = Keeper(self.paths, weights, self.memory.keep)
        self.saved = keeper.saved
        with keeper.keeping(), self._holding_random_states(), uncompiled(), self:
            yield
        self.blind = keeper.blind

    @contextmanager
    def _holding_random_states(self) -> Iterator[None]:
        """Count the states of the random numbers that checkpoints keep (5 kB each): no operator makes them."""

        def holding(plain: Any) -> Any:
            def held() -> torch.Tensor:
                state: torch.Tensor = plain()
                self.memory.keep(state, self.paths.now()[0])
                return state

            return held

        with replaced(torch, "get_rng_state", holding), replaced(torch.random, "get_rng_state", holding):
            yield

    supports_higher_order_operators = True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled in here, and the guard against it costs one call per operator

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is _DEVICE:  # autograd asks for every tensor; a fake tensor knows
            return getattr(args[0], "fake_device", None) or args[0].device
        kwargs = kwargs or {}
        if detaches_a_real_one(func, args):
            with unset_fake_temporarily():
                return func(*args)
        if is_higher_order(func):
            with self:
                return follow(func, args, kwargs)
        if func in DECOMPOSITIONS:
            with self:
                return DECOMPOSITIONS[func](*args, **kwargs)
        if is_foreach(func):
            with self:
                return one_by_one(func, args, kwargs)
        writing = self._in_place.writes(func, args, kwargs) if self.rewrites else None
        if writing is not None:
            with self:
                return writing(*args, **kwargs).view_as(args[0])
        self._replays.note(func, args)
        if func in SUBSTITUTES and any(isinstance(t, FakeTensor) for t in tensors_among(args)):
            out = SUBSTITUTES[func](func, args, kwargs)
        else:
            if not costs_of(func).known and not has_cpu_kernel(func):
                with self:
                    out = func.decompose(*args, **kwargs)
                if out is not NotImplemented:
                    return out
            out = self._recall(func, args, kwargs)
        self._book(func, args, kwargs, out)
        self._in_place.note(func, out)
        self.lookups.note(func, args, kwargs, out)
        return out

    def _book(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        operands = list(tensors_among((args, kwargs)))
        if self.shapes is not None:
            self.shapes.update(tensor.shape for tensor in tensors_among(out))
        results = [t for t in tensors_among(out) if self.memory.is_new(t)]
        made = [self.memory.hold(tensor) for tensor in results]
        changed = list(tensors_among([args[i] if isinstance(i, int) else kwargs.get(i) for i in _written(func)]))
        if (not results and not changed) or torch.Tag.inplace_view in func.tags or _is_view(func):
            if _is_view(func):
                self.views[self.paths.now()[1]] += 1
            return  # a view (even of a constant, whose memory no operator made), or a question
        path, direction = self.paths.now()
        self.launched[direction] += 1
        self.inner += direction == FORWARD and self.paths.in_own_loop
        costs, name = costs_of(func), base_name(func)
        named = {name: value for name, value in kwargs.items() if name != "out"}
        # What is only written over is not waited for: `out[:, t] = f(x[:, t])` in a loop is no chain.
        over = changed if name in OVERWRITTEN else []
        times = self.times
        amounts = (
            times,
            0 if costs.contraction is None else times * costs.contraction(*args, out=out, **named),
            0 if costs.pointwise is None else times * costs.pointwise(*args, out=out, **named),
            times * moved_bytes(func, operands, changed, results),
            times * sum(block.num_bytes for block in dict.fromkeys(made)),
        )
        self.book.enter(
            Op(
                key=(direction, path, name),
                shapes=(_shown(operands), _shown(results or changed), costs.sizes_of(args, named, out))
                if self.noting
                else None,
                kernel=costs.kernel,
                known=costs.known,
                amounts=amounts,
                kernel_bytes=temporary_bytes(func, args, kwargs, out),
                steps=self._steps(name, args),
                used=self._blocks(operands),
                awaited=self._blocks(t for t in operands if not any(t is other for other in over)),
                written=self._blocks([*results, *changed]),
                made=made,
                recording=torch.is_grad_enabled(),
            )
        )

    def beside(self) -> Beside:
        """What was done beside the launches up to now, for each of them."""
        forward, backward = (max(self.launched[way], 1) for way in (FORWARD, BACKWARD))
        return Beside(
            views_forward=self.views[FORWARD] / forward,
            views_backward=self.views[BACKWARD] / backward,
            modules=self.paths.num_calls / forward,
            inner=self.inner / forward,
        )

    def _blocks(self, tensors: Iterable[torch.Tensor]) -> list[Storage]:
        return [block for t in tensors if (block := self.memory.known(t)) is not None]

    def _steps(self, name: str, args: Any) -> Any:
        steps = _STEPS_OF[name](*args) if name in _STEPS_OF else int(name not in UNINITIALISED)
        if self.times > 1 and hasattr(torch._C._current_autograd_node(), "variable"):
            steps *= self.times  # gradients are added up one after the other
        return steps


def tensors_among(value: Any) -> Iterator[torch.Tensor]:
    """Tensors among an operator's arguments or results."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_among(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_among(item)


def _shown(tensors: Iterable[torch.Tensor]) -> Shown:
    return tuple([(t.shape, t.dtype) for t in tensors])


@cache
def _written(func: Any) -> tuple[int | str, ...]:
    """Where the arguments stand that an operator writes to: positions, or names of keyword-only ones."""
    return tuple(
        argument.name if argument.kwarg_only else position
        for position, argument in enumerate(func._schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    )


@cache
def _is_view(func: Any) -> bool:
    """Whether everything that an operator returns is a view of what it was given."""
    returns = func._schema.returns
    return bool(returns) and all(r.alias_info is not None and not r.alias_info.is_write for r in returns)
