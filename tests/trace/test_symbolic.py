"""Two derivations of one formula: interpolated from runs, and read off a run with a symbolic length."""

import pytest
from torch import nn

from seqcost.algebra import symbol
from seqcost.errors import BadTarget, TraceFailed
from seqcost.programs import Target
from seqcost.trace import symbolic_totals, trace

TARGETS = {
    "feed-forward": lambda: nn.Sequential(nn.Linear(8, 24), nn.GELU(), nn.Linear(24, 8)),
    "encoder-layer": lambda: nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, dropout=0.0),
    "embedding-head": lambda: nn.Sequential(nn.Embedding(50, 8), nn.LayerNorm(8), nn.Linear(8, 50)),
    "convolution": lambda: nn.Conv1d(6, 4, 3, padding=2),
}


@pytest.mark.parametrize("phase", ["forward", "train"])
@pytest.mark.parametrize("name", TARGETS)
def test_symbolic_and_interpolated_formulas_agree(name, phase):
    target = Target(name, TARGETS[name])
    symbolic = symbolic_totals(target, phase=phase, B=2)
    sampled = trace(target, phase=phase, B=2, T=50).polynomials
    T = symbol("T")
    for total, formula in symbolic.items():
        coefficients = sampled[total].coefficients
        assert formula == sum(int(c) * T**power for power, c in enumerate(coefficients))


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM], ids=["guards", "raises"])
def test_what_fixes_the_length_is_refused(kind):
    with pytest.raises(TraceFailed, match=r"fixes the length|does not run with a symbolic length"):
        symbolic_totals(Target("recurrence", lambda: kind(8, 8, batch_first=True)), phase="forward", B=2)


def test_live_modules_have_no_symbolic_length():
    with pytest.raises(BadTarget, match="only modules that are built by name"):
        symbolic_totals(Target.of_module(nn.Linear(4, 4)), phase="forward", B=2)
