"""Memory of convolutions against the profiler's: oneDNN's copies in blocks of channels, or columns."""

import pytest
import torch
from torch import nn

CASES = {
    "sequence": (nn.Conv1d(16, 32, 3, padding=1), (2, 16, 64)),
    "sequence, other channels": (nn.Conv1d(80, 256, 3, padding=1), (2, 80, 100)),
    "points": (nn.Conv1d(16, 32, 1), (2, 16, 64)),
    "dilated": (nn.Conv1d(64, 64, 3, padding=2, dilation=2), (2, 64, 64)),
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
    "a kernel a channel": (nn.Conv1d(20, 20, 5, padding=2, groups=20), (2, 20, 40)),
    "a plane a channel": (nn.Conv2d(32, 32, 3, padding=1, groups=32), (2, 32, 10, 10)),
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


@avx512
def test_a_strided_first_layer(peaks):
    """Steps over two points: forward alone, for the scratchpad of its backward pass is not covered."""
    traced, real = peaks(nn.Conv2d(3, 64, 7, stride=2, padding=3), torch.randn(2, 3, 64, 64), "forward")
    assert traced == real
