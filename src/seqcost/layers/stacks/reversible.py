"""Reversible residual layers over any mixer; the twin of formulas/stacks/reversible.

The forward pass keeps its result only. The backward pass goes up from there: it runs each sublayer again on what it has
rebuilt, differentiates that, and takes the sublayer's result off to have the input of the layer before. Random numbers
that a sublayer drew (dropout) are drawn again from where the generator stood; autocast is set as it was.

Gradients of gradients: what is rebuilt is a function of the result and the weights, so the backward pass is one, too.
Where autograd looks on it makes a graph, and keeps the activations of all sublayers.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from seqcost.errors import BadSize
from seqcost.formulas.stacks import reversible
from seqcost.layers.core.layer import Layer, check_features
from seqcost.layers.core.open_length import is_exporting
from seqcost.layers.core.state import States
from seqcost.layers.core.transforms import transformed, uncompiled
from seqcost.layers.stacks.chain import passed_on


class ReversibleBlock(nn.Module):
    """The two sublayers of a layer."""

    def __init__(self, mixer: Layer, feed_forward: Layer) -> None:
        super().__init__()
        self.mixer, self.feed_forward = mixer, feed_forward

    @property
    def sublayers(self) -> tuple[Layer, Layer]:
        """In their order."""
        return self.mixer, self.feed_forward


class Reversible(Layer):
    """[B,T,D] → [B,T,2·D]: see formulas. `extend` and `step` pass each sublayer's state through.

    Activations are rebuilt behind `forward` only; through `extend` autograd keeps them all. In bfloat16 the rounding of
    the sums is not undone by the differences: what is rebuilt is right to a few roundings per layer. Under transforms
    of torch.func, and in a program of torch.export, autograd keeps everything.
    """

    Config = reversible.Reversible

    def __init__(self, config: reversible.Reversible, blocks: Sequence[tuple[Layer, Layer]]) -> None:
        super().__init__(config)
        for i, (mixer, feed_forward) in enumerate(blocks):
            self.add_module(str(i), ReversibleBlock(mixer, feed_forward))
        self.takes_keep = any(layer.takes_keep for layer in self.sublayers)

    @property
    def sublayers(self) -> list[Layer]:
        """Mixer and feed-forward network of each layer, in turn."""
        return [layer for block in self.children() if isinstance(block, ReversibleBlock) for layer in block.sublayers]

    def forward(self, x_BTD: Tensor, *, keep: Tensor | None = None) -> Tensor:
        check_features(self, x_BTD)
        run = _Run([_Sublayer(layer, passed_on(layer, keep=keep)) for layer in self.sublayers])
        weights = [weight for sublayer in run.sublayers for weight in sublayer.weights.values()]
        keeps = transformed() or is_exporting()
        if not keeps and torch.is_grad_enabled() and any(t.requires_grad for t in (x_BTD, *weights)):
            return _rebuilding(run, x_BTD, weights)
        return run.forward(x_BTD, remember=False)

    def init_state(self, batch: int, *others: Any, **options: Any) -> States:
        if not self.config.decodes:
            raise BadSize(
                "reversible layers over a mixer that sees the future (causal=False) have no state; "
                "call it on the whole sequence."
            )
        return States(tuple(layer.init_state(batch) for layer in self.sublayers))

    def extend(self, x_BTD: Tensor, state: States) -> tuple[Tensor, States]:
        check_features(self, x_BTD)
        return self._carried("extend", x_BTD, state)

    def step(self, x_BD: Tensor, state: States) -> tuple[Tensor, States]:
        return self._carried("step", x_BD, state)

    def _carried(self, way: str, x: Tensor, state: States) -> tuple[Tensor, States]:
        other, read, after = x, x, []
        for layer, before in zip(self.sublayers, state.parts, strict=True):
            y, new = getattr(layer, way)(read, before)
            other, read = read, other + y
            after.append(new)
        return torch.cat([other, read], dim=-1), States(tuple(after))

    def reference(self, x_BTD: Tensor) -> Tensor:
        """The equations, layer by layer."""
        x1 = x2 = x_BTD
        for mixer, feed_forward in zip(self.sublayers[::2], self.sublayers[1::2], strict=True):
            x1 = x1 + mixer.reference(x2)
            x2 = x2 + feed_forward.reference(x1)
        return torch.cat([x1, x2], dim=-1)


@dataclass
class _Sublayer:
    """A sublayer in one run: its arguments, its weights as they were, and where the random numbers began."""

    layer: Layer
    options: dict[str, Tensor]
    weights: dict[str, Tensor] = field(init=False)
    random: "_Random | None" = None

    def __post_init__(self) -> None:
        self.weights = dict(self.layer.named_parameters())

    def __call__(self, x: Tensor, *, remember: bool) -> Tensor:
        before = _Random.of(x.device) if remember else None
        y: Tensor = self.layer(x, **self.options)
        if before is not None and before != _Random.of(x.device):
            self.random = before
        return y

    def pulled_back(self, x: Tensor, gradient: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, list[Any]]:
        """The result again, and the gradients of the input and of the weights."""
        again = torch.is_grad_enabled()  # the gradients will be differentiated
        with torch.enable_grad(), self.random.again() if self.random else nullcontext():
            if again:  # weights of this call alone: x was made of the same ones, and that is not part of the derivative
                weights = [weight.view_as(weight) for weight in weights]
            x = x.view_as(x) if again and x.requires_grad else x.detach().requires_grad_()
            if all(a is b for a, b in zip(weights, self.layer.parameters(), strict=True)):
                y = self.layer(x, **self.options)
            else:  # `again`, or through torch.func.functional_call: the layer's own weights are others
                y = functional_call(self.layer, dict(zip(self.weights, weights, strict=True)), (x,), self.options)
        wanted = [x, *(weight for weight in weights if weight.requires_grad)]
        found = iter(torch.autograd.grad(y, wanted, gradient, allow_unused=True, create_graph=again))
        gradients = [next(found), *(next(found) if w.requires_grad else None for w in weights)]
        return y if again else y.detach(), gradients


@dataclass
class _Run:
    sublayers: list[_Sublayer]

    def forward(self, x: Tensor, *, remember: bool) -> Tensor:
        other, read = x, x
        for sublayer in self.sublayers:
            other, read = read, other + sublayer(read, remember=remember)
        return torch.cat([other, read], dim=-1)

    def backward(self, y: Tensor, gradient: Tensor, weights: list[Tensor]) -> tuple[Tensor, list[Tensor | None]]:
        """Gradients of the input and of all weights."""
        # Copies: halves of wider rows would cost the sublayers copies of their own.
        read, added = (half.clone(memory_format=torch.contiguous_format) for half in y.chunk(2, dim=-1))
        d_read, d_added = (half.clone(memory_format=torch.contiguous_format) for half in gradient.chunk(2, dim=-1))
        end = len(weights)
        gradients: list[Tensor | None] = []
        for i, sublayer in reversed(list(enumerate(self.sublayers))):
            begin = end - len(sublayer.weights)
            again, (d_input, *d_weights) = sublayer.pulled_back(read, d_added, weights[begin:end])
            d_read, d_added = d_added, d_read + d_input
            if i:
                read, added = added - again, read
            gradients, end = d_weights + gradients, begin
        return d_read + d_added, gradients


@uncompiled
def _rebuilding(run: _Run, x: Tensor, weights: list[Tensor]) -> Tensor:
    result: Tensor = _Rebuilding.apply(run, x, *weights)
    return result


class _Rebuilding(torch.autograd.Function):
    """The forward pass of a run without a graph, and a backward pass that makes it piece by piece."""

    @staticmethod
    def forward(ctx: Any, run: _Run, x: Tensor, *weights: Tensor) -> Tensor:
        ctx.run, ctx.autocast = run, _autocast_now(x.device.type)
        y = run.forward(x, remember=True)
        ctx.save_for_backward(y, *weights)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        y, *weights = ctx.saved_tensors
        with ctx.autocast():
            d_x, d_weights = ctx.run.backward(y, gradient, weights)
        return None, d_x, *d_weights


def _autocast_now(device: str) -> Callable[[], AbstractContextManager[Any]]:
    """A context that sets autocast as it is now."""
    if not torch.amp.is_autocast_available(device):
        return nullcontext
    return partial(torch.autocast, device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device))


@dataclass(frozen=True)
class _Random:
    """Where the random number generators stand: that of the CPU, and that of a CUDA device."""

    cpu: bytes
    cuda: bytes
    device: torch.device

    @classmethod
    def of(cls, device: torch.device) -> "_Random":
        cuda = _bytes(torch.cuda.get_rng_state(device)) if device.type == "cuda" else b""
        return cls(_bytes(torch.get_rng_state()), cuda, device)

    @contextmanager
    def again(self) -> Iterator[None]:
        """Draw from here; afterwards the generators stand where they stood before."""
        with torch.random.fork_rng([self.device] if self.cuda else []):
            torch.set_rng_state(_state(self.cpu))
            if self.cuda:
                torch.cuda.set_rng_state(_state(self.cuda), self.device)
            yield


def _bytes(state: Tensor) -> bytes:
    return state.numpy().tobytes()


def _state(stored: bytes) -> Tensor:
    return torch.frombuffer(bytearray(stored), dtype=torch.uint8)
