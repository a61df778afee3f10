"""FLOPs of single operators and small modules against PyTorch's own counter and against published counts."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from seqcost.algebra import Kind
from seqcost.programs import Target
from seqcost.trace import trace

B, T, D, H = 2, 64, 32, 4
sizes = st.integers(min_value=1, max_value=9)


def contractions(module, inputs, phase="forward"):
    return trace(Target.of_module(module, inputs), phase=phase).flops.total(Kind.CONTRACTION)


class Heads(nn.Module):
    def __init__(self, mix):
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(D, D) for _ in range(4))
        self.mix = mix

    def forward(self, x):
        q, k, v = (part(x).view(*x.shape[:2], H, D // H).transpose(1, 2) for part in (self.q, self.k, self.v))
        return self.out(self.mix(q, k, v).transpose(1, 2).reshape(x.shape))


def softmax_attention(q, k, v):
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v


def linear_attention(q, k, v):
    q, k = functional.elu(q) + 1, functional.elu(k) + 1
    memory, total = torch.einsum("bhtk,bhtv->bhkv", k, v), k.sum(2)
    return torch.einsum("bhtk,bhkv->bhtv", q, memory) / torch.einsum("bhtk,bhk->bht", q, total)[..., None]


class SelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(D, H, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


class StateSpace(nn.Module):
    """A diagonal scan in a loop over time: in- and out-projection, then per step y_t = C h_t."""

    def __init__(self, N=4):
        super().__init__()
        self.into, self.out, self.read = nn.Linear(D, D), nn.Linear(D, D), nn.Parameter(torch.randn(N))
        self.N = N

    def forward(self, x):
        u = self.into(x)
        h = u.new_zeros(x.shape[0], D, self.N)
        steps = []
        for t in range(x.shape[1]):
            h = 0.9 * h + u[:, t, :, None]
            steps.append(h @ self.read)
        return self.out(torch.stack(steps, 1))


# The table of what other counters return: B 2, T 64, D 32, four heads.
@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.LSTM(D, D, batch_first=True), 2_097_152),
        (nn.GRU(D, D, batch_first=True), 1_572_864),
        (Heads(softmax_attention), 2_097_152),
        (Heads(functional.scaled_dot_product_attention), 2_097_152),
        (SelfAttention(), 2_097_152),
        (nn.TransformerEncoderLayer(D, H, 4 * D, batch_first=True), 4_194_304),
        (StateSpace(), 2 * 2 * B * T * D * D + 2 * B * T * D * 4),
    ],
    ids=["lstm", "gru", "matmul", "sdpa", "multi-head", "encoder-layer", "scan-loop"],
)
def test_expected_flops_of_the_usual_modules(module, expected):
    assert contractions(module, torch.randn(B, T, D)) == expected


def test_linear_attention_by_einsum():
    expected = 4 * 2 * B * T * D * D + 2 * 2 * B * T * D * (D // H) + 2 * B * T * D
    assert contractions(Heads(linear_attention), torch.randn(B, T, D)) == expected


class LongConvolution(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.filter, self.n = nn.Parameter(torch.randn(D, n)), n

    def forward(self, x):
        spectrum = torch.fft.rfft(x.transpose(1, 2), n=self.n) * torch.fft.rfft(self.filter, n=self.n)
        return torch.fft.irfft(spectrum, n=self.n).transpose(1, 2)


def test_fft_convolution_counts_by_cooley_and_tukey():
    n = 128
    one = 5 * n * 7 // 2  # 5/2·n·log₂ n
    assert contractions(LongConvolution(n), torch.randn(B, T, D)) == (2 * B * D + D) * one


def test_fused_attention_backward_computes_the_scores_again():
    module, x = Heads(functional.scaled_dot_product_attention), torch.randn(B, T, D)
    traced = trace(Target.of_module(module, x), phase="train", B=B, T=T).flops.only(Kind.CONTRACTION)
    core = 2 * 2 * B * T * T * D
    lines = {line.name: line.amount for line in traced}
    assert lines["forward._scaled_dot_product_flash_attention_for_cpu"] == core
    assert lines["backward._scaled_dot_product_flash_attention_for_cpu_backward"] == core * 5 // 2


def test_fewer_key_heads_are_counted_for_every_query_head():
    class Grouped(nn.Module):
        def forward(self, q, k, v):
            return functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)

    q, k = torch.randn(B, 8, T, 16), torch.randn(B, 2, T, 16)
    assert contractions(Grouped(), (q, k, k)) == 4 * B * 8 * T * T * 16


def test_lstm_backward_is_twice_its_forward():
    module, x = nn.LSTM(D, 48), torch.randn(T, B, D)
    assert contractions(module, x, "train") == 3 * 8 * B * T * 48 * (D + 48)


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("needs_system", [True, False])
def test_a_triangular_system_is_n_squared_a_right_side(left, needs_system):
    # LAPACK Working Note 41, appendix: DTRSM m n² with a system of n on the right of m rows. Backward: the transposed
    # system, and a full product for the gradient of the system itself.
    n, sides, batch = 5, 7, 3

    class Solve(nn.Module):
        def forward(self, a, b):
            a = a if needs_system else a.detach()
            return torch.linalg.solve_triangular(a, b, upper=False, left=left, unitriangular=True)

    a = torch.randn(batch, n, n, requires_grad=True)
    b = torch.randn(batch, *((n, sides) if left else (sides, n)), requires_grad=True)
    solve = batch * n * n * sides
    assert contractions(Solve(), (a, b)) == solve
    assert contractions(Solve(), (a, b), "train") == 2 * solve + (2 * solve if needs_system else 0)


def counted_by_torch(module, inputs, phase):
    """PyTorch's counter where it counts: attention spelled out, train mode."""
    module.train(phase == "train")
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        if phase == "train":
            out = module(*inputs)
            (out[0] if isinstance(out, tuple) else out).sum().backward()
        else:
            with torch.no_grad():
                module(*inputs)
    return counter.get_total_flops()


def assert_like_torch(module, inputs, phases=("forward", "train")):
    for phase in phases:
        with sdpa_kernel(SDPBackend.MATH):
            assert contractions(module, inputs, phase) == counted_by_torch(module, inputs, phase)


@settings(max_examples=8, deadline=None)
@given(batch=sizes, length=sizes, heads=st.sampled_from([1, 2, 4]))
def test_attention_like_torch(batch, length, heads):
    assert_like_torch(Heads(softmax_attention), (torch.randn(batch, length, D, requires_grad=True),))
    q = tuple(torch.randn(batch, heads, length, 8, requires_grad=True) for _ in range(3))

    class Fused(nn.Module):
        def forward(self, q, k, v):
            return functional.scaled_dot_product_attention(q, k, v)

    assert_like_torch(Fused(), q)


@settings(max_examples=8, deadline=None)
@given(batch=sizes, length=sizes, width=sizes, hidden=sizes, bias=st.booleans())
def test_feed_forward_like_torch(batch, length, width, hidden, bias):
    module = nn.Sequential(nn.Linear(width, hidden, bias=bias), nn.GELU(), nn.Linear(hidden, width, bias=bias))
    assert_like_torch(module, (torch.randn(batch, length, width, requires_grad=True),))


@settings(max_examples=15, deadline=None)
@given(
    dims=st.integers(1, 3),
    groups=st.sampled_from([1, 2]),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    transposed=st.booleans(),
    needs_input=st.booleans(),
)
def test_convolution_like_torch(dims, groups, kernel, stride, padding, transposed, needs_input):
    kinds = (
        (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
        if transposed
        else (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    )
    padding = min(padding, kernel - 1)
    module = kinds[dims - 1](4, 6, kernel, stride=stride, padding=padding, groups=groups)
    inputs = (torch.randn(2, 4, *[7, 6, 5][:dims], requires_grad=needs_input),)
    if groups == 1:
        assert_like_torch(module, inputs)
    else:  # PyTorch's counter forgets the groups in the gradient of the weight: it is one more forward pass
        assert_like_torch(module, inputs, ["forward"])
        assert contractions(module, inputs, "train") == contractions(module, inputs) * (3 if needs_input else 2)


@settings(max_examples=6, deadline=None)
@given(batch=sizes, length=st.integers(1, 5), width=sizes, hidden=sizes, kind=st.sampled_from([nn.RNN, nn.GRU]))
def test_recurrences_like_torch(batch, length, width, hidden, kind):
    assert_like_torch(kind(width, hidden, batch_first=True), (torch.randn(batch, length, width, requires_grad=True),))
