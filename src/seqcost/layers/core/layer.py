"""The contract of every layer: a whole sequence, any further tokens, or one token; the state is an argument.

    y_BTD        = m(x_BTD)                     the whole sequence, in parallel
    y_BTD, state = m.extend(x_BTD, state)       any number of further tokens, 0 and 1 too
    y_BD,  state = m.step(x_BD, state)          one token
    state        = m.init_state(batch)          before the first token
    y_BTD        = m.reference(x_BTD)           the definition, written as a loop; slow, for reading and for tests

A layer holds its config (the sizes that the formula reads) and its weights, nothing else.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from seqcost.errors import BadSize
from seqcost.formulas.core.component import Component, made_of, needed
from seqcost.layers.core.state import State


class Layer(nn.Module, ABC):
    """A component that computes. Build one from its config, or from sizes: `Lstm(D=64, N=128)`."""

    Config: ClassVar[type[Component]]

    takes_source: bool = False  # a second sequence beside the first (cross-attention)
    takes_keep: bool = False  # a mask [B,T] of the tokens that count (padding is False)

    def __init__(self, config: Component | None = None, /, **sizes: Any) -> None:
        super().__init__()
        self.config: Any = made_of(self.Config, sizes) if config is None else self._own(config, sizes)
        self.register_load_state_dict_post_hook(_loaded)  # weights may have come with another device: assign=True

    def _own(self, config: Any, sizes: Any) -> Component:
        name = type(self).__name__
        if not isinstance(config, Component):
            letters = ", ".join(f"{letter}=…" for letter in needed(self.Config))
            raise BadSize(f"{name}: {config!r} was given; a config, or sizes by name, are allowed: {name}({letters}).")
        if sizes:
            raise BadSize(f"{name}: a config and sizes ({', '.join(sizes)}) were given; give the one or the others.")
        return config

    @abstractmethod
    def forward(self, x: Tensor, *others: Any, **options: Any) -> Tensor:
        """The whole sequence: [B,T,width_in] → [B,T,width_out]; token ids [B,T] where a model starts with them."""

    @abstractmethod
    def init_state(self, batch: int, *others: Any, **options: Any) -> State:
        """What is carried before the first token, on the device and in the dtype of the weights."""

    @abstractmethod
    def extend(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """T further tokens, T ≥ 0."""

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One token: [B,width_in] (or ids [B]) → [B,width_out]."""
        y, state = self.extend(x.unsqueeze(1), state)
        return y.squeeze(1), state

    @abstractmethod
    def reference(self, x: Tensor, *others: Any, **options: Any) -> Tensor:
        """The definition as a loop."""

    def constants(self) -> dict[str, Tensor | None]:
        """Buffers that follow from the config, on the device of the weights; they are no part of the state dict."""
        return {}

    def make_constants(self) -> None:
        """Anew after each move, cast or load, which a table would not outlive on meta or in a narrower format."""
        for name, value in self.constants().items():
            self.register_buffer(name, value, persistent=False)

    def settle_buffers(self, before: Mapping[str, Tensor | None]) -> None:
        """Mend what a move or a cast has done to the layer's buffers, which were these before it."""
        self.make_constants()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        before = dict(self._buffers)
        super()._apply(fn, recurse)
        self.settle_buffers(before)
        return self

    def example_inputs(self, B: int, T: int, S: int | None = None) -> tuple[Tensor, ...]:
        """Inputs on the device and in the dtype of the weights; S is the length of a source (default T)."""
        like = next(self.parameters())
        return (torch.randn(B, T, self.config.width_in, dtype=like.dtype, device=like.device, requires_grad=True),)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.config.sizes().items())


def _loaded(layer: nn.Module, _: object) -> None:
    assert isinstance(layer, Layer)
    layer.make_constants()


class Pointwise(Layer):
    """A layer that treats every token alike: nothing is carried, all ways in are one."""

    def init_state(self, batch: int, *others: Any, **options: Any) -> State:
        return State()

    def extend(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return self(x), state

    def reference(self, x: Tensor, *others: Any, **options: Any) -> Tensor:
        return torch.stack([self(x_BD.unsqueeze(1)).squeeze(1) for x_BD in x.unbind(1)], dim=1)


class WholeLayer(Layer):
    """A layer that reads a whole sequence at once: it has no state."""

    def init_state(self, batch: int, *others: Any, **options: Any) -> State:
        raise BadSize(self._whole)

    def extend(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        raise BadSize(self._whole)

    @property
    def _whole(self) -> str:
        name = type(self).__name__
        return f"{name} sees the future (causal=False) and has no state; call it on the whole sequence."


def check_features(layer: Layer, x: Tensor, what: str = "input") -> None:
    """Refuse an input (or a source) whose last axis is not the layer's width."""
    if x.dim() != 3 or x.shape[-1] != layer.config.width_in:
        raise BadSize(
            f"{type(layer).__name__}: {what} of shape {tuple(x.shape)} was given; "
            f"[batch, tokens, {layer.config.width_in}] is allowed."
        )


def places(keep: Tensor) -> Tensor:
    """The position [B,T] of each token that counts; padding takes none."""
    return (keep.cumsum(1) - 1).clamp_min(0)


def check_keep(layer: Layer, x: Tensor, keep: Tensor) -> None:
    """Refuse a mask that is not of bool, or not of the input's batch and tokens."""
    if keep.dtype != torch.bool or keep.shape != x.shape[:2]:
        raise BadSize(
            f"{type(layer).__name__}: keep of shape {tuple(keep.shape)} and {keep.dtype} was given; [batch, tokens] = "
            f"{tuple(x.shape[:2])} of torch.bool is allowed, False for padding (mask.bool() of ones and zeros)."
        )
