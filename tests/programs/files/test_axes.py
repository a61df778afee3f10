import pytest

from seqcost.errors import BadSize, BadTarget
from seqcost.programs.files.axes import Axes


def axes(ranges=None, **shapes):
    return Axes("m", {name: tuple(shape) for name, shape in shapes.items()}, ranges or {})


@pytest.mark.parametrize(
    ("shapes", "batch", "length"),
    [
        ({"ids": ["batch_size", "sequence_length"]}, "batch_size", "sequence_length"),
        ({"ids": ["B", "T"]}, "B", "T"),
        ({"x": ["s0", "s1", 16]}, "s0", "s1"),
        ({"x": [2, "s1", 16]}, None, "s1"),
        ({"x": ["s0", 12, 16]}, "s0", None),
        ({"x": ["seq_len", 2, 16]}, None, "seq_len"),
        ({"x": ["seq_len", "batch", 16]}, "batch", "seq_len"),
        ({"x": ["batch_seq", 16]}, "batch_seq", None),
        ({"mask": ["batch", "total_length"], "ids": ["batch", "sequence"]}, "batch", "sequence"),
    ],
)
def test_which_name_is_what(shapes, batch, length):
    assert (axes(**shapes).batch, axes(**shapes).length) == (batch, length)


def test_names_joined():
    found = axes(ids=["batch", "seq"], past=["batch", 4, "past_len", 8], mask=["batch", "past_len + seq"])
    assert found.shapes_at(2, 7) == {"ids": (2, 7), "past": (2, 4, 0, 8), "mask": (2, 7)}
    assert found.conventions["past"] == "past_len = 0: no tokens were read before"


def test_a_length_that_is_twice_a_name():
    found = axes(x=[1, "2*s0"])
    assert found.shapes_at(1, 10) == {"x": (1, 10)}
    with pytest.raises(BadSize, match=r"choose one that 2\*s0 can be"):
        found.shapes_at(1, 11)


@pytest.mark.parametrize(("B", "T", "says"), [(1, 16, "B = 1 was asked of m, which was exported for B = 2 alone"),
                                              (2, 17, "T = 17 was asked of m, which was exported for T = 16 alone"),
                                             ])  # fmt: skip
def test_fixed_sizes(B, T, says):
    found = axes(x=[2, 16, 8])
    assert found.shapes_at(2, 16) == {"x": (2, 16, 8)}
    with pytest.raises(BadSize, match=says):
        found.shapes_at(B, T)
    assert found.conventions == {
        "T": "axis 1 of x, exported for 16 alone",
        "B": "axis 0 of x, exported for 2 alone",
    }


def test_ranges():
    found = axes({"s1": (2, 64)}, x=["s0", "s1"])
    assert found.shapes_at(9, 64) == {"x": (9, 64)}
    with pytest.raises(BadSize, match="at least 2 and at most 64"):
        found.shapes_at(9, 65)


@pytest.mark.parametrize(
    "size", ["__import__('os')", "seq if seq else 1", "seq ** 999999", "(" * 500, "seq.x()", "1 +", "seq // 0"]
)
def test_sizes_that_are_none(size):
    with pytest.raises((BadTarget, BadSize)) as raised:
        axes(x=["batch", "seq"], y=["batch", size]).shapes_at(1, 8)
    assert "\n" not in str(raised.value)
