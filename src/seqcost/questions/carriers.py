"""How a module of anyone's making is called: on a whole sequence, and piece by piece with what it carries.

Four customs are known: the contract of our own layers (`extend`, `init_state`), Hugging Face's (a cache among the
keyword arguments, under one of several names), that of torch.nn's recurrences (`m(x, state) → (y, state)`), and none.
"""

import inspect
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from seqcost.errors import BadTarget
from seqcost.trace.trees import distinct_bytes, tensors_in

# Names under which models take and return what they carry; Hugging Face has used all of these.
CACHES = ("past_key_values", "cache_params", "state", "past_buckets_states", "mems")
_STATES = ("state", "states", "hx", "hidden", "hidden_state", "cache", "carry", "prev_hidden", "memory_state")


class Carrier(ABC):
    """A module and its custom."""

    custom: ClassVar[str]
    carries: ClassVar[bool] = True
    functional: ClassVar[bool] = True  # what is carried is a value: given back anew, not changed in place

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.time_axis = 0 if getattr(module, "batch_first", True) is False else 1

    @property
    def takes_mask(self) -> bool:
        """Whether padding can be told apart."""
        return False

    @abstractmethod
    def whole(self, x: Tensor, *, keep: Tensor | None = None) -> Tensor:
        """The output on a whole sequence; `keep` [B,T] is False for padding."""

    def start(self, batch: int) -> Any:
        """What is carried before the first token."""
        return None

    @abstractmethod
    def go_on(self, x: Tensor, state: Any, *, at: int, keep: Tensor | None = None) -> tuple[Tensor, Any]:
        """Further tokens, the first of which has position `at`; `keep` [B, at + T] covers the earlier ones too."""

    def nbytes(self, state: Any) -> int | None:
        """Bytes of what is carried; None where it is hidden."""
        return distinct_bytes(state) if any(True for _ in tensors_in(state)) else None


class OurLayer(Carrier):
    """The contract of `seqcost.layers.Layer`."""

    custom = "extend(x, state)"

    @property
    def takes_mask(self) -> bool:
        return bool(getattr(self.module, "takes_keep", False))

    def whole(self, x: Tensor, *, keep: Tensor | None = None) -> Tensor:
        return first_output(self.module(x) if keep is None or not self.takes_mask else self.module(x, keep=keep))

    def start(self, batch: int) -> Any:
        return self.module.init_state(batch)  # type: ignore[operator]

    def go_on(self, x: Tensor, state: Any, *, at: int, keep: Tensor | None = None) -> tuple[Tensor, Any]:
        if x.shape[1] == 1 and callable(getattr(self.module, "step", None)):
            y, state = self.module.step(x[:, 0], state)  # type: ignore[operator]
            return y.unsqueeze(1), state
        return self.module.extend(x, state)  # type: ignore[operator,no-any-return]

    def nbytes(self, state: Any) -> int | None:
        return int(state.nbytes)


class HuggingFace(Carrier):
    """A cache among the keyword arguments, filled in place."""

    custom = "a cache argument"
    functional = False

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        self._names = set(inspect.signature(module.forward).parameters)
        self._cache = next((name for name in CACHES if name in self._names), None)
        # RecurrentGemma keeps its state inside the module: it takes no cache, only the wish to have one.
        self.carries = "use_cache" in self._names  # type: ignore[misc]
        self.custom = f"{self._cache}=" if self._cache else "a state inside the module"  # type: ignore[misc]

    @property
    def takes_mask(self) -> bool:
        return "attention_mask" in self._names

    def whole(self, x: Tensor, *, keep: Tensor | None = None) -> Tensor:
        given = {"use_cache": False} if "use_cache" in self._names else {}
        return first_output(self.module(**self._inputs(x, 0, keep), **given))

    def go_on(self, x: Tensor, state: Any, *, at: int, keep: Tensor | None = None) -> tuple[Tensor, Any]:
        given = {"use_cache": True}
        if self._cache and state is not None:
            given[self._cache] = state
        out = self.module(**self._inputs(x, at, keep), **given)
        return first_output(out), getattr(out, self._cache, None) if self._cache else None

    def _inputs(self, x: Tensor, at: int, keep: Tensor | None) -> dict[str, Any]:
        given: dict[str, Any] = {"inputs_embeds" if x.is_floating_point() else "input_ids": x}
        if keep is not None and self.takes_mask:
            given["attention_mask"] = keep.long()
            if "position_ids" in self._names:  # padding has no position of its own
                given["position_ids"] = (keep.long().cumsum(1) - 1).clamp_min(0)[:, at:]
        return given


class Recurrence(Carrier):
    """`m(x, state) → (y, state)`, the state None at the start: torch.nn.LSTM and its kin."""

    custom = "m(x, state)"

    def __init__(self, module: nn.Module, name: str) -> None:
        super().__init__(module)
        self._name = name
        wishes = inspect.signature(module.forward).parameters
        self._wish = {name: True for name in wishes if name.startswith("return_") and "hidden" in name}

    def whole(self, x: Tensor, *, keep: Tensor | None = None) -> Tensor:
        return first_output(self.module(x))

    def go_on(self, x: Tensor, state: Any, *, at: int, keep: Tensor | None = None) -> tuple[Tensor, Any]:
        out = self.module(x, **{self._name: state}, **self._wish)
        if not isinstance(out, tuple) or len(out) < 2:
            raise BadTarget(
                f"{type(self.module).__name__} takes {self._name} but gave no state back; return (y, state)."
            )
        return out[0], out[-1]


class Stateless(Carrier):
    """A module that carries nothing."""

    custom = "no state"
    carries = False

    def whole(self, x: Tensor, *, keep: Tensor | None = None) -> Tensor:
        return first_output(self.module(x))

    def go_on(self, x: Tensor, state: Any, *, at: int, keep: Tensor | None = None) -> tuple[Tensor, Any]:
        raise AssertionError("a module without a state is not carried on")


def carrier_of(module: nn.Module) -> Carrier:
    """The custom that a module follows."""
    if callable(getattr(module, "extend", None)) and callable(getattr(module, "init_state", None)):
        decodes = getattr(getattr(module, "config", None), "decodes", True)
        return OurLayer(module) if decodes else _without_state(OurLayer(module))
    names = inspect.signature(module.forward).parameters
    if "input_ids" in names or ("use_cache" in names and any(name in names for name in CACHES)):
        return HuggingFace(module)
    state = next((name for name in _STATES if name in names), None)
    return Recurrence(module, state) if state else Stateless(module)


def _without_state(carrier: OurLayer) -> OurLayer:
    carrier.carries, carrier.custom = False, Stateless.custom  # type: ignore[misc]
    return carrier


def first_output(value: Any) -> Tensor:
    """Logits, or the first floating-point tensor of whatever a module returned."""
    logits = getattr(value, "logits", None)
    if isinstance(logits, Tensor):
        return logits
    found = next((t for t in tensors_in(value) if t.is_floating_point() and t.dim() >= 2), None)
    if found is None:
        raise BadTarget("the module returned no floating-point tensor; return one of [batch, tokens, features].")
    return found


def random_like(x: Tensor, seed: int) -> Tensor:
    """Another input of the same kind: other token ids below the largest, or other features."""
    generator = torch.Generator().manual_seed(seed)
    if x.is_floating_point():
        return torch.randn(x.shape, generator=generator, dtype=x.dtype)
    return torch.randint(0, int(x.max()) + 1, x.shape, generator=generator, dtype=x.dtype)
