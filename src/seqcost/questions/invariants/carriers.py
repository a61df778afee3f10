"""How a module is called, on a whole sequence and piece by piece with what it carries: the contract, and two customs.

Here are the contract of our own layers (`extend`, `init_state`) and that of modules which carry nothing; Hugging
Face's and that of recurrences are in customs.py, and `carrier_of` in choice.py tells which one a module follows.
"""

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from seqcost.errors import BadTarget
from seqcost.fakes.trees import distinct_bytes, tensors_in


class Carrier(ABC):
    """A module and its custom.

    custom      how it is carried on, in words
    carries     whether it has a state at all
    functional  what is carried is a value: given back anew, not changed in place
    hidden      the state lives inside the module, where it can be neither copied nor given back
    pieces      several tokens can follow at once; else only one
    time_axis   where the tokens are: 1, or 0 where they come before the sequences of a batch
    """

    def __init__(
        self,
        module: nn.Module,
        custom: str,
        *,
        carries: bool = True,
        functional: bool = True,
        hidden: bool = False,
        pieces: bool = True,
        time_axis: int = 1,
    ) -> None:
        self.module, self.custom, self.carries = module, custom, carries
        self.functional, self.hidden, self.pieces = functional, hidden, pieces
        self.time_axis = time_axis

    @property
    def takes_mask(self) -> bool:
        """Whether padding can be told apart."""
        return False

    @property
    def steps_take_mask(self) -> bool:
        """Whether it can be told apart when carried on, too."""
        return False

    @abstractmethod
    def whole(self, x: Tensor, *, keep: Tensor | None = None) -> Tensor:
        """The output on a whole sequence; `keep` [B,T] is False for padding."""

    def start(self, batch: int) -> Any:
        """What is carried before the first token."""
        return None

    @abstractmethod
    def go_on(self, x: Tensor, at: int, state: Any, *, keep: Tensor | None = None) -> tuple[Tensor, Any]:
        """The outputs of the tokens of x from `at` on, and what is carried after; x and `keep` begin at the first."""

    def tensors(self, state: Any) -> Iterator[Tensor]:
        """What is carried, counters left out; nothing where it is hidden."""
        return (tensor for tensor in tensors_in(state) if tensor.dim())

    def claimed_bytes(self, state: Any) -> int | None:
        """What the state itself says that it takes; None where it says nothing."""
        return None

    def num_bytes(self, state: Any) -> int:
        """Bytes of what is carried."""
        return sum({id(t): t.numel() * t.element_size() for t in self.tensors(state)}.values())

    def copy(self, state: Any) -> Any:
        """A state that can be used up."""
        return copy.deepcopy(state)

    def new(self, x: Tensor, at: int) -> Tensor:
        """The tokens from `at` on."""
        return x.narrow(self.time_axis, at, x.shape[self.time_axis] - at)


class OurLayer(Carrier):
    """The contract of `seqcost.layers.Layer`: `extend(x, state)`, `step(x, state)` where there is one."""

    def __init__(self, module: nn.Module) -> None:
        decodes = getattr(getattr(module, "config", None), "decodes", True)
        super().__init__(module, "extend(x, state)" if decodes else "no state", carries=decodes)

    @property
    def takes_mask(self) -> bool:
        if not getattr(self.module, "takes_keep", False):
            return False
        taken = inspect.signature(self.module.forward).parameters.values()  # whoever overrides it may not take it
        return any(p.name == "keep" or p.kind is p.VAR_KEYWORD for p in taken)

    def whole(self, x: Tensor, *, keep: Tensor | None = None) -> Tensor:
        return first_output(self.module(x) if keep is None or not self.takes_mask else self.module(x, keep=keep))

    def start(self, batch: int) -> Any:
        return self.module.init_state(batch)  # type: ignore[operator]

    def go_on(self, x: Tensor, at: int, state: Any, *, keep: Tensor | None = None) -> tuple[Tensor, Any]:
        x = self.new(x, at)
        if x.shape[1] == 1 and callable(getattr(self.module, "step", None)):
            y, state = self.module.step(x[:, 0], state)  # type: ignore[operator]
            return y.unsqueeze(1), state
        return self.module.extend(x, state)  # type: ignore[operator,no-any-return]

    def claimed_bytes(self, state: Any) -> int | None:
        return getattr(state, "nbytes", None)

    def num_bytes(self, state: Any) -> int:
        return distinct_bytes(state)


class Stateless(Carrier):
    """A module that carries nothing."""

    def __init__(self, module: nn.Module, why: str = "", *, time_axis: int = 1) -> None:
        super().__init__(module, "no state" + why, carries=False, time_axis=time_axis)

    def whole(self, x: Tensor, *, keep: Tensor | None = None) -> Tensor:
        return first_output(self.module(x))

    def go_on(self, x: Tensor, at: int, state: Any, *, keep: Tensor | None = None) -> tuple[Tensor, Any]:
        raise AssertionError("a module without a state is not carried on")


def first_output(value: Any) -> Tensor:
    """Logits, or the first floating-point tensor of whatever a module returned."""
    logits = getattr(value, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    found = next((t for t in tensors_in(value) if t.is_floating_point() and t.dim() >= 2), None)
    if found is None:
        raise BadTarget("the module returned no floating-point tensor; return one of [batch, tokens, features].")
    return found
