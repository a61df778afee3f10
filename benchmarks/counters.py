"""What other FLOP counters return for the same modules, beside seqcost's trace, in one run.

    python benchmarks/counters.py

Reported FLOPs over expected ones: 1.00 is right, 0 is silent. Counters of multiply-adds (fvcore, ptflops, thop,
torchinfo) are taken times two. A package that is not installed is said to be so.
"""

import contextlib
import importlib
import io
import warnings
from collections.abc import Callable
from importlib import metadata

import torch
from page import publish
from torch import Tensor, nn

import seqcost
from seqcost.report.table import Table

B, T, D, H, N = 2, 64, 32, 4, 16
F = 4 * D
ROWS = B * T
PROJECTIONS = 8 * ROWS * D * D  # q, k, v and output
SCORES = 4 * ROWS * T * D  # q kᵀ and a v


class Heads(nn.Module):
    """Query, key, value and output projections around `mix`."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.output = (nn.Linear(D, D, bias=False) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """[B,T,D] → [B,T,D]."""
        q, k, v = (m(x).unflatten(-1, (H, D // H)).transpose(1, 2) for m in (self.query, self.key, self.value))
        return self.output(self.mix(q, k, v).transpose(1, 2).flatten(2))


class ByMatmul(Heads):
    """Scores written out."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Softmax(q kᵀ) v."""
        return torch.softmax(q @ k.transpose(-1, -2), dim=-1) @ v


class BySdpa(Heads):
    """The fused kernel."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Softmax(q kᵀ/√K) v."""
        return nn.functional.scaled_dot_product_attention(q, k, v)


class Linear(Heads):
    """Linear attention that sees the whole sequence: φ(q) (φ(k)ᵀ v)."""

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Two products with a state [K,V] for each head."""
        q, k = torch.relu(q), torch.relu(k)
        return torch.einsum("bhtk,bhkv->bhtv", q, torch.einsum("bhtk,bhtv->bhkv", k, v))


class SelfAttention(nn.Module):
    """nn.MultiheadAttention on one sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(D, H, batch_first=True, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B,T,D] → [B,T,D]."""
        return self.inner(x, x, x, need_weights=False)[0]


class Scan(nn.Module):
    """A diagonal state space model, step by step: h ← a h + x bᵀ, y = Σ h c."""

    def __init__(self) -> None:
        super().__init__()
        self.b, self.c = nn.Linear(D, N, bias=False), nn.Linear(D, N, bias=False)
        self.a = nn.Parameter(torch.rand(D, N))

    def forward(self, x: Tensor) -> Tensor:
        """[B,T,D] → [B,T,D]."""
        h, out = x.new_zeros(x.shape[0], D, N), []
        for x_BD, b_BN, c_BN in zip(x.unbind(1), self.b(x).unbind(1), self.c(x).unbind(1), strict=True):
            h = self.a * h + x_BD[:, :, None] * b_BN[:, None]
            out.append((h * c_BN[:, None]).sum(-1))
        return torch.stack(out, dim=1)


class FftConvolution(nn.Module):
    """A convolution as long as the sequence, by FFT of 2T points."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Parameter(torch.randn(T, D))

    def forward(self, x: Tensor) -> Tensor:
        """[B,T,D] → [B,T,D]."""
        product = torch.fft.rfft(x, 2 * T, dim=1) * torch.fft.rfft(self.filter, 2 * T, dim=0)
        return torch.fft.irfft(product, 2 * T, dim=1)[:, :T]


_REAL_FFT = 5 * 2 * T * 7 // 2  # half of 5 n log₂ n, n = 128
SCAN = 5 * ROWS * D * N  # a h, x bᵀ, their sum, h c, its sum

# name → module, expected FLOPs of its contractions, and whether the pointwise operations are its mixing and count too
MODULES: dict[str, tuple[Callable[[], nn.Module], int, bool]] = {
    "nn.LSTM": (lambda: nn.LSTM(D, D, batch_first=True), 2 * ROWS * 4 * 2 * D * D, False),
    "nn.GRU": (lambda: nn.GRU(D, D, batch_first=True), 2 * ROWS * 3 * 2 * D * D, False),
    "attention by matmul": (ByMatmul, PROJECTIONS + SCORES, False),
    "attention by SDPA": (BySdpa, PROJECTIONS + SCORES, False),
    "nn.MultiheadAttention": (SelfAttention, PROJECTIONS + SCORES, False),
    "nn.TransformerEncoderLayer": (
        lambda: nn.TransformerEncoderLayer(D, H, F, dropout=0.0, batch_first=True),
        PROJECTIONS + SCORES + 4 * ROWS * D * F,
        False,
    ),
    "linear attention (einsum)": (Linear, PROJECTIONS + 4 * ROWS * D * D // H, False),
    "SSM scan in a loop": (Scan, 2 * ROWS * 2 * D * N + SCAN, True),
    "FFT convolution": (FftConvolution, (2 * B + 1) * D * _REAL_FFT, False),
}


def by_seqcost(module: nn.Module, x: Tensor, scans: bool) -> float:
    """The trace of the live module."""
    count = seqcost.count(module, inputs=(x,), length=T, batch=B)
    return float(count.flops + count.pointwise if scans else count.flops)


def by_torch(module: nn.Module, x: Tensor, scans: bool) -> float:
    """PyTorch's own counter, on the device of the input."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        module(x)
    return float(counter.get_total_flops())


def by_torch_meta(module: nn.Module, x: Tensor, scans: bool) -> float:
    """The same on tensors without values."""
    return by_torch(module.to("meta"), x.to("meta"), scans)


def by_fvcore(module: nn.Module, x: Tensor, scans: bool) -> float:
    """Multiply-adds of the traced graph, times two."""
    from fvcore.nn import FlopCountAnalysis

    return 2.0 * FlopCountAnalysis(module, x).unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()


def by_ptflops(module: nn.Module, x: Tensor, scans: bool) -> float:
    """Multiply-adds of its aten backend, times two."""
    from ptflops import get_model_complexity_info

    macs, _ = get_model_complexity_info(
        module, tuple(x.shape[1:]), as_strings=False, print_per_layer_stat=False, backend="aten", verbose=False,
        input_constructor=lambda _: x,
    )  # fmt: skip
    return 2.0 * (macs or 0)


def by_calflops(module: nn.Module, x: Tensor, scans: bool) -> float:
    """Its FLOPs."""
    from calflops import calculate_flops

    flops, *_ = calculate_flops(module, args=[x], print_results=False, print_detailed=False, output_as_string=False)
    return float(flops)


def by_thop(module: nn.Module, x: Tensor, scans: bool) -> float:
    """Multiply-adds, times two."""
    from thop import profile

    macs, _ = profile(module, inputs=(x,), verbose=False)
    return 2.0 * macs


def by_torchinfo(module: nn.Module, x: Tensor, scans: bool) -> float:
    """Multiply-adds, times two."""
    from torchinfo import summary

    return 2.0 * summary(module, input_data=[x], verbose=0).total_mult_adds


COUNTERS: dict[str, tuple[str, Callable[[nn.Module, Tensor, bool], float]]] = {
    "seqcost": ("seqcost", by_seqcost),
    "FlopCounterMode": ("torch", by_torch),
    "the same, meta": ("torch", by_torch_meta),
    "fvcore": ("fvcore", by_fvcore),
    "ptflops": ("ptflops", by_ptflops),
    "calflops": ("calflops", by_calflops),
    "thop": ("thop", by_thop),
    "torchinfo": ("torchinfo", by_torchinfo),
}


def ratio(counter: str, make: Callable[[], nn.Module], expected: int, scans: bool) -> str:
    """Reported over expected, or why there is no number."""
    package, count = COUNTERS[counter]
    try:
        importlib.import_module(package)
    except ImportError:
        return "not installed"
    torch.manual_seed(0)
    module, x = make().train(), torch.randn(B, T, D)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            found = count(module, x, scans) / expected
    except Exception as error:  # noqa: BLE001 - another package may fail as it likes; that it does is the result
        return type(error).__name__
    return "0" if found == 0 else f"{found:.2f}"


def versions() -> str:
    """Of every package that was asked."""
    found = []
    for package in dict.fromkeys(package for package, _ in COUNTERS.values()):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{package} {metadata.version(package)}")
    return ", ".join(found)


def main() -> None:
    """One row per module, one column per counter."""
    warnings.simplefilter("ignore")  # of the other packages
    rows = [
        (name, f"{expected:,}", *(ratio(counter, make, expected, scans) for counter in COUNTERS))
        for name, (make, expected, scans) in MODULES.items()
    ]
    right = sum(row[2] == "1.00" for row in rows)
    publish(
        "counters",
        "What FLOP counters return",
        f"Reported over expected forward FLOPs: 1.00 is right, 0 is silent. Batch {B}, T = {T}, D = {D}, {H} heads; "
        "CPU, with gradients. Expected: contractions; of the scan its multiplies and adds; of the FFT 5/2·n·log₂ n. "
        f"Multiply-adds count twice. {versions()}.",
        [Table.of("", ("<module", "expected", *COUNTERS), rows)],
        f"seqcost's trace is right for {right} of {len(rows)} modules.",
    )


if __name__ == "__main__":
    main()
