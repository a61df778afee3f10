"""Reading a whole formula at very large sizes and at very many points."""

import itertools
import random

import numpy as np
import pytest

from seqcost.algebra import Bill, Kind, sweep, symbol
from seqcost.algebra.expr import is_symbolic
from seqcost.errors import BadSize
from seqcost.formulas import Workload
from seqcost.formulas.catalogue import configure
from seqcost.formulas.core import sweeps
from seqcost.formulas.core.sweeps import over_sweeps
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


SWEPT = {  # of each a few hundred points: sizes of 0 and 1 among them, some that are equal, lengths beside chunks
    "transformer-block": ({"D": [8, 16, 24, 32], "H": [1, 4, 8], "F": [5, 16]}, {}),
    "attention-layer": ({"D": [1, 8, 16, 24], "P": [0, 1, 5]}, {"H": 1, "implementation": "materialised"}),
    "gla-layer": ({"D": [8, 16, 24, 32], "R": [1, 2, 8]}, {"H": 2, "C": 4, "J": 2}),
    "mamba2-layer": ({"N": [1, 3, 8, 16], "H": [1, 2, 4]}, {"D": 8, "C": 4}),
    "window-layer": ({"W": [2, 3, 4, 8], "C": [2, 3, 8], "H": [1, 2]}, {"D": 8}),
}


@pytest.mark.parametrize(("name", "exact"), [*zip(SWEPT, itertools.cycle((True, False)), strict=False)])
def test_a_sweep_over_widths_and_lengths_equals_the_ints(name, exact):
    letters, choices = SWEPT[name]
    points = [*itertools.product(*letters.values(), (1, 2, 3), (1, 2, 8, 17, 40))]
    columns = dict(
        zip((*letters, "B", "T"), (sweep(column, exact=exact) for column in zip(*points, strict=True)), strict=True)
    )

    def bills(sizes):
        run = {letter: sizes[letter] for letter in "BTP" if letter in sizes}
        config = configure(name, **{z: size for z, size in sizes.items() if z not in run}, **choices)
        return [ask(Workload(**run)) for ask in (config.flops, config.bytes_moved, config.saved_bytes, config.depth)]

    swept = [bill.total(*Kind) for bill in bills(columns)]
    for i in random.Random(1).sample(range(len(points)), 60):
        numbers = [bill.total(*Kind) for bill in bills(dict(zip(columns, points[i], strict=True)))]
        assert [total[i] for total in swept] == numbers, dict(zip(columns, points[i], strict=True))


def uneven(config, run):
    """A question whose formula says something else than its numbers do."""
    del config
    return Bill.of(Kind.CONTRACTION, uneven=run.T + (0 if is_symbolic(run.T) else run.T % 3))


def test_where_a_formula_says_something_else_each_point_is_asked():
    lengths = range(2, 102)
    swept = over_sweeps(uneven, configure("gru-layer", D=8), Workload(T=sweep(lengths, exact=True)))
    assert swept.total(Kind.CONTRACTION).tolist() == [T + T % 3 for T in lengths]


def test_more_points_than_can_be_asked_one_by_one_are_refused(monkeypatch):
    monkeypatch.setattr(sweeps, "MOST", 99)
    with pytest.raises(BadSize, match="a sweep of 100 points was given that have no one formula; at most 99 are asked"):
        over_sweeps(uneven, configure("gru-layer", D=8), Workload(T=sweep(range(2, 102))))


@pytest.mark.parametrize("exact", [True, False], ids=["object", "float64"])
def test_a_width_that_would_be_refused_is_refused_among_many(exact):
    D = sweep([*range(8, 8 * 1000, 8), 65], exact=exact)
    with pytest.raises(BadSize, match="width D over heads H: 65 does not divide by 8"):
        block_flops(D=D, T=sweep([63]))
    widths = sweep([*range(1, 100), 0], exact=exact)
    with pytest.raises(BadSize, match="D = 0 was given; a whole number of at least 1"):
        configure("gru-layer", D=widths).flops(Workload(T=63))
    with pytest.raises(BadSize, match="T = -1 was given; a whole number of at least 1"):
        configure("gru-layer", D=8).flops(Workload(T=sweep([*range(1, 100), -1], exact=exact)))


def test_a_size_that_is_no_whole_number_is_refused():
    with pytest.raises(BadSize, match=r"2\.5 was given in a sweep; whole numbers are allowed"):
        configure("gru-layer", D=8).flops(Workload(T=np.array([1.0, 2.5])))


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
