"""Encoder-decoder model: the source is encoded once, the target attends to it. Letters: see formulas."""

from typing import Any

import torch
from torch import Tensor

from seqcost.formulas.stacks import encoder_decoder
from seqcost.layers.core.layer import Layer
from seqcost.layers.core.state import States
from seqcost.layers.stacks.chain import Chain


class EncoderDecoder(Layer):
    """Source ids [B,S] and target ids [B,T] → logits [B,T,U]. The state carries the source's keys and values.

    `keep_source` [B,S] is False where the source is padded; a padded target needs no mask on its right.
    """

    Config = encoder_decoder.EncoderDecoder
    takes_source = True

    def __init__(self, config: encoder_decoder.EncoderDecoder, encoder: Chain, decoder: Chain) -> None:
        super().__init__(config)
        self.encoder, self.decoder = encoder, decoder
        self.make_constants()

    def make_constants(self) -> None:
        """Both sides read one table."""
        super().make_constants()
        self.encoder.get_submodule("embedding").weight = self.decoder.table

    def forward(self, target_BT: Tensor, source: Tensor, *, keep_source: Tensor | None = None) -> Tensor:
        encoded = self.encoder(source, keep=keep_source)
        return self.decoder(target_BT, source=encoded, keep_source=keep_source)

    def init_state(self, batch: int, source: Tensor, *, keep_source: Tensor | None = None) -> States:
        encoded = self.encoder(source, keep=keep_source)
        return self.decoder.init_state(batch, source=encoded, keep_source=keep_source)

    def extend(self, target_BT: Tensor, state: States) -> tuple[Tensor, States]:
        return self.decoder.extend(target_BT, state)

    def reference(self, target_BT: Tensor, source: Tensor) -> Tensor:
        return self.decoder.reference(target_BT, source=self.encoder.reference(source))

    def example_inputs(self, B: int, T: int, S: int | None = None) -> tuple[Tensor, ...]:
        def ids(length: int) -> Tensor:
            return torch.randint(0, self.config.U, (B, length), device=device)

        device: Any = next(self.parameters()).device
        return ids(T), ids(T if S is None else S)
