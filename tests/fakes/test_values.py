"""Values that fake tensors know, against the same program on real tensors."""

import pytest
import torch

from seqcost.fakes.faking import fake_mode
from seqcost.fakes.values import MOST_VALUES, known_uniform, values_known


def grids():
    grid = torch.tensor([[1, 4, 6], [2, 2, 2]])
    lengths = torch.repeat_interleave(grid[:, 1] * grid[:, 2], grid[:, 0])
    return lengths.cumsum(0).tolist()


def written():
    table = torch.empty(3, 4, dtype=torch.int64)
    table[:, :2] = 7
    table[:, 2:] = torch.arange(2)
    return torch.tensor([table[0].max() + 1, table[1].sum()]).tolist()


def masked():
    mask = torch.zeros(2, 5, dtype=torch.bool)
    mask[:, 1:3] = True
    return torch.randn(2, 5, 3)[mask].shape, torch.randn(2, 5).masked_select(mask).shape, mask.nonzero().tolist()


def black():
    images = known_uniform(0.5, (4, 3, 2000, 2000), torch.empty(()))
    return ((images == 0).sum((-1, -2, -3)) != 3 * 2000 * 2000).tolist()


@pytest.mark.parametrize("program", [grids, written, masked, black])
def test_they_are_those_of_a_real_run(program):
    with fake_mode(), values_known():
        found = program()
    assert found == program()


@pytest.mark.parametrize(
    "change", [lambda t, other: t.add_(other), lambda t, other: t[1:].copy_(other[1:])], ids=["whole", "part"]
)
def test_what_is_written_to_with_unknown_values_is_known_no_more(change):
    with fake_mode(), values_known():
        table = torch.arange(4)
        change(table, torch.randint(0, 9, (4,)))
        with pytest.raises(Exception, match="local_scalar_dense"):
            table.tolist()


def test_only_while_asked_for():
    with fake_mode():
        with values_known():
            assert torch.arange(3).tolist() == [0, 1, 2]
        with pytest.raises(Exception, match="local_scalar_dense"):
            torch.arange(3).tolist()


def test_what_is_computed_with_parameters_or_is_too_much_is_unknown():
    with fake_mode(), values_known():
        n = int(MOST_VALUES**0.5) + 1
        places = torch.arange(n)
        assert (places[:, None] >= places).constant is None
        assert (torch.arange(3) * torch.randn(3)).constant is None


def test_rows_that_are_too_many_are_not_made():
    with fake_mode(), values_known():
        table, places = torch.zeros(2, 2**12, dtype=torch.int64), torch.zeros(2**20, dtype=torch.int64)
        assert table[places].shape == (2**20, 2**12)  # 32 GiB
        assert table[places].constant is None


def test_views_stay_views():
    with fake_mode(), values_known():
        table = torch.zeros(4, dtype=torch.int64)
        part = table.view(2, 2)[1]
        part.fill_(5)
        assert table.tolist() == [0, 0, 5, 5]
        assert part.untyped_storage()._cdata == table.untyped_storage()._cdata
