import time

import pytest
import torch
from torch import nn

from seqcost.measure.peak import highest_cpu_bytes, peak_allocated_bytes, storage_bytes

CPU = torch.device("cpu")
B, D, F, K = 63, 20, 100, 30


def test_two_products_and_what_lies_between():
    x_BD, w_DF, v_FK = torch.randn(B, D), torch.randn(D, F), torch.randn(F, K)
    with torch.no_grad():
        # x w stays until relu has made its own copy
        assert highest_cpu_bytes(lambda: (x_BD @ w_DF).relu() @ v_FK) == 4 * max(2 * B * F, B * F + B * K)


def test_a_training_step_releases_what_backward_has_used():
    first, second = nn.Linear(D, F), nn.Linear(F, K)
    x_BD, grad_BK = torch.randn(B, D), torch.randn(B, K)
    params = [*first.parameters(), *second.parameters()]

    def step():
        y_BK = second(torch.relu(first(x_BD)))
        y_BK.backward(grad_BK)
        for param in params:
            param.grad = None

    # while relu goes back: its output, the gradient that came and the one it makes (B F each); y; gradients of second
    at_relu = 3 * B * F + B * K + F * K + K
    # while first goes back: the gradient that came; y; gradients of both
    at_first = B * F + B * K + F * K + K + D * F + F
    resident = [*params, x_BD, grad_BK]
    resident_numbers = B * D + B * K + D * F + F + F * K + K
    for _ in range(3):
        assert peak_allocated_bytes(step, resident, CPU) == 4 * (resident_numbers + max(at_relu, at_first))


def test_a_wide_first_layer_moves_the_peak_to_its_gradient():
    D = 5000
    layer = nn.Linear(D, 10, bias=False)
    x_BD, grad = torch.randn(3, D), torch.randn(3, 10)

    def step():
        layer(x_BD).backward(grad)
        layer.weight.grad = None

    assert highest_cpu_bytes(step) == 4 * (3 * 10 + 10 * D)


def test_scores_of_attention():
    H, T, K = 4, 50, 8
    q_HTK, k_HTK, v_HTK = torch.randn(3, H, T, K)

    def attend():
        scores_HTT = q_HTK @ k_HTK.mT
        probabilities_HTT = scores_HTT.softmax(-1)
        return probabilities_HTT @ v_HTK

    with torch.no_grad():
        assert highest_cpu_bytes(attend) == 4 * (2 * H * T * T + H * T * K)


def test_nothing_allocated_is_no_peak():
    x = torch.zeros(100)
    assert highest_cpu_bytes(lambda: None) == 0
    assert highest_cpu_bytes(lambda: x.view(10, 10)) == 0
    assert peak_allocated_bytes(lambda: None, [x], CPU) == 400


def test_a_recording_that_the_module_makes_itself_hides_nothing():
    def run():
        with torch.profiler.record_function("a part"):
            torch.zeros(100)

    assert highest_cpu_bytes(run) == 400


def test_what_lay_there_before_and_goes_during_the_run_takes_nothing_from_its_peak():
    """PyTorch's profiler believes that it saw an allocation where an earlier recording saw one at that address."""

    def hundred():
        return [torch.zeros(10_000) for _ in range(100)]

    lasting = []
    assert highest_cpu_bytes(lambda: lasting.extend(hundred())) == 100 * 40_000
    seen = {tensor.data_ptr() for tensor in lasting}
    lasting.clear()
    before = hundred()
    assert seen & {tensor.data_ptr() for tensor in before}
    assert highest_cpu_bytes(lambda: (before.clear(), torch.zeros(20_000))) == 80_000


def test_an_error_in_the_run_ends_the_recording():
    with pytest.raises(ZeroDivisionError):
        highest_cpu_bytes(lambda: 1 / 0)
    assert not torch.autograd._profiler_enabled()
    assert highest_cpu_bytes(lambda: torch.zeros(100)) == 400


def test_views_and_tied_weights_count_once():
    weight = torch.zeros(10, 10)
    assert storage_bytes([weight, weight[:5], weight.T, torch.zeros(3)]) == 400 + 12
    assert storage_bytes([]) == 0


def test_a_hundred_thousand_releases_are_read_soon():
    x = torch.randn(1000)

    def run():
        h = x
        for _ in range(60_000):
            h = h.neg()

    start_s = time.monotonic()
    with torch.no_grad():
        assert highest_cpu_bytes(run) == 2 * x.nbytes
    assert time.monotonic() - start_s < 20


def test_a_long_recurrence_forward_and_backward_follows_the_line_of_short_ones():
    gru = nn.GRU(16, 16, batch_first=True)

    def peak(T):
        x_BTD = torch.randn(2, T, 16)

        def step():
            gru(x_BTD)[0].sum().backward()
            gru.zero_grad()

        return highest_cpu_bytes(step)

    at_100, at_200 = peak(100), peak(200)
    assert peak(8192) == at_100 + (at_200 - at_100) // 100 * (8192 - 100)  # 311 320 events
