"""The frame of the recurrent layers: time first, over torch.nn's kernels, the state as an argument."""

import dataclasses
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from seqcost.layers.core.causal import CausalLayer
from seqcost.layers.core.full_precision import full_precision
from seqcost.layers.core.layer import check_features
from seqcost.layers.core.open_length import Tensors, Turn, is_open, walk
from seqcost.layers.core.state import State, empty
from seqcost.layers.core.transforms import mapped


@dataclasses.dataclass(frozen=True)
class Hidden(State):
    """The hidden state [B,N]."""

    h_BN: Tensor


class RecurrentLayer(CausalLayer):
    """A torch.nn cell over a sequence. The kernel is called in [T,B,D], which it wants anyway, after one copy.

    Under autocast it works in the dtype of its weights, and so does its state. The kernels have no rule for
    torch.func.vmap: under it the equations run token by token.
    """

    Kernel: ClassVar[Callable[[int, int], nn.RNNBase]]

    def __init__(self, config: Any = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        self.cell: Any = type(self).Kernel(self.config.D, self.config.N)

    def whole(self, x_BTD: Tensor) -> Tensor:
        if x_BTD.shape[1] == 0:  # torch.nn refuses an empty sequence
            return self._none(x_BTD)
        if mapped() or is_open(x_BTD.shape[1]):
            return self._by_token(x_BTD, self.init_state(x_BTD.shape[0]))[0]
        y_TBN, _ = self._run(x_BTD)
        return _other_first(y_TBN)

    def init_state(self, batch: int) -> Any:
        return Hidden(empty(batch, self.config.N, like=self.cell.weight_hh_l0))

    def extend(self, x_BTD: Tensor, state: Any) -> tuple[Tensor, Any]:
        check_features(self, x_BTD)
        if x_BTD.shape[1] == 0:
            return self._none(x_BTD), state
        if mapped() or is_open(x_BTD.shape[1]):
            return self._by_token(x_BTD, state)
        y_TBN, after = self._run(x_BTD, self.to_kernel(state))
        return _other_first(y_TBN), self.from_kernel(after)

    def _none(self, x_B0D: Tensor) -> Tensor:
        return x_B0D[..., :1].expand(-1, -1, self.config.N)

    @full_precision
    def _run(self, x_BTD: Tensor, *before: Any) -> Any:
        return self.cell(_other_first(x_BTD.to(self.cell.weight_hh_l0.dtype)), *before)

    @full_precision
    def _by_token(self, x_BTD: Tensor, state: Any) -> tuple[Tensor, Any]:
        carried = type(state)

        def token(before: Tensors, signals: Tensors) -> Turn:
            after = self.cell_step(signals[0], carried(*before))
            return tuple(after.tensors()), (after.h_BN,)

        x_BTD = x_BTD.to(self.cell.weight_hh_l0.dtype)
        last, (y_BTN,) = walk(token, tuple(state.tensors()), (x_BTD,), dim=1)
        return y_BTN, carried(*last)

    def to_kernel(self, state: Any) -> Any:
        """The state as torch.nn takes it, [1,B,N]."""
        return state.h_BN.unsqueeze(0)

    def from_kernel(self, after: Any) -> Any:
        """The state as torch.nn returns it."""
        return Hidden(after.squeeze(0))

    @abstractmethod
    def cell_step(self, x_BD: Tensor, state: Any) -> Any:
        """The paper's equations for one token."""

    def reference(self, x_BTD: Tensor) -> Tensor:
        """The equations, a token at a time."""
        y_BTN: Tensor = self._by_token(x_BTD, self.init_state(x_BTD.shape[0]))[0]
        return y_BTN

    def projections(self, x_BD: Tensor, state: Any, gates: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """W x + b and U h + b', split by gate."""
        cell = self.cell
        input_gates = x_BD @ cell.weight_ih_l0.T + cell.bias_ih_l0
        hidden_gates = state.h_BN @ cell.weight_hh_l0.T + cell.bias_hh_l0
        return input_gates.chunk(gates, -1), hidden_gates.chunk(gates, -1)


def _other_first(x: Tensor) -> Tensor:
    # Always a copy, a batch of one too: the cost is then a formula without exceptions.
    return x.transpose(0, 1).clone(memory_format=torch.contiguous_format)
