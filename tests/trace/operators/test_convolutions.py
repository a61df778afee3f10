"""Memory of convolutions against the profiler's: oneDNN's copies in layouts of its own and scratchpads, or columns."""

import itertools
import random

import pytest
import torch
from torch import nn

from seqcost.measure.peak import highest_cpu_bytes
from seqcost.trace.operators.convolutions import backward_bytes, forward_bytes

CASES = {
    "sequence": (nn.Conv1d(16, 32, 3, padding=1), (2, 16, 64)),
    "sequence, other channels": (nn.Conv1d(80, 256, 3, padding=1), (2, 80, 100)),
    "points": (nn.Conv1d(16, 32, 1), (2, 16, 64)),
    "dilated": (nn.Conv1d(64, 64, 3, padding=2, dilation=2), (2, 64, 64)),
    "one number for all dimensions": (nn.Conv2d(16, 32, 3, padding="valid"), (2, 16, 12, 12)),
    "without bias": (nn.Conv2d(16, 32, 3, padding=1, bias=False), (2, 16, 20, 20)),
    "colours": (nn.Conv2d(3, 32, 3, padding=1), (2, 3, 32, 32)),
    "grey": (nn.Conv2d(1, 16, 5), (4, 1, 28, 28)),
    "image": (nn.Conv2d(64, 64, 3, padding=1), (2, 64, 14, 14)),
    "strided points": (nn.Conv2d(64, 128, 1, stride=2), (2, 64, 14, 14)),
    "few channels": (nn.Conv2d(8, 16, 3, padding=1), (2, 8, 10, 10)),
    "padded channels": (nn.Conv2d(20, 50, 5), (4, 20, 12, 12)),
    "volume": (nn.Conv3d(16, 32, 3, padding=1), (2, 16, 8, 8, 8)),
    "groups": (nn.Conv2d(64, 64, 3, groups=4, padding=1), (2, 64, 14, 14)),
    "small groups": (nn.Conv2d(24, 24, 3, groups=3, padding=1), (2, 24, 14, 14)),
    "one small sequence": (nn.Conv1d(20, 30, 3), (1, 20, 33)),
    "one small image": (nn.Conv2d(20, 30, 3), (1, 20, 10, 10)),
    "one kernel per channel": (nn.Conv1d(20, 20, 5, padding=2, groups=20), (2, 20, 40)),
    "one plane per channel": (nn.Conv2d(32, 32, 3, padding=1, groups=32), (2, 32, 10, 10)),
    "a strided first layer": (nn.Conv2d(3, 64, 7, stride=2, padding=3), (2, 3, 64, 64)),
    "a strided sequence": (nn.Conv1d(32, 64, 4, stride=2, padding=1), (2, 32, 60)),
    "a strided image": (nn.Conv2d(32, 64, 3, stride=2, padding=1), (2, 32, 16, 16)),
    "patches": (nn.Conv2d(3, 48, 4, stride=4), (2, 3, 32, 32)),
    "steps and gaps": (nn.Conv2d(16, 32, 3, stride=2, dilation=2), (2, 16, 15, 15)),
    "strided groups": (nn.Conv2d(64, 128, 3, stride=2, padding=1, groups=2), (2, 64, 16, 16)),
    "strided channels": (nn.Conv1d(24, 24, 3, stride=2, groups=24), (2, 24, 32)),
    "three channels, gradients summed": (nn.Conv2d(12, 8, 3, padding=1), (4, 12, 20, 20)),
    "padded by name": (nn.Conv2d(16, 32, 3, padding="same"), (2, 16, 10, 10)),
    "transposed": (nn.ConvTranspose2d(16, 32, 3), (2, 16, 10, 10)),
    "transposed sequence": (nn.ConvTranspose1d(64, 32, 16, stride=8, padding=4), (2, 64, 20)),
    "doubled": (nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1), (2, 32, 9, 9)),
    "doubled without bias": (nn.ConvTranspose2d(20, 50, 2, stride=2, bias=False), (2, 20, 9, 9)),
    "doubled, filled up": (nn.ConvTranspose2d(32, 16, 3, stride=2, padding=1, output_padding=1), (2, 32, 9, 9)),
    "to colours": (nn.ConvTranspose2d(64, 3, 4, stride=2, padding=1), (2, 64, 16, 16)),
    "transposed with gaps": (nn.ConvTranspose2d(16, 24, 3, stride=2, dilation=2), (2, 16, 9, 9)),
    "transposed groups": (nn.ConvTranspose2d(32, 64, 3, groups=2, padding=1), (2, 32, 12, 12)),
    "transposed odd groups": (nn.ConvTranspose1d(12, 20, 5, groups=2), (2, 12, 30)),
    "transposed channels": (nn.ConvTranspose2d(24, 24, 3, groups=24), (2, 24, 12, 12)),
    "transposed points": (nn.ConvTranspose1d(40, 24, 1), (2, 40, 30)),
    "transposed volume": (nn.ConvTranspose3d(16, 32, 2, stride=2), (2, 16, 4, 4, 4)),
    "one small image, transposed": (nn.ConvTranspose2d(20, 30, 3), (1, 20, 10, 10)),
    "one small sequence, transposed": (nn.ConvTranspose1d(20, 30, 3, stride=2), (1, 20, 33)),
}
avx512 = pytest.mark.skipif(
    not torch.backends.cpu.get_cpu_capability().startswith("AVX512"), reason="blocks are those of AVX-512"
)


@avx512
@pytest.mark.parametrize("phase", ["forward", "train"])
@pytest.mark.parametrize("name", CASES)
def test_the_peak_of_a_convolution_is_the_profilers(name, phase, peaks):
    module, shape = CASES[name]
    traced, real = peaks(module, torch.randn(shape, requires_grad=True), phase)
    assert traced == real


class Last(nn.Module):
    """A convolution of images whose channels come last, and their norm."""

    def __init__(self, convolution, width):
        super().__init__()
        self.convolution, self.norm = convolution, nn.LayerNorm(width)

    def forward(self, x_BHWD):
        return self.convolution(self.norm(x_BHWD).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


LAST = {
    "one plane per channel": nn.Conv2d(32, 32, 7, padding=3, groups=32),
    "one small plane per channel": nn.Conv2d(32, 32, 3, padding=1, groups=32),
    "patches": nn.Conv2d(32, 64, 2, stride=2),
    "strided": nn.Conv2d(32, 64, 3, stride=2, padding=1),
    "image": nn.Conv2d(32, 64, 3, padding=1),
    "points": nn.Conv2d(32, 64, 1),
    "groups": nn.Conv2d(32, 64, 3, padding=1, groups=4),
    "its weights as well": nn.Conv2d(32, 64, 3, padding=1).to(memory_format=torch.channels_last),
}


@avx512
@pytest.mark.parametrize("phase", ["forward", "train"])
@pytest.mark.parametrize("name", LAST)
def test_channels_that_come_last(name, phase, peaks):
    traced, real = peaks(Last(LAST[name], 32), torch.randn(2, 16, 16, 32, requires_grad=True), phase)
    assert traced == real


def any_convolution():
    """Arguments of `aten::convolution` with random sizes; None where nothing would be left."""
    dims = random.choice([1, 1, 2, 2, 2, 3])
    inputs, outputs = (random.choice([1, 3, 4, 8, 12, 16, 20, 24, 40, 64, 96]) for _ in range(2))
    kind = random.choice(["whole", "whole", "whole", "whole", "groups", "channels"])
    if kind == "groups":  # of whole blocks of channels: others are chosen by conditions that are not followed
        inputs, outputs = 32 * -(-inputs // 32), 32 * -(-outputs // 32)
    groups = {"whole": 1, "groups": 2, "channels": inputs}[kind]
    outputs = inputs if kind == "channels" else outputs
    kernel = [random.choice([1, 2, 3, 4, 5, 7][: 4 if dims == 3 else 6]) for _ in range(dims)]
    points = [random.randint(4, (50, 18, 7)[dims - 1]) for _ in range(dims)]
    stride, dilation = [random.choice([1, 1, 2, 2, 3])] * dims, [random.choice([1, 1, 1, 2])] * dims
    padding = [random.randint(0, k // 2) for k in kernel]
    transposed = random.random() < 0.5
    more = [random.randrange(step) if transposed else 0 for step in stride]
    weight = torch.randn(*((inputs, outputs // groups) if transposed else (outputs, inputs // groups)), *kernel)
    bias = torch.randn(outputs) if random.random() < 0.8 else None
    x = torch.randn(random.choice([1, 2, 2, 3, 8]), inputs, *points)
    return x, weight, bias, stride, padding, dilation, transposed, more, groups


def assert_same_allocations(args):
    """That the bytes inside one convolution, forward and backward, and those of its results are the allocator's."""
    aten = torch.ops.aten
    made = []
    real = highest_cpu_bytes(lambda: made.append(aten.convolution(*args)))
    (y,) = made
    x, weight, bias, *steps = args
    case = (tuple(x.shape), tuple(weight.shape), bias is not None, *steps)
    assert forward_bytes(args, {}, y) + y.nbytes == real, case
    sizes = None if bias is None else [bias.numel()]
    backward = (torch.randn_like(y), x, weight, sizes, *steps, [True, True, bias is not None])
    aten.convolution_backward(*backward)
    real = highest_cpu_bytes(lambda: made.append(aten.convolution_backward(*backward)))
    results = made[1]
    inside = backward_bytes(backward, {}, results)
    assert inside + sum(result.nbytes for result in results if result is not None) == real, case


@avx512
@pytest.mark.slow
@pytest.mark.parametrize(("threads", "most"), [(1, 150), (2, 30)])
def test_convolutions_of_any_size(threads, most):
    random.seed(threads)
    torch.set_num_threads(threads)
    calls = 0
    while calls < most:
        args = any_convolution()
        try:
            torch.ops.aten.convolution(*args)
        except RuntimeError:  # nothing is left
            continue
        assert_same_allocations(args)
        calls += 1


@pytest.mark.parametrize("transposed", [False, True])
def test_no_image_takes_no_memory(transposed):
    assert_same_allocations(
        (torch.randn(0, 16, 9, 9), torch.randn(16, 16, 3, 3), None, [2, 2], [1, 1], [1, 1], transposed, [0, 0], 1)
    )


STRIDED = {  # batch, channels, points, step, kernel, padding: lines and channels that are cut into blocks
    "an odd line": (2, 64, 32, (33, 33), 2, 3, 1),
    "a long odd line": (1, 24, 48, (1999,), 2, 3, 1),
    "three blocks of channels": (2, 48, 96, (49, 49), 2, 3, 0),
    "five blocks of channels": (1, 80, 160, (31, 31), 2, 3, 1),
    "one channel": (4, 1, 16, (32, 32), 2, 4, 1),
    "points": (2, 64, 128, (29, 29), 2, 1, 0),
    "a kernel of many points": (2, 16, 24, (40, 40), 2, 12, 0),
    "a volume": (1, 32, 48, (9, 9, 9), 2, 3, 1),
}


@avx512
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", STRIDED)
def test_steps_that_are_undone(name, threads):
    """The gradient of a strided convolution's input, and the transposed convolution that is the same."""
    torch.set_num_threads(threads)
    batch, inputs, outputs, points, step, kernel, padding = STRIDED[name]
    dims = len(points)
    steps = [step] * dims, [padding] * dims, [1] * dims
    x, weight = torch.randn(batch, inputs, *points), torch.randn(outputs, inputs, *[kernel] * dims)
    assert_same_allocations((x, weight, torch.randn(outputs), *steps, False, [0] * dims, 1))
    y = torch.ops.aten.convolution(x, weight, None, *steps, False, [0] * dims, 1)
    more = [n - (m - 1) * step + 2 * padding - kernel for n, m in zip(points, y.shape[2:], strict=True)]
    assert_same_allocations((y, weight, torch.randn(inputs), *steps, True, more, 1))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_columns_of_double_numbers(dims, transposed):
    """oneDNN is not asked, whatever the groups, steps and gaps."""
    for batch, kernel, step, gap, groups in itertools.product((1, 3), (1, 3), (1, 2), (1, 2), (1, 2)):
        x = torch.randn(batch, 8, *[6] * dims).double()
        weight = torch.randn(*((8, 12 // groups) if transposed else (12, 8 // groups)), *[kernel] * dims).double()
        steps = [step] * dims, [0] * dims, [gap] * dims
        assert_same_allocations((x, weight, torch.randn(12).double(), *steps, transposed, [0] * dims, groups))
