"""Which module pays: forward, backward, recomputed, saved."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from seqcost.algebra import Kind
from seqcost.programs import Target
from seqcost.trace import trace


class Block(nn.Module):
    def __init__(self, recompute=False, *, reentrant=False):
        super().__init__()
        self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 16)
        self.recompute, self.reentrant = recompute, reentrant

    def forward(self, x):
        if self.recompute:
            return x + checkpoint(self.inner, x, use_reentrant=self.reentrant)
        return x + self.inner(x)

    def inner(self, x):
        return self.down(torch.relu(self.up(x)))


def train(module, B=2, T=10):
    return trace(Target.of_module(module), phase="train", B=B, T=T)


def test_backward_lines_belong_to_the_module_of_the_forward_ones():
    result = train(nn.Sequential(Block(), Block(), nn.LayerNorm(16)))
    amounts = {(line.name, line.kind): line.amount for line in result.flops}
    product = 2 * 2 * 10 * 16 * 32
    for block in (0, 1):
        for layer in ("up", "down"):
            assert amounts[f"forward.{block}.{layer}.addmm", Kind.CONTRACTION] == product
            assert amounts[f"backward.{block}.{layer}.mm", Kind.CONTRACTION] == 2 * product
        assert amounts[f"backward.{block}.threshold_backward", Kind.POINTWISE] == 2 * 10 * 32
    assert ("backward.2.native_layer_norm_backward", Kind.POINTWISE) in amounts
    assert sum(amounts.values()) == result.flops.total(*Kind)
    assert {name.split(".")[0] for name, _ in amounts} == {"forward", "backward"}
    assert result.flops.total(Kind.CONTRACTION) == 3 * 4 * product


def test_recomputation_is_booked_in_the_backward_pass():
    result = train(nn.Sequential(Block(recompute=True)))
    amounts = {line.name: line.amount for line in result.flops.only(Kind.CONTRACTION)}
    product = 2 * 2 * 10 * 16 * 32
    assert amounts["forward.0.up.addmm"] == product
    assert amounts["backward.0.up.addmm"] == product  # the activation is computed again


@pytest.mark.parametrize("reentrant", [True, False])
def test_what_recomputation_keeps_meanwhile_is_not_what_the_forward_pass_kept(reentrant):
    result = train(nn.Sequential(Block(recompute=True, reentrant=reentrant)), B=3, T=7)
    assert {line.name: line.amount for line in result.saved if line.amount} == {"0": 3 * 7 * 16 * 4}  # the input
    assert not result.uncounted  # reading where the random numbers stand is no operator of the model


def test_saved_bytes_are_the_distinct_storages_that_autograd_keeps():
    result = train(nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16)), B=3, T=7)
    rows = 3 * 7 * 4
    amounts = {line.name: line.amount for line in result.saved}
    assert amounts == {"0": rows * 16, "1": rows * 32}  # the input, and relu's result, which is the next one's input


class Discards(nn.Module):
    """Makes a result that no one takes: what its gradient would need dies with it, and its memory is used anew."""

    def forward(self, x):
        y = x.exp()
        z = y.sin() * y
        del y, z
        for _ in range(20):
            x = x.sigmoid()
        return x


def test_what_a_discarded_result_would_have_needed_hides_nothing_kept_later():
    x = torch.randn(2, 5, 16, requires_grad=True)
    result = trace(Target.of_module(Discards(), x), phase="train", B=2, T=5, lengths=())
    assert result.saved.total() == 20 * x.nbytes  # nothing for what was discarded


def test_the_forward_phase_tells_what_gradients_would_keep():
    forward, train = (trace(Target.of_module(Block()), phase=p, B=2, T=10).saved for p in ("forward", "train"))
    assert forward.total() == train.total() == 4 * 20 * (16 + 32)


def test_traffic_of_a_linear_layer():
    result = trace(Target.of_module(nn.Linear(16, 32)), phase="forward", B=2, T=10)
    assert result.traffic.total() == 4 * (20 * 16 + 16 * 32 + 32 + 20 * 32)


class Expanded(nn.Module):
    def forward(self, x):
        return x[..., :1].expand(-1, -1, 64) + 1


def test_an_expanded_dimension_is_read_once():
    result = trace(Target.of_module(Expanded(), torch.randn(2, 10, 8)), phase="forward", B=2, T=10)
    assert result.traffic.total() == 4 * (2 * 10 + 2 * 10 * 64)


def test_a_look_up_reads_the_rows_it_takes():
    result = trace(Target.of_module(nn.Embedding(5000, 16)), phase="forward", B=2, T=10)
    assert result.traffic.total() == 20 * 8 + 2 * 20 * 16 * 4
    assert result.flops.total() == 0


class InPlace(nn.Module):
    def forward(self, x):
        y = torch.empty(x.shape)
        y.copy_(x)
        return y.add_(x).transpose(0, 1)


def test_in_place_operators_read_and_write_what_they_change():
    result = trace(Target.of_module(InPlace(), torch.randn(2, 10, 8)), phase="forward", B=2, T=10)
    block = 2 * 10 * 8 * 4
    amounts = {line.name: line.amount for line in result.traffic}
    assert amounts == {"copy": 2 * block, "add": 3 * block}
    assert result.depth == 2


@pytest.mark.parametrize("phase", ["forward", "train"])
def test_lines_of_every_phase_total_the_same_as_the_polynomials(phase):
    result = trace(Target.of_module(nn.Sequential(Block(), Block())), phase=phase, B=2, T=33)
    assert result.polynomials["bytes_moved"](33) == result.traffic.total()


class WritesParts(nn.Module):
    """One column per token, each from its own token; `again` reads the column before."""

    def __init__(self, again=False):
        super().__init__()
        self.layer, self.again = nn.Linear(8, 8), again

    def forward(self, x):
        out = torch.empty_like(x)
        for t in range(x.shape[1]):
            out[:, t] = self.layer(out[:, t - 1] if self.again and t else x[:, t])
        return out


@pytest.mark.parametrize(("again", "depth"), [(False, 2), (True, 2 * 7)])
def test_writing_over_a_part_waits_for_no_other_part(again, depth):
    x = torch.randn(2, 7, 8)
    found = trace(Target.of_module(WritesParts(again), x), phase="forward", lengths=())
    assert found.depth == depth  # a product and a copy; one after the other where each reads the one before
