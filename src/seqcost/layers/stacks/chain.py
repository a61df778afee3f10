"""Layers in series, repeated, and around a residual connection; the twins of formulas/stacks/chain."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from seqcost.errors import BadSize
from seqcost.formulas.stacks import chain
from seqcost.layers.core.layer import Layer
from seqcost.layers.core.state import State, States
from seqcost.layers.parts.head import Head, first_scale
from seqcost.layers.parts.norm import Norm
from seqcost.layers.parts.positions import SinusoidalPositions


class Chain(Layer):
    """Named layers in series. Its state is one state per layer.

    Source, `keep` (mask of the own tokens) and `keep_source` (mask of the source's) go to the layers that take them.
    """

    Config = chain.Chain

    def __init__(self, config: Any, layers: Sequence[tuple[str, Layer]]) -> None:
        super().__init__(config)
        for name, layer in layers:
            self.add_module(name, layer)
        self.make_constants()
        self._begin_quietly()
        self.takes_source = any(layer.takes_source for _, layer in layers)
        self.takes_keep = any(layer.takes_keep for _, layer in layers)

    def _begin_quietly(self) -> None:
        """Small logits of a tied head: by the last norm, or by the table where √D x stands between it and the layers.

        Recurrent stacks have no norm, but small features.
        """
        norms = [module for module in self.modules() if isinstance(module, Norm)]
        for layer in self.links:
            if isinstance(layer, Head) and layer.config.tied and norms:
                sinusoidal = any(isinstance(link, SinusoidalPositions) for link in self.links)
                scaled = self.table if sinusoidal else norms[-1].get_parameter("norm.weight")
                scaled.data.mul_(first_scale(layer.config.D))

    @property
    def links(self) -> list[Layer]:
        """The layers in their order."""
        return [child for child in self.children() if isinstance(child, Layer)]

    def make_constants(self) -> None:
        """A tied head shares the embedding's table: a load, or memory for what was built on meta, parts them."""
        super().make_constants()
        for layer in self.links:
            if isinstance(layer, Head) and layer.config.tied:
                layer.tie(self.table)

    @property
    def table(self) -> nn.Parameter:
        """The embedding's [U,D]."""
        weight = self.get_submodule("embedding").weight
        assert isinstance(weight, nn.Parameter)
        return weight

    def forward(self, x: Tensor, source: Tensor | None = None, **masks: Tensor | None) -> Tensor:
        for layer in self.links:
            x = layer(x, **passed_on(layer, source=source, **masks))
        return x

    def init_state(self, batch: int, source: Tensor | None = None, **masks: Tensor | None) -> States:
        if not self.config.decodes:
            raise BadSize(
                f"{type(self.config).__name__} sees the future (causal=False) and has no state; "
                "call it on the whole sequence."
            )
        begun = (layer.init_state(batch, **passed_on(layer, source=source, **masks)) for layer in self.links)
        return States(tuple(begun))

    def extend(self, x: Tensor, state: States) -> tuple[Tensor, States]:
        after: list[State] = []
        for layer, before in zip(self.links, state.parts, strict=True):
            x, new = layer.extend(x, before)
            after.append(new)
        return x, States(tuple(after))

    def step(self, x: Tensor, state: States) -> tuple[Tensor, States]:
        after: list[State] = []
        for layer, before in zip(self.links, state.parts, strict=True):
            x, new = layer.step(x, before)
            after.append(new)
        return x, States(tuple(after))

    def reference(self, x: Tensor, source: Tensor | None = None) -> Tensor:
        for layer in self.links:
            x = layer.reference(x, **passed_on(layer, source=source))
        return x

    def example_inputs(self, B: int, T: int, S: int | None = None) -> tuple[Tensor, ...]:
        inputs = self.links[0].example_inputs(B, T)[:1]
        if self.takes_source:
            reader = next(layer for layer in self.links if layer.takes_source)
            inputs += reader.example_inputs(B, T, S)[1:]
        return inputs


class Residual(Layer):
    """x + inner(x)."""

    Config = chain.Residual

    def __init__(self, config: chain.Residual, inner: Layer) -> None:
        super().__init__(config)
        self.inner = inner
        self.takes_source, self.takes_keep = inner.takes_source, inner.takes_keep

    def forward(self, x: Tensor, source: Tensor | None = None, **masks: Tensor | None) -> Tensor:
        return x + self.inner(x, **passed_on(self.inner, source=source, **masks))

    def init_state(self, batch: int, source: Tensor | None = None, **masks: Tensor | None) -> Any:
        return self.inner.init_state(batch, **passed_on(self.inner, source=source, **masks))

    def extend(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        y, state = self.inner.extend(x, state)
        return x + y, state

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        y, state = self.inner.step(x, state)
        return x + y, state

    def reference(self, x: Tensor, source: Tensor | None = None) -> Tensor:
        return x + self.inner.reference(x, **passed_on(self.inner, source=source))

    def example_inputs(self, B: int, T: int, S: int | None = None) -> tuple[Tensor, ...]:
        return self.inner.example_inputs(B, T, S)


def passed_on(
    layer: Layer,
    *,
    source: Tensor | None = None,
    keep: Tensor | None = None,
    keep_source: Tensor | None = None,
) -> dict[str, Tensor]:
    """The keyword arguments among these that a layer takes; `keep_source` goes where the source goes."""
    taken = {"source": layer.takes_source, "keep_source": layer.takes_source, "keep": layer.takes_keep}
    given = {"source": source, "keep_source": keep_source, "keep": keep}
    return {name: tensor for name, tensor in given.items() if taken[name] and tensor is not None}
