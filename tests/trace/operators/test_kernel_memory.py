"""Memory inside one call of a kernel, and of gradients that go another way on fake tensors: the profiler's peaks."""

import pytest
import torch
from torch import nn
from torch.nn import functional

B, T, D = 2, 16, 40


class Of(nn.Module):
    """A function of x and a few weights."""

    def __init__(self, function, *shapes):
        super().__init__()
        self.weights = nn.ParameterList(torch.randn(shape) for shape in shapes)
        self.function = function

    def forward(self, *args):
        return self.function(*args, *self.weights)


def features(width=D):
    return torch.randn(B, T, width, requires_grad=True)


POINTWISE = {
    "times a number": lambda x, i: x * 0.5,
    "plus a truth": lambda x, i: x + True,
    "times an imaginary": lambda x, i: x * 1j,
    "one minus": lambda x, i: 1 - x,
    "compared": lambda x, i: x > 0,
    "remainder": lambda x, i: x % 3,
    "power": lambda x, i: 2**x,
    "square": lambda x, i: x**2,
    "in place": lambda x, i: x.clone().add_(1),
    "root of integers": lambda x, i: i.sqrt(),
    "integers divided": lambda x, i: i / i,
    "integers halved": lambda x, i: i / 2,
    "integers plus a half": lambda x, i: i + 0.5,
    "integers masked": lambda x, i: i & 3,
    "truths counted": lambda x, i: i.bool() + 1,
    "half and whole": lambda x, i: x.half() + x,
    "into half": lambda x, i: x.half().add_(x),
    "larger than half": lambda x, i: x.half() > x,
    "double": lambda x, i: x.double() * 2,
    "by a lone double": lambda x, i: x.double().sum() * x,
    "larger of two": lambda x, i: torch.maximum(x, x.half()),
    "interpolated": lambda x, i: torch.lerp(x, x.sin(), 0.1),
}


@pytest.mark.parametrize("name", POINTWISE)
def test_numbers_and_casts_take_memory(name, peaks):
    traced, real = peaks(Of(POINTWISE[name]), (torch.randn(100), torch.arange(100)), "forward")
    assert traced == real


def linear(x, w, b, *_):
    return functional.linear(x, w, b)


WRITTEN = {
    "last": lambda *a: linear(*a).relu_(),
    "before a function": lambda *a: linear(*a).relu_().tanh(),
    "before a product": lambda x, w, b: linear(linear(x, w, b).relu_(), w, b),
    "added to": lambda x, w, b: linear(linear(x, w, b).relu_(), w, b).add_(x),
    "used twice": lambda *a: (lambda h: h.tanh() + h.sigmoid())(linear(*a).relu_()),
    "shared gradient": lambda x, w, b: linear(x, w, b).relu_() + x,
    "transposed": lambda *a: linear(*a).transpose(1, 2).relu_() + 1,
    "part": lambda *a: linear(*a)[:, 3:9].relu_(),
    "squeezed": lambda x, w, b: (x @ w).squeeze(0).add_(b),
    "no view": lambda x, w, b: (x @ w).relu_().tanh(),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_writing_into_a_view_copies_its_gradient(name, peaks):
    traced, real = peaks(Of(WRITTEN[name], (D, D), (D,)), features())
    assert traced == real


def test_an_activation_in_place_under_a_sum_loss(peaks):
    """From the outside: 126,568 bytes were said of these 150,568."""
    module = nn.Sequential(nn.Linear(40, 40), nn.ReLU(inplace=True))
    assert peaks(module, torch.randn(3, 50, 40)) == (150_568, 150_568)


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}, {"bias": False}], ids=str)
@pytest.mark.parametrize(("width", "state"), [(16, 33), (33, 16), (33, 45), (20, 100), (64, 48), (5, 5)])
def test_an_lstm_of_any_width(width, state, options, peaks):
    traced, real = peaks(nn.LSTM(width, state, batch_first=True, **options), features(width))
    assert traced == real


KERNELS = {
    "sorted": lambda x: x.sort(1).values,
    "sorted in order": lambda x: x.sort(dim=-1, stable=True).values,
    "places in order": lambda x: x.argsort(dim=1) * 1.0,
    "second of all": lambda x: x.kthvalue(2, 1).values,
    "middle": lambda x: x.median(1).values,
    "products of strided matrices": lambda x: torch.bmm(x.permute(2, 0, 1), x.permute(2, 1, 0)),
    "tiny products": lambda x: torch.bmm(x[:, :2, :8].permute(2, 1, 0), x[:, :2, :8].permute(2, 0, 1)),
    "gelu before a transposition": lambda x: functional.gelu(x).permute(2, 0, 1) * 2,
    "gelu of a transposed": lambda x: functional.gelu(x.permute(2, 0, 1)) * 2,
}


@pytest.mark.parametrize("phase", ["forward", "train"])
@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_takes_copies(name, phase, peaks):
    if name == "places in order" and phase == "train":
        pytest.skip("places have no gradients")
    traced, real = peaks(Of(KERNELS[name]), torch.randn(20, 16, 24, requires_grad=True), phase)
    assert traced == real


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_a_bag_of_words(mode, peaks):
    traced, real = peaks(nn.EmbeddingBag(1000, 64, mode=mode), torch.randint(0, 1000, (4, 16)))
    assert traced == real
