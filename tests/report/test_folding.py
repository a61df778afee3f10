import pytest

from seqcost.report.folding import numbers_apart, spans, tree

KEYS = ("flops",)


def flat(node, level=0):
    yield level, node.label, node.times, node.amounts
    for child in node.children:
        yield from flat(child, level + 1)


def rows(**amounts):
    return [{"name": name.replace("_", "."), "flops": amount} for name, amount in amounts.items()]


def test_equal_layers_are_one_and_what_lies_between_is_named_together():
    found = tree(
        [{"name": "", "flops": 10}, *rows(h=9, h_0=3, h_0_up=3, h_1=3, h_1_up=3, h_2=3, h_2_up=3, head=1)], KEYS
    )
    assert list(flat(found)) == [(0, "", 1, (10,)), (1, "h.0…2.up", 3, (9,)), (1, "head", 1, (1,))]


def test_a_layer_that_differs_stands_by_itself():
    found = tree([{"name": "", "flops": 12}, *rows(h=12, h_0=4, h_1=4, h_2=1, h_3=3)], KEYS)
    assert [row[1:3] for row in flat(found)][2:] == [("0…1", 2), ("2", 1), ("3", 1)]


@pytest.mark.parametrize("below", [{"h_0_a": 4, "h_1_b": 4}, {"h_0_a": 4}])
def test_equal_sums_of_unequal_parts_are_not_folded(below):
    found = tree([{"name": "", "flops": 8}, *rows(h=8, h_0=4, h_1=4, **below)], KEYS)
    assert "0…1" not in str(found)


def test_a_gap_is_not_bridged():
    found = tree([{"name": "", "flops": 8}, *rows(h=8, h_0=4, h_2=4)], KEYS)
    assert "…" not in str(found)


def test_numbers_of_a_path():
    assert numbers_apart("h.3.attn.0") == ("h.*.attn.0", 3)
    assert numbers_apart("head") == ("head", None)
    assert spans([5, 0, 1, 2, 3, 3]) == "0…3,5"
