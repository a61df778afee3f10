"""What is run: a module and one phase of its life, ready to be executed any number of times.

forward   the whole sequence, without gradients
train     forward, a scalar loss, backward, as often as gradients are accumulated; then the step of an optimizer, if
          one was asked for; the gradients are dropped at the end
prefill   `extend` on the whole sequence from an empty state; a second input (a source) is read into it first
decode    one `step` with the state of T − 1 tokens; its tensors have the right shape, their content is not computed

A model of the transformers package has its own cache in place of `extend`, `step` and a state: see `caches`.

The loss is the cross-entropy of every token's successor (cyclically, so that no row is lost) where token ids went in
and (B, T, U) logits came out, else the sum of all floating-point results. Modules of our own keep the mode they were
built in; others are put into train() for `train` and eval() for the rest.

The measuring worker runs the same programs on real tensors, so nothing here knows about tracing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqcost.errors import BadTarget, UnknownName
from seqcost.fakes.parts import named_parameters
from seqcost.fakes.trees import map_tensors, tensors_in
from seqcost.programs.changes import changed
from seqcost.programs.files.replayed import name_of
from seqcost.programs.hugging_face.caches import Carried, call_with_cache, step_arguments
from seqcost.programs.hugging_face.models import is_hugging_face
from seqcost.programs.inputs import Inputs
from seqcost.programs.refusals import refuse_sparse_gradients
from seqcost.programs.targets import Target
from seqcost.programs.training import check_training, ready_optimizer

Phase = Literal["forward", "train", "prefill", "decode"]
PHASES: tuple[str, ...] = get_args(Phase)
_STATEFUL = ("prefill", "decode")


@dataclass(frozen=True)
class Program:
    """A module, its inputs and a phase."""

    phase: str
    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    state: Any = None
    successors: Tensor | None = None  # (B, T): the token after each token
    optimizer: torch.optim.Optimizer | None = None
    accumulate: int = 1  # forward and backward passes, each over inputs of B sequences, before a step
    loss: Callable[[Any, Any], Tensor] | None = None  # in place of the cross-entropy: see changes

    def run(self) -> None:
        """Execute the phase once and drop everything it made."""
        try:
            for stage in self.stages():
                for _ in range(stage.times):
                    stage.run()
        finally:
            if self.phase == "train":
                self.drop_gradients()

    def stages(self) -> Iterator["Stage"]:
        """What a run consists of; a stage that is run several times does the same each time."""
        if self.phase != "train":
            yield Stage("pass", 1, self._without_gradients)
            return
        yield Stage("gradients", 1, self._accumulate_gradients)  # finds no gradients, the others do
        if self.accumulate > 1:
            yield Stage("gradients", self.accumulate - 1, self._accumulate_gradients)
        if self.optimizer is not None:
            yield Stage("optimizer", 1, self.optimizer.step)

    def run_once(self) -> None:
        """Execute the phase with a cache of its own memory, made first, which the module may release as it goes.

        That is what a step of a decoding loop does. `run` leaves the cache for the next run; what else is carried is
        an immutable value and is there during a step in any case.
        """
        if not isinstance(self.state, Carried):
            self.run()
            return
        with torch.no_grad():
            call_with_cache(self.module, self.kwargs, self.state.own())

    def lasting_tensors(self) -> list[Tensor]:
        """The resident tensors of `run_once`: all but the cache that it makes for itself."""
        kinds = self.resident_by_category()
        makes = ("state",) if isinstance(self.state, Carried) else ()
        return [tensor for kind, tensors in kinds.items() for tensor in tensors if kind not in makes]

    def last_result(self) -> Any:
        """The result of a program that is run no more: its cache is given away, and released as the module goes on."""
        return self.result() if not isinstance(self.state, Carried) else self._result(self.state.given())

    def result(self) -> Any:
        """What the module returns: its output, or output and state."""
        return self._result(self.state.argument() if isinstance(self.state, Carried) else None)

    def _result(self, cache: dict[str, Any] | None) -> Any:
        if self.phase in _STATEFUL and is_hugging_face(self.module):
            return call_with_cache(self.module, self.kwargs, cache)
        if self.phase == "prefill":
            x, *others = self.args
            state = self.state if not others else self.module.init_state(x.shape[0], *others)  # type: ignore[operator]
            return self.module.extend(x, state)  # type: ignore[operator]
        if self.phase == "decode":
            return self.module.step(self.args[0], self.state)  # type: ignore[operator]
        return self.module(*self.args, **self.kwargs)

    def differentiable_result(self) -> Any:
        """Output of a forward pass over inputs that want gradients, as a layer inside a model sees them."""

        def wanted(tensor: Tensor) -> Tensor:
            return tensor.detach().requires_grad_(tensor.is_floating_point())

        return self.module(*map_tensors(wanted, self.args), **map_tensors(wanted, self.kwargs))

    def resident_tensors(self) -> list[Tensor]:
        """Parameters, buffers, inputs, the carried state and the optimizer's: what is there before and after a run."""
        return [tensor for tensors in self.resident_by_category().values() for tensor in tensors]

    def resident_by_category(self) -> dict[str, list[Tensor]]:
        """The same, by what it is: see `peak.CATEGORIES`."""
        inputs = list(tensors_in((self.args, self.kwargs)))
        return {
            "parameters": [p for _, p in named_parameters(self.module)],
            "buffers": list(self.module.buffers()),
            "inputs": inputs if self.successors is None else [*inputs, self.successors],
            "state": [*tensors_in(self.state), *(self.state.counters() if isinstance(self.state, Carried) else ())],
            "optimizer_state": [] if self.optimizer is None else list(tensors_in(self.optimizer.state)),
        }

    def inputs(self) -> list[Tensor]:
        """What a call is given: arguments and the carried state."""
        return list(tensors_in((self.args, self.kwargs, self.state)))

    def _without_gradients(self) -> None:
        with torch.no_grad():
            self.result()

    def _accumulate_gradients(self) -> None:
        self._loss(self.module(*self.args, **self.kwargs)).backward()
        if self.accumulate > 1 or self.optimizer is not None:
            for tensor in self.differentiable_inputs():
                tensor.grad = None  # every pass has inputs of its own

    def drop_gradients(self) -> None:
        """Unset the gradients of parameters and inputs."""
        for tensor in (*[p for _, p in named_parameters(self.module)], *self.differentiable_inputs()):
            tensor.grad = None

    def _loss(self, output: Any) -> Tensor:
        results = [t for t in tensors_in(output) if t.is_floating_point() and t.requires_grad]
        if not results:
            raise self._nothing_to_train()
        if self.loss is not None and self.successors is not None:
            return self.loss(results[0], self.successors)
        if self.successors is not None and _is_logits(results[0], self.successors, self.module):
            return functional.cross_entropy(results[0].view(-1, results[0].shape[-1]), self.successors.view(-1))
        loss = results[0].sum()
        for result in results[1:]:
            loss = loss + result.sum()
        return loss

    def _nothing_to_train(self) -> BadTarget:
        name, parameters = name_of(self.module), list(self.module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            return BadTarget(
                f"every parameter of {name} is frozen and its inputs want no gradient, so there is nothing to train; "
                "set requires_grad of some, or choose the phase forward."
            )
        return BadTarget(
            f"{name} returned no floating-point tensor that depends on a parameter, so there is nothing to train; "
            "return one, or choose the phase forward."
        )

    def differentiable_inputs(self) -> list[Tensor]:
        """Inputs that want gradients, as a layer inside a model has them."""
        return [t for t in tensors_in((self.args, self.kwargs)) if t.requires_grad]


@dataclass(frozen=True)
class Stage:
    """A part of a run: `gradients` of one micro-batch, the step of the `optimizer`, or a `pass` without gradients."""

    name: str
    times: int
    run: Callable[[], object]


def load(
    spec: dict[str, Any],
    *,
    phase: str,
    B: int,
    T: int,
    dtype: str = "float32",
    device: str = "cpu",
    text: bytes | None = None,
    optimizer: str | None = None,
    accumulate: int = 1,
) -> Program:
    """Program for a target described by plain data: see `Target.of_spec`."""
    check_phase(phase)
    check_training(phase, optimizer, accumulate)
    target = Target.of_spec(spec)
    built = changed(target.build(B=B, T=T).converted(dtype, device), target.changes)
    inputs = built.inputs_at(B, T, text=text)
    return prepare(
        built.module,
        inputs,
        phase=phase,
        own_mode=target.own_mode,
        optimizer=optimizer,
        accumulate=accumulate,
        loss=built.loss,
    )


def check_phase(phase: str) -> None:
    """Refuse what is no phase."""
    if phase not in PHASES:
        raise UnknownName.among("phase", phase, PHASES)


def prepare(
    module: nn.Module,
    inputs: Inputs,
    *,
    phase: str,
    own_mode: bool = False,
    optimizer: str | None = None,
    accumulate: int = 1,
    loss: Callable[[Any, Any], Tensor] | None = None,
) -> Program:
    """Program of a module that is built; with `own_mode` it stays in train() or eval() as it was built."""
    check_training(phase, optimizer, accumulate)
    args, kwargs = inputs.args, inputs.kwargs
    if not own_mode:
        module.train(phase == "train")
    if phase in _STATEFUL and is_hugging_face(module):
        given, state = _detached(kwargs), None
        if phase == "decode":
            given, state = step_arguments(module, given)
        return Program(phase, module, args, given, state=state)
    if phase in _STATEFUL:
        return _stateful(module, args, phase)
    if phase == "forward":
        return Program(phase, module, _detached(args), _detached(kwargs))
    refuse_sparse_gradients(module)
    successors = _successors(module, args, kwargs)
    stepping = None if optimizer is None else ready_optimizer(optimizer, module)
    return Program(
        phase, module, args, kwargs, successors=successors, optimizer=stepping, accumulate=accumulate, loss=loss
    )


def _detached(values: Any) -> Any:
    return map_tensors(lambda tensor: tensor.detach(), values)


def _successors(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """What a language model should have said: the next tokens; of a classifier of ours, one class per sequence."""
    config = getattr(module, "config", None)
    if getattr(config, "gives_logits", None) is False:  # a layer of ours without logits: the sum stands for a loss
        return None
    if getattr(config, "pools", False) is True:
        first = next(tensors_in(args))
        return torch.zeros(first.shape[0], dtype=torch.int64, device=first.device)
    ids = [t for t in tensors_in((args, kwargs)) if t.dtype == torch.int64 and t.dim() == 2]
    return ids[0].roll(-1, dims=1) if ids else None


def _is_logits(output: Tensor, successors: Tensor, module: nn.Module) -> bool:
    own = getattr(getattr(module, "config", None), "gives_logits", None)
    if isinstance(own, bool):  # a layer of ours knows
        return own
    # Hidden states have the shape of logits too: (B, T, D). Logits are at least as wide as the vocabulary.
    words = next((m.num_embeddings for m in module.modules() if isinstance(m, nn.Embedding)), 0)
    return output.dim() == 3 and output.shape[:2] == successors.shape and output.shape[-1] >= words


def _stateful(module: nn.Module, args: tuple[Any, ...], phase: str) -> Program:
    way = "extend" if phase == "prefill" else "step"
    if not callable(getattr(module, way, None)) or not callable(getattr(module, "init_state", None)):
        raise BadTarget(
            f"the phase {phase} was asked of {type(module).__name__}, which has no {way}(x, state) and "
            "init_state(batch); give it both, or choose forward or train."
        )
    x, *others = _detached(args)
    if phase == "prefill":
        state = None if others else module.init_state(x.shape[0])  # type: ignore[operator]
        return Program(phase, module, (x, *others), state=state)
    # A copy: a view of the last token would cost every product a copy of its own.
    return Program(phase, module, (x[:, -1].clone(),), state=_state_before_last(module, x, others))


def _state_before_last(module: Any, x: Tensor, others: list[Any]) -> Any:
    from seqcost.programs.shapes import state_shape_after

    shape = state_shape_after(module, x[:, :-1], others)
    return map_tensors(lambda t: torch.zeros(t.shape, dtype=t.dtype, device=x.device), shape)
