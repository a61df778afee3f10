"""Rotary positions: the definition, what follows from it, and its number format."""

import dataclasses

import mpmath
import pytest
import torch
from oracles import relative_error

from seqcost.algebra import Kind
from seqcost.errors import BadSize
from seqcost.formulas import Workload
from seqcost.formulas.catalogue import configure
from seqcost.layers import Attention, RetNet, SinusoidalPositions, Supra, WindowAttention
from seqcost.layers.parts.rope import FARTHEST, rope_frequency, rope_turn
from seqcost.layers.parts.rope import rope_tables as tables_of


def turned(x_BTHK, start=0):
    K = x_BTHK.shape[-1]
    return rope_turn(x_BTHK, *tables_of(start, x_BTHK.shape[1], rope_frequency(K, 10000.0), x_BTHK))


def test_equals_products_of_complex_numbers():
    # Su et al. 2021, eq. 34: a pair of features is a complex number, multiplied by exp(i·position·θ).
    x = torch.randn(2, 63, 3, 8, dtype=torch.float64)
    pairs = torch.complex(x[..., :4], x[..., 4:])
    angle = torch.arange(63.0, dtype=torch.float64)[:, None] * 10000.0 ** (-torch.arange(0, 8, 2).double() / 8)
    expected = pairs * torch.polar(torch.ones_like(angle), angle)[:, None]
    assert relative_error(turned(x), torch.cat([expected.real, expected.imag], dim=-1)) < 1e-14


def test_scores_depend_on_distances_only():
    q, k = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)
    at = [(turned(q, start) * turned(k, start + 7)).sum() for start in (0, 5, 1000)]
    assert at[1].item() == pytest.approx(at[0].item(), abs=1e-5)
    assert at[2].item() == pytest.approx(at[0].item(), abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_frequencies_stay_float64_in_any_format(dtype):
    exact = rope_frequency(64, 10000.0)
    layer = Attention(D=128, H=2, rope=True)
    assert torch.equal(layer.to(dtype).frequency, exact)
    assert layer.frequency.dtype == torch.float64
    assert "frequency" not in layer.state_dict()
    assert layer.to("meta").frequency.device.type == "meta"


def decimal_turn(position, K=64, base=10000):
    """Cosines and sines of one position with 60 digits."""
    with mpmath.workdps(60):
        turns = [position * mpmath.mpf(base) ** (mpmath.mpf(-i) / K) for i in range(0, K, 2)]
        return torch.tensor([[float(f(a)) for a in turns] for f in (mpmath.cos, mpmath.sin)], dtype=torch.float64)


@pytest.mark.parametrize("position", [10**4, 10**6, 2**24 + 1, 2**32])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-7), (torch.float64, 1e-15)], ids=str)
def test_far_positions(position, dtype, tolerance):
    """Float32 angles are 4e-5 off at the first of these, 5e-3 at the second, and cannot tell the third from 2²⁴."""
    tables = tables_of(position, 1, rope_frequency(64, 10000.0), torch.zeros((), dtype=dtype))
    error = (torch.stack(tables).flatten(1) - decimal_turn(position)).abs().max()
    assert error < tolerance + 4 * position * 2**-53


def test_angles_end():
    frequency, like = rope_frequency(8, 10000.0), torch.zeros(())
    assert tables_of(FARTHEST, 1, frequency, like)[0].isfinite().all()
    with pytest.raises(BadSize, match="position 4294967297 was given; angles are exact up to position 4294967296"):
        tables_of(FARTHEST + 1, 1, frequency, like)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RetNet(D=8, H=2),
        lambda: Supra(D=8, H=2),
        lambda: WindowAttention(D=8, H=2, W=5, rope=True),
        lambda: SinusoidalPositions(D=8),
    ],
    ids=["retnet", "supra", "window", "sinusoidal"],
)
def test_a_layer_a_hundred_thousand_tokens_on(make):
    """Float32 against float64 beyond the 100,000th token, and both where scores see distances only."""
    torch.manual_seed(0)
    layer = make()
    x = torch.randn(1, 9, 8)

    def far(layer, x, start):
        state = dataclasses.replace(layer.init_state(1), tokens=start)
        return layer.extend(x, state)[0]

    exact = far(layer.double(), x.double(), 100_003)
    if not isinstance(layer, SinusoidalPositions):
        assert relative_error(exact, far(layer, x.double(), 0)) < 1e-10
    assert relative_error(far(layer.float(), x, 100_003), exact.float()) < 5e-6


def test_positions_a_thousand_tokens_away_survive_bfloat16():
    torch.manual_seed(0)
    layer = Attention(D=64, H=1, rope=True)
    x = torch.randn(1, 1, 64)
    q, _, _ = layer._turned(x, past=1001)
    short, _, _ = layer.to(torch.bfloat16)._turned(x.to(torch.bfloat16), past=1001)
    assert relative_error(short.float(), q) < 0.03


def test_tables_are_float64_and_cast_where_the_work_is_not():
    K, T = 8, 63
    layer = Attention.Config(D=2 * K, H=2, rope=True)
    wide, narrow = (
        {line.name: line.amount for line in layer.bytes_moved(Workload(T=T, itemsize=size))} for size in (8, 2)
    )
    assert "rope_cast" not in wide
    assert narrow["rope_cast"] == 2 * (T * K // 2) * (8 + 2)
    kept = {line.name: line.amount for line in layer.saved_bytes(Workload(T=T, itemsize=2))}
    assert kept["rope_cast"] == 2 * T * K


def test_costs_no_parameter_and_no_contraction():
    run = Workload(B=3, T=63)
    plain, rotary = (configure("attention-layer", rope=rope) for rope in (False, True))
    assert plain.params() == rotary.params()
    extra = rotary.flops(run).total(*Kind) - plain.flops(run).total(*Kind)
    # Angles, cosines, sines: 3·T·K/2; then 4 products and 2 sums for each pair of each head of q and k.
    assert extra == 3 * 63 * 32 + 2 * 3 * 3 * 63 * 512
