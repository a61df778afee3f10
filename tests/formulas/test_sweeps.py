"""Reading a whole formula at very large sizes and at very many points."""

import random

import numpy as np
import pytest

from seqcost.algebra import Kind, sweep, symbol
from seqcost.errors import BadSize
from seqcost.formulas import Workload
from seqcost.formulas.catalogue import configure
from seqcost.formulas.stacks.transformer import TransformerBlock

POINTS = 10**6


def block_flops(*, D, T):
    return TransformerBlock(D=D, H=8).flops(Workload(T=T))


def test_a_million_points_equal_the_ints_at_points_drawn_at_random():
    # How long the million takes is in benchmarks/.
    rng = np.random.default_rng(0)
    T, D = rng.integers(1, 2**20, POINTS), 64 * rng.integers(1, 2**8, POINTS)
    swept = block_flops(D=sweep(D), T=sweep(T)).total(*Kind)
    assert swept.shape == (POINTS,)
    for i in random.Random(0).sample(range(POINTS), 50):
        assert swept[i] == pytest.approx(block_flops(D=int(D[i]), T=int(T[i])).total(*Kind), rel=1e-12)


def test_exact_at_10_to_the_30():
    T = 10**30
    exact = configure("gpt2", M=1).flops(Workload(T=T)).total(Kind.CONTRACTION)
    assert exact == 36864 * T**2 + 247064064 * T
    assert type(exact) is int


def test_a_sweep_across_2_to_63_stays_exact():
    lengths = [2**18, 2**20, 2**22, 2**30]
    swept = configure("gpt2").flops(Workload(T=sweep(lengths, exact=True))).total(Kind.CONTRACTION)
    assert swept.tolist() == [36864 * T**2 + 247064064 * T for T in lengths]
    assert swept[-1] > 2**63


def test_an_int64_array_of_lengths_is_refused_not_wrapped():
    wrapped = 36864 * np.array([2**25]) ** 2
    assert wrapped[0] != 36864 * 2**50  # what would have been answered
    with pytest.raises(BadSize, match=r"would wrap silently beyond 2\^63; make it with seqcost\.sweep"):
        configure("gpt2").flops(Workload(T=np.array([2**25])))


def test_half_and_full_differ_by_the_masked_pairs_only():
    T = symbol("T")
    config = configure("gpt2")
    full, half = (config.flops(Workload(T=T, causal=c)).total(Kind.CONTRACTION) for c in ("full", "half"))
    assert (full - half - 4 * 768 * 12 * T * (T - 1) / 2).expand() == 0
