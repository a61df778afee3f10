"""The table of operations per element: each a whole number, and in proportion."""

from seqcost.formulas.core import pointwise

TABLE = {name: value for name, value in vars(pointwise).items() if name.isupper()}


def test_every_operator_has_a_count():
    assert all(type(count) is int and count >= 1 for count in TABLE.values())


def test_a_fused_score_is_a_softmax_and_a_scale():
    assert pointwise.ATTENTION == pointwise.SOFTMAX + 1


def test_each_forward_operator_has_a_backward():
    backward = {name for name in TABLE if name.endswith("_BACKWARD")}
    own = {name for name in TABLE if name.startswith("COMPLEX_")}  # whose gradients are made of the same operators
    assert {f"{name}_BACKWARD" for name in set(TABLE) - backward - own} == backward
