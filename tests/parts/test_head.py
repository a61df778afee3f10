"""Output head, pooler, cross-entropy."""

import pytest
import torch
from oracles import relative_error

from seqcost.algebra import Kind
from seqcost.errors import BadSize
from seqcost.formulas import Workload
from seqcost.formulas.parts.head import CrossEntropy, Pooler
from seqcost.formulas.parts.head import Head as Formula
from seqcost.layers import Head, build

RUN = Workload(B=3, T=63)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_a_head_is_one_product_tied_or_not(tied):
    head = Formula(D=16, U=100, tied=tied)
    assert head.flops(RUN).total() == 2 * 3 * 63 * 16 * 100
    assert head.params().total() == (0 if tied else 1600)
    assert head.backward_flops(RUN).total(Kind.CONTRACTION) == 4 * 3 * 63 * 16 * 100


def test_a_tied_head_multiplies_by_the_table_it_was_given():
    torch.manual_seed(0)
    head, table = Head(D=16, U=100, tied=True), torch.nn.Parameter(torch.randn(100, 16))
    head.tie(table)
    x = torch.randn(2, 5, 16)
    assert relative_error(head(x), x @ table.T) < 1e-6
    with pytest.raises(AssertionError, match="only a tied head"):
        Head(D=16, U=100).tie(table)


def test_a_tied_head_must_be_tied():
    with pytest.raises(AssertionError, match="a tied head was not tied"):
        Head(D=16, U=100, tied=True)(torch.randn(2, 5, 16))


def test_a_pooler_reads_the_first_token_only():
    torch.manual_seed(0)
    pooler = build(Pooler(D=16))
    x = torch.randn(2, 5, 16)
    y = pooler(x)
    x[:, 1:] = 0
    assert torch.equal(pooler(x), y)
    assert y.shape == (2, 16)
    assert Pooler(D=16).flops(RUN) == Pooler(D=16).flops(Workload(B=3, T=1))
    with pytest.raises(BadSize, match="it cannot be extended: call the model on the whole"):
        pooler.extend(x, None)


def test_cross_entropy_keeps_the_log_probabilities():
    torch.manual_seed(0)
    logits = torch.randn(3 * 63, 100, requires_grad=True)
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage()._cdata] = (tensor.untyped_storage().nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        torch.nn.functional.cross_entropy(logits, torch.randint(0, 100, (3 * 63,)))
    assert CrossEntropy(U=100).saved_bytes(RUN).total() == sum(nbytes for nbytes, _ in kept.values())
