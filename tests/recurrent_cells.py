"""What the tests of RNN, LSTM and GRU share: products per token, the papers' table, PyTorch's own of equal weights."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from oracles import assert_agree, cell, copy_weights, relative_error

from seqcost.algebra import Kind, symbols
from seqcost.formulas import Workload

D, N, T = symbols("DNT").values()


@dataclass(frozen=True)
class Cell:
    """One architecture: its formula, its layer, PyTorch's, and how many products with x and with h a token takes."""

    formula: Any
    layer: Any
    theirs: Any
    gates: int
    params: int  # at D = 48, N = 64


class RecurrentTests:
    """Inherited by a class that names its `cell`."""

    cell: Cell

    def test_parameters_with_two_biases_a_gate_as_torch_has_them(self):
        assert self.cell.formula(D=48, N=64).params().total() == self.cell.params
        assert self.cell.params == sum(p.numel() for p in self.cell.theirs(48, 64).parameters())

    def test_a_step_is_two_matrix_vector_products_a_gate(self):
        step = self.cell.formula(D=64).step_flops(Workload(T=63)).only(Kind.CONTRACTION)
        one_product = 2 * 64 * 64
        assert {line.name: line.amount / one_product for line in step} == {
            "input": self.cell.gates,
            "hidden": self.cell.gates,
        }

    def test_vaswani_table_1(self):
        # Vaswani et al. 2017, table 1, recurrent: n·d² a layer, O(n) sequential operations, path n.
        layer, run = self.cell.formula(D=D), Workload(T=T)
        assert layer.flops(run).leading("T", Kind.CONTRACTION) == 4 * self.cell.gates * T * D**2
        assert layer.depth(run).leading("T") / T >= 1
        assert (layer.depth(run).leading("T") / T).is_number
        assert layer.path_length(run).total() == T

    def test_cost_is_linear_in_length_and_the_state_does_not_grow(self):
        layer = self.cell.formula(D=63, N=100)
        one, many = Workload(B=3, T=1), Workload(B=3, T=63)
        assert layer.flops(many).total(*Kind) == 63 * layer.flops(one).total(*Kind)
        assert layer.state_bytes(many) == layer.state_bytes(one)
        assert layer.step_flops(many) == layer.flops(one)

    @pytest.fixture
    def twins(self):
        torch.manual_seed(0)
        theirs = self.cell.theirs(16, 63, batch_first=True)
        ours = self.cell.layer(D=16, N=63)
        copy_weights(ours, theirs, cell())
        return ours, theirs

    def test_equals_torch_in_outputs_and_gradients(self, twins):
        ours, theirs = twins
        x = torch.randn(2, 100, 16)
        ours_x, theirs_x = x.clone().requires_grad_(), x.clone().requires_grad_()
        assert_agree(ours, theirs, cell(), (ours(ours_x), theirs(theirs_x)[0]), ((ours_x,), (theirs_x,)))

    def test_carries_the_state_that_torch_carries(self, twins):
        ours, theirs = twins
        first, second = torch.randn(2, 63, 16), torch.randn(2, 5, 16)
        _, state = ours.extend(first, ours.init_state(2))
        _, their_state = theirs(first)
        for mine, other in zip(
            state.tensors(), their_state if isinstance(their_state, tuple) else (their_state,), strict=True
        ):
            assert relative_error(mine, other[0]) < 1e-5
        y, _ = ours.extend(second, state)
        assert relative_error(y, theirs(second, their_state)[0]) < 1e-5
