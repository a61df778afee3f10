"""Query-key pairs under both conventions."""

import pytest

from seqcost.algebra import sweep, symbols
from seqcost.formulas import Workload


def seen(T, P):
    """Keys that each query may see, counted one by one."""
    return sum(1 for t in range(P, P + T) for s in range(P + T) if s <= t)


@pytest.mark.parametrize(("T", "P"), [(1, 0), (1, 63), (63, 0), (64, 100), (100, 1)])
def test_half_is_the_pairs_that_are_not_masked(T, P):
    run = Workload(T=T, P=P, causal="half")
    assert run.pairs(causal=True) == seen(T, P)
    assert run.pairs(causal=False) == T * (P + T)
    assert Workload(T=T, P=P).pairs(causal=True) == T * (P + T)


def test_half_in_every_reading():
    T, P = symbols("TP").values()
    symbolic = Workload(T=T, P=P, causal="half").pairs(causal=True)
    assert symbolic.subs({T: 63, P: 100}) == seen(63, 100)
    for exact in (True, False):
        swept = Workload(T=sweep([63, 64], exact=exact), P=100, causal="half").pairs(causal=True)
        assert swept.tolist() == [seen(63, 100), seen(64, 100)]


def test_of_source():
    assert Workload(B=2, T=63, S=100, P=7).of_source() == Workload(B=2, T=100, S=100)
