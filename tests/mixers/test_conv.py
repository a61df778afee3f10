"""1-D convolution: the papers' table, receptive field, the sums of numpy, and an unfolded input times the kernel."""

import numpy as np
import pytest
import small
import torch
from oracles import relative_error
from torch.nn import functional

from seqcost.algebra import Kind, symbols
from seqcost.errors import BadSize
from seqcost.formulas import Workload
from seqcost.formulas.mixers.conv import Conv as Formula
from seqcost.layers import Conv

VARIANTS = (
    small.Variant("conv-layer", "conv-layer", small.conv()),
    small.Variant("conv-layer-depthwise", "conv-layer", small.conv(), {"kind": "depthwise", "bias": False}),
    small.Variant("conv-layer-separable", "conv-layer", small.conv(), {"kind": "separable"}),
    small.Variant("conv-layer-centred", "conv-layer", small.conv(odd=True), {"causal": False}),
    small.Variant("conv", "conv", small.conv(model=True)),
)

B, D, T, W = symbols("BDTW").values()
KINDS = ("full", "depthwise", "separable")


def test_parameters_and_products_of_each_kind():
    # MobileNets, arXiv 1704.04861, section 3.1: W·D·D of a full kernel, W·D + D·D of a separable one, for each token.
    for kind, weights in (("full", 3 * 64 * 64), ("depthwise", 3 * 64), ("separable", 3 * 64 + 64 * 64)):
        layer = Formula(D=64, W=3, kind=kind)
        assert layer.params().total() == weights + 64
        assert layer.flops(Workload(B=5, T=7)).total(Kind.CONTRACTION) == 2 * 5 * 7 * weights


def test_vaswani_table_1():
    # Vaswani et al. 2017, table 1, convolutional: k·n·d² a layer, O(1) sequential operations, a path of n/k layers.
    layer, run = Formula(D=D, W=W), Workload(B=B, T=T)
    assert layer.flops(run).leading("T", Kind.CONTRACTION) == 2 * B * W * D**2 * T
    assert layer.depth(run).total() == 3
    assert Formula(D=8, W=5).path_length(Workload(T=401)).total() == 100


def test_a_depthwise_kernel_counted_by_pytorch():
    # torch.utils.flop_counter on nn.Conv1d(64, 64, 4, groups=64) of 61 outputs: 31,232
    assert Formula(D=64, kind="depthwise").flops(Workload(T=61)).total(Kind.CONTRACTION) == 31232


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("W", "dilation"), [(2, 1), (3, 4), (5, 2)])
def test_equals_the_sums_of_numpy(kind, W, dilation):
    torch.manual_seed(0)
    layer = Conv(D=3, W=W, dilation=dilation, kind=kind).double()
    x = torch.randn(2, 23, 3, dtype=torch.float64)
    taps = layer.kernel.weight.detach().numpy()[..., ::-1]  # numpy's kernel runs backwards
    spread = np.zeros((*taps.shape[:2], (W - 1) * dilation + 1))
    spread[..., ::dilation] = taps
    expected = np.zeros((2, 23, 3))
    for row in range(2):
        for out in range(3):
            for feature in range(3) if kind == "full" else (out,):
                tap = spread[out, feature if kind == "full" else 0]
                expected[row, :, out] += np.convolve(x[row, :, feature], tap)[:23]
    y = torch.from_numpy(expected)
    y = layer.mix(y) if kind == "separable" else y + layer.kernel.bias
    assert relative_error(layer(x), y) < 1e-14


@pytest.mark.parametrize("causal", [True, False])
def test_equals_an_unfolded_input_times_the_kernel_in_outputs_and_gradients(causal):
    torch.manual_seed(0)
    layer = Conv(D=6, W=5, dilation=3, causal=causal)
    weight, bias = (p.detach().clone().requires_grad_() for p in layer.kernel.parameters())
    ours, theirs = (torch.randn(2, 40, 6, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in "ab")
    before, after = (12, 0) if causal else (6, 6)
    windows_BTDW = functional.pad(theirs, (0, 0, before, after)).unfold(1, 13, 1)[..., ::3]
    y, expected = layer(ours), torch.einsum("btdw,ndw->btn", windows_BTDW, weight) + bias
    assert relative_error(y, expected) < 1e-6
    seed = torch.randn(y.shape)
    y.backward(seed)
    expected.backward(seed)
    for mine, other in ((ours, theirs), (layer.kernel.weight, weight), (layer.kernel.bias, bias)):
        assert relative_error(mine.grad, other.grad) < 1e-5


def test_equals_padding_on_both_sides_and_cutting_the_right():
    # How Mamba's code does it: nn.Conv1d(padding=W − 1)(x)[..., :T].
    layer = Conv(D=8, kind="depthwise")
    x = torch.randn(2, 17, 8)
    padded = functional.conv1d(x.mT, layer.kernel.weight, layer.kernel.bias, padding=3, groups=8)[..., :17].mT
    assert relative_error(layer(x), padded) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_sees_exactly_the_taps_behind_it(kind):
    layer = Conv(D=4, W=3, dilation=5, kind=kind)
    x = torch.randn(1, 30, 4, requires_grad=True)
    seen = torch.autograd.grad(layer(x)[0, 20].square().sum(), x)[0][0].abs().amax(1) > 0
    assert seen.nonzero().flatten().tolist() == [10, 15, 20]


def test_the_state_is_the_last_tokens_whatever_the_length():
    layer = Conv(D=4, W=3, dilation=5)
    x = torch.randn(2, 30, 4)
    _, state = layer.extend(x, layer.init_state(2))
    assert torch.equal(state.x_BRD, x[:, -10:])
    assert state.x_BRD.untyped_storage().nbytes() == state.nbytes  # no view of the whole text
    _, early = layer.extend(x[:, :3], layer.init_state(2))
    assert torch.equal(early.x_BRD, torch.cat([torch.zeros(2, 7, 4), x[:, :3]], dim=1))


def test_float32_over_thousands_of_tokens():
    layer = Conv(D=16, W=7, dilation=64, kind="separable")
    x = torch.randn(1, 4000, 16)
    with torch.no_grad():
        y = layer(x)
        assert relative_error(y, layer.double()(x.double())) < 2e-6


def test_what_is_refused():
    with pytest.raises(BadSize, match="at least 2 taps"):
        Formula(D=8, W=1)
    with pytest.raises(BadSize, match="half on each side: 3 does not divide by 2"):
        Formula(D=8, W=4, causal=False)
