"""What is added to a token to tell its position or segment. The state counts the tokens that have passed."""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from seqcost.errors import BadSize
from seqcost.formulas.parts import positions
from seqcost.layers.core.layer import Layer, Pointwise, check_keep, places
from seqcost.layers.core.state import Position
from seqcost.layers.parts.rope import angles, rope_frequency


class _Positions(Layer):
    """One table row per position, added to its token. With `keep` [B,T], False for padding, padding takes none."""

    takes_keep = True

    @abstractmethod
    def table(self, start: int, tokens: int, like: Tensor) -> Tensor:
        """Rows start … start + tokens − 1, [tokens, D]."""

    def scaled(self, x_BTD: Tensor) -> Tensor:
        """The tokens as they are before the table is added."""
        return x_BTD

    def forward(self, x_BTD: Tensor, *, keep: Tensor | None = None) -> Tensor:
        rows = self.table(0, x_BTD.shape[1], x_BTD)
        if keep is not None:
            check_keep(self, x_BTD, keep)
            rows = rows[places(keep)]
        return self.scaled(x_BTD) + rows

    def init_state(self, batch: int) -> Position:
        return Position()

    def extend(self, x_BTD: Tensor, state: Position) -> tuple[Tensor, Position]:
        tokens = x_BTD.shape[1]
        return self.scaled(x_BTD) + self.table(state.tokens, tokens, x_BTD), Position(state.tokens + tokens)

    def reference(self, x_BTD: Tensor) -> Tensor:
        rows = [self.scaled(x_BD) + self.table(t, 1, x_BTD) for t, x_BD in enumerate(x_BTD.unbind(1))]
        return torch.stack(rows, dim=1)


class LearnedPositions(_Positions):
    """See `seqcost.formulas.parts.positions`."""

    Config = positions.LearnedPositions

    def __init__(self, config: positions.LearnedPositions | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        self.weight = nn.Parameter(torch.empty(self.config.M, self.config.D))
        nn.init.normal_(self.weight, std=0.01)

    def table(self, start: int, tokens: int, like: Tensor) -> Tensor:
        if start + tokens > self.config.M:
            raise BadSize(
                f"{start + tokens} tokens were given to a learned table of {self.config.M} positions; "
                f"give at most M = {self.config.M} tokens or set a larger M."
            )
        return self.weight[start : start + tokens]


class SinusoidalPositions(_Positions):
    """See `seqcost.formulas.parts.positions`."""

    Config = positions.SinusoidalPositions

    def __init__(self, config: positions.SinusoidalPositions | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)

    def scaled(self, x_BTD: Tensor) -> Tensor:
        return x_BTD * self.config.D**0.5

    def table(self, start: int, tokens: int, like: Tensor) -> Tensor:
        # Frequencies are made on the way: no weight would tell on which device to hold them.
        angle = angles(start, tokens, rope_frequency(self.config.D, 10000.0, like.device))
        return torch.cat([angle.sin(), angle.cos()], dim=-1).to(like.device, like.dtype)

    def example_inputs(self, B: int, T: int, S: int | None = None) -> tuple[Tensor, ...]:
        return (torch.randn(B, T, self.config.D, requires_grad=True),)


class TokenType(Pointwise):
    """Adds the embedding of the first segment; see `seqcost.formulas.parts.positions`."""

    Config = positions.TokenType

    def __init__(self, config: positions.TokenType | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        self.weight = nn.Parameter(torch.empty(self.config.A, self.config.D))
        nn.init.normal_(self.weight, std=0.01)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return x_BTD + self.weight[0]
