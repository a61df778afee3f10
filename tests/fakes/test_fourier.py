"""Fourier transforms along any dimensions: peaks are the profiler's, and results lie in memory as real ones do."""

import random

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from seqcost.fakes.fourier import to_real_bytes, transform, transform_bytes
from seqcost.measure.peak import highest_cpu_bytes

FFT = torch.fft
mkl = pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="transforms are MKL's")


class Of(nn.Module):
    """A function of the input, with real numbers at the end."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        y = self.function(x)
        return torch.view_as_real(y.resolve_conj()) if y.is_complex() else y


def convolved(x, dim=1):
    spectrum = FFT.rfft(x, n=2 * x.shape[dim], dim=dim)
    return FFT.irfft(spectrum * spectrum, n=2 * x.shape[dim], dim=dim).narrow(dim, 0, x.shape[dim])


REAL = {
    "rfft over the last": lambda x: FFT.rfft(x),
    "rfft over time": lambda x: FFT.rfft(x, dim=1),
    "rfft over the batch": lambda x: FFT.rfft(x, dim=0),
    "fft over time": lambda x: FFT.fft(x, dim=1),
    "ihfft over time": lambda x: FFT.ihfft(x, dim=1),
    "padded": lambda x: FFT.rfft(x, n=40, dim=1),
    "cut": lambda x: FFT.rfft(x, n=9, dim=1),
    "orthonormal": lambda x: FFT.rfft(x, dim=1, norm="ortho"),
    "double": lambda x: FFT.rfft(x.double(), dim=1),
    "transposed": lambda x: FFT.rfft(x.transpose(1, 2), dim=2),
    "every other": lambda x: FFT.rfft(x[:, ::2], dim=1),
    "repeated": lambda x: FFT.rfft(x.sum(1, keepdim=True).expand(-1, 16, -1, -1), dim=1),
    "fft2": lambda x: FFT.fft2(x).real,
    "fft2 over time and width": lambda x: FFT.fft2(x, dim=(1, 3)).real,
    "rfft2 there and back": lambda x: FFT.irfft2(FFT.rfft2(x, dim=(1, 2)) * 2, s=x.shape[1:3], dim=(1, 2)),
    "rfftn over three": lambda x: FFT.rfftn(x, dim=(1, 2, 3)),
    "ihfftn": lambda x: FFT.ihfftn(x, dim=(2, 1)),
    "a convolution": convolved,
    "a short-time transform": lambda x: torch.stft(x[:, :, 0, 0], 8, window=torch.ones(8), return_complex=True),
}
COMPLEX = {
    "irfft over the last": lambda z: FFT.irfft(z),
    "irfft over time": lambda z: FFT.irfft(z, dim=1),
    "irfft over time, odd": lambda z: FFT.irfft(z, n=21, dim=1),
    "ifft over time": lambda z: FFT.ifft(z, dim=1),
    "hfft over time": lambda z: FFT.hfft(z, dim=1),
    "hfft2": lambda z: FFT.hfft2(z, dim=(1, 2)),
    "irfft2": lambda z: FFT.irfft2(z, dim=(1, 2)),
    "irfftn over all": lambda z: FFT.irfftn(z, dim=(0, 1, 2, 3)),
    "irfft, transposed": lambda z: FFT.irfft(z.transpose(1, 3), dim=1),
    "fftn": lambda z: FFT.fftn(z, dim=(2, 1)),
}
CASES = {name: (function, False) for name, function in REAL.items()}
CASES |= {name: (function, True) for name, function in COMPLEX.items()}


@mkl
@pytest.mark.parametrize("phase", ["forward", "train"])
@pytest.mark.parametrize("name", CASES)
def test_the_peak_of_a_transform_is_the_profilers(name, phase, peaks):
    function, is_complex = CASES[name]
    x = torch.randn(2, 16, 6, 5, dtype=torch.complex64 if is_complex else torch.float32, requires_grad=True)
    traced, real = peaks(Of(function), x, phase)
    assert traced == real


def laid_out(shape, dtype):
    """A tensor whose dimensions lie in any order, some of them repeated by a stride of 0, some with gaps."""
    order = random.sample(range(len(shape)), len(shape))
    sizes = [1 if random.random() < 0.2 else n + random.choice([0, 0, 2]) for n in shape]
    x = torch.randn([sizes[d] for d in order], dtype=dtype).permute([order.index(d) for d in range(len(shape))])
    for d, n in enumerate(shape):
        x = x.narrow(d, 0, min(n, x.shape[d]))
    return x.expand(shape)


@mkl
def test_three_hundred_transforms_of_any_layout():
    """Allocations of each real call, and the strides of its result."""
    random.seed(3)
    aten = torch.ops.aten
    for _ in range(300):
        shape = [random.randint(1, 5) for _ in range(random.randint(1, 4))]
        dims = random.sample(range(len(shape)), random.randint(1, len(shape)))
        kind = random.choice([aten._fft_c2c.default, aten._fft_r2c.default, aten._fft_c2r.default])
        x = laid_out(shape, torch.float32 if kind is aten._fft_r2c.default else torch.complex64)
        last = (max(1, 2 * (shape[dims[-1]] - 1)),) if kind is aten._fft_c2r.default else (True,)
        args, made = (x, dims, 0, *last), []
        real = highest_cpu_bytes(lambda kind=kind, args=args, made=made: made.append(kind(*args)))
        (y,) = made
        with FakeTensorMode():
            fake = torch.empty_strided(x.shape, x.stride(), dtype=x.dtype)
            out = transform(kind, (fake, *args[1:]), {})
        inside = (to_real_bytes if kind is aten._fft_c2r.default else transform_bytes)((fake, *args[1:]), {}, out)
        case = (kind, x.shape, x.stride(), dims)
        assert inside + y.untyped_storage().nbytes() == real, case
        for n, ours, theirs in zip(y.shape, out.stride(), y.stride(), strict=True):
            assert n == 1 or ours == theirs, case
