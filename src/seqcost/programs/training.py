"""The optimizer of a training step, by its name in torch.optim, with its state already there.

`adamw`, `sgd`, or a name with options: `sgd:momentum=0.9`, `adamw:foreach=true`. Options are those of the class, which
otherwise keeps PyTorch's defaults; on the CPU these are the loops over parameters, not the foreach or fused kernels.

The state is made by one step on gradients of zero, so that the step that is booked or measured finds it as every later
step does.
"""

import json
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from seqcost.errors import BadSize, BadTarget, UnknownName, one_line
from seqcost.fakes.cpu_kernels import Substituting
from seqcost.programs.files.replayed import name_of

OPTIMIZERS: dict[str, type[Optimizer]] = {
    name.lower(): kind
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type) and issubclass(kind, Optimizer) and kind is not Optimizer
}
_REFUSED = {
    "lbfgs": "calls the model again from within its step as often as its line search wants",
    "sparseadam": "takes sparse gradients, which no phase makes",
}


def check_training(phase: str, optimizer: str | None, accumulate: int) -> None:
    """Refuse an optimizer or an accumulation that cannot be run in the phase.

    Raises BadSize, BadTarget or UnknownName.
    """
    if isinstance(accumulate, bool) or not isinstance(accumulate, int) or accumulate < 1:
        raise BadSize(f"accumulate = {accumulate!r} was given; a whole number of at least 1 is allowed.")
    if optimizer is not None:
        _parsed(optimizer)
    if phase != "train" and (optimizer is not None or accumulate != 1):
        given = f"the optimizer {optimizer}" if optimizer is not None else f"accumulation over {accumulate} passes"
        raise BadTarget(f"{given} was given in the phase {phase}; only train has gradients: choose phase train.")


def ready_optimizer(description: str, module: nn.Module) -> Optimizer:
    """Optimizer over the module's trainable parameters, with the state that a step finds; gradients are left unset.

    Raises BadTarget where the class refuses its options or the module has nothing to train.
    """
    kind, options = _parsed(description)
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not parameters:
        raise BadTarget(
            f"the optimizer {description} was asked of {name_of(module)}, which has no trainable parameter; "
            "leave the optimizer out, or choose the phase forward."
        )
    try:
        optimizer = kind(parameters, **options)
    except (TypeError, ValueError, RuntimeError) as error:
        said = one_line(error)
        raise BadTarget(
            f"the optimizer {description} refuses the parameters or options of {name_of(module)} ({said}); "
            "choose another optimizer or other options."
        ) from None
    with Substituting():
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    for parameter in parameters:
        parameter.grad = None
    return optimizer


def _parsed(description: str) -> tuple[type[Optimizer], dict[str, Any]]:
    name, *assignments = str(description).split(":")
    kind = OPTIMIZERS.get(name.lower())
    if kind is None:
        raise UnknownName.among("optimizer", name, [known for known in OPTIMIZERS if known not in _REFUSED])
    if name.lower() in _REFUSED:
        raise BadTarget(f"{name} {_REFUSED[name.lower()]}; choose another optimizer, such as adamw or sgd.")
    options = {}
    for assignment in assignments:
        option, equals, value = assignment.partition("=")
        try:
            options[option.strip()] = json.loads(value.lower())
        except json.JSONDecodeError:
            equals = ""
        if not equals:
            raise BadTarget(
                f"{assignment!r} was given as an option of {name}; OPTION=VALUE with a number, true or false is "
                "allowed, such as sgd:momentum=0.9."
            )
    return kind, options
