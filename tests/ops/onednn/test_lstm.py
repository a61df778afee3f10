"""The workspace of oneDNN's LSTM, part by part; as a whole it is held against torch in the common suite."""

import pytest

from seqcost.algebra import symbols
from seqcost.formulas.ops.onednn.lstm import leading_dimension, lstm_workspace_bytes


@pytest.mark.parametrize(
    ("width", "itemsize", "elements"),
    [(1, 4, 16), (16, 4, 16), (17, 4, 32), (255, 4, 272), (256, 4, 272), (512, 4, 528), (1, 2, 32), (256, 2, 288)],
)
def test_rows_begin_on_cache_lines_and_avoid_multiples_of_256(width, itemsize, elements):
    assert leading_dimension(width, itemsize) == elements


def test_every_array_takes_whole_pages():
    assert lstm_workspace_bytes(B=1, T=1, D=1, N=1) == 7 * 4096
    assert lstm_workspace_bytes(B=3, T=63, D=17, N=100) % 4096 == 0


def test_a_large_one_is_about_eight_states_and_gates_a_token():
    B, T, N = 16, 1000, 1024
    state_bytes = B * T * N * 4
    assert lstm_workspace_bytes(B=B, T=T, D=N, N=N) / state_bytes == pytest.approx(4 + 1 + 2 * 5, rel=0.02)


def test_in_symbols():
    letters = symbols("BTDN")
    formula = lstm_workspace_bytes(**letters)
    for sizes in ({"B": 3, "T": 63, "D": 17, "N": 100}, {"B": 1, "T": 5, "D": 512, "N": 256}):
        assert formula.subs({letters[k]: v for k, v in sizes.items()}) == lstm_workspace_bytes(**sizes)
