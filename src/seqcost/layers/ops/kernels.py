"""Kernels of other packages that stand in for engines, and the one place that decides whether they do.

The PyTorch form of an engine is always there; it is what the formulas count and what a trace or a compiler sees. On a
CUDA device a kernel of the table may compute the same. What the machine has is looked up once, at the first question;
whether a kernel takes a tensor is read off the table. Engines without a row are PyTorch's on every device: the scan of
`scan.py`, say, for which flash-linear-attention wants the logarithm of a decay, and a decay may be 0 here.

The capability is that of Triton's own requirements. Not covered: gradients of gradients, which the kernels do not give
and which are refused; single tokens, whose PyTorch form is three or four launches.
"""

import importlib
import importlib.metadata
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

from seqcost.errors import BadTarget, MissingExtra, SeqcostError, UnknownName
from seqcost.layers.ops import fused

Engine = Callable[..., tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Package:
    """What is installed, the distribution that has its version, and the oldest whose functions the adapters know."""

    title: str
    distribution: str
    oldest: str


PACKAGES = {  # by their names when imported
    "fla": Package("flash-linear-attention", "fla-core", "0.6.0"),
    "mamba_ssm": Package("mamba-ssm", "mamba-ssm", "1.0.0"),
}
CHOICES = ("auto", "torch", *PACKAGES)
OLDEST = (8, 0)  # compute capability
HALVES = (torch.bfloat16, torch.float16)


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A function of a package, the adapter that calls it as our engine, and the tensors that it takes."""

    function: str  # module:name
    adapter: Callable[..., tuple[Tensor, Tensor]]
    dtypes: tuple[torch.dtype, ...]  # of the values
    widest: int  # width of a key, N of a state space
    rounds: bool = True  # its products round float32 to TF32
    device: str = "cuda"

    @property
    def package(self) -> str:
        """The name that is imported."""
        return self.function.split(".")[0]

    @property
    def title(self) -> str:
        """The package's own name, and the function."""
        return f"{PACKAGES[self.package].title} {self.function.split(':')[1]}"

    @property
    def takes(self) -> str:
        """What it takes, as a phrase."""
        names = [_named(dtype) for dtype in self.dtypes]
        if self.rounds and torch.float32 in self.dtypes:
            names[self.dtypes.index(torch.float32)] += " as TF32"
        return f"{', '.join(names)}; keys up to {self.widest} wide"


KERNELS: dict[str, Kernel] = {
    "linear_attention": Kernel(  # not gated, or by one number per head or token: retention, lightning attention, SUPRA
        function="fla.ops.simple_gla:chunk_simple_gla",
        adapter=fused.linear_attention,
        dtypes=(*HALVES, torch.float32),
        widest=512,  # as wide as the example of its docstring
    ),
    "gated_linear_attention": Kernel(
        function="fla.ops.gla:chunk_gla",
        adapter=fused.gated_linear_attention,
        dtypes=(*HALVES, torch.float32),
        widest=512,
    ),
    "delta_rule": Kernel(  # it asserts that it is not given float32, and that K ≤ 256
        function="fla.ops.delta_rule:chunk_delta_rule", adapter=fused.delta_rule, dtypes=HALVES, widest=256
    ),
    "gated_delta_rule": Kernel(
        function="fla.ops.gated_delta_rule:chunk_gated_delta_rule",
        adapter=fused.gated_delta_rule,
        dtypes=(*HALVES, torch.float32),
        widest=256,
    ),
    "ssd": Kernel(
        function="fla.ops.simple_gla:chunk_simple_gla",
        adapter=fused.ssd,
        dtypes=(torch.float32,),  # Mamba-2's recurrence is never narrower here
        widest=512,
    ),
    "selective_scan": Kernel(
        function="mamba_ssm.ops.selective_scan_interface:selective_scan_fn",
        adapter=fused.selective_scan,
        dtypes=(torch.float32,),
        widest=256,
        rounds=False,  # no matrix products
    ),
}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a machine has: the least capability among its CUDA devices, the packages, those of them that do not load."""

    capability: tuple[int, int] | None
    installed: Mapping[str, str]  # package → its version
    broken: Mapping[str, str]  # package → the error's text


@dataclass(frozen=True, kw_only=True)
class Given:
    """What decides about one call."""

    device: str
    dtype: torch.dtype
    width: int
    state_dtype: torch.dtype
    tf32: bool  # whether float32 products may be rounded


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which implementation an engine has on this machine; `reason` says why not the other one."""

    engine: str
    kernel: str
    used: bool
    reason: str

    def __str__(self) -> str:
        return f"{self.kernel if self.used else 'PyTorch'}: {self.reason}"


def why_not_here(kernel: Kernel, facts: Facts) -> str | None:
    """Why a machine cannot run the kernel at all."""
    if facts.capability is None:
        return "no CUDA device"
    if facts.capability < OLDEST:
        return f"compute capability {_dotted(facts.capability)}, {_dotted(OLDEST)} is needed"
    package = PACKAGES[kernel.package]
    version = facts.installed.get(kernel.package)
    if version is None:
        return f"{package.title} is not installed"
    if _numbers(version) < _numbers(package.oldest):
        return f"{package.title} {version} is too old, {package.oldest} is needed"
    if kernel.package in facts.broken:
        return f"{package.title} does not load ({facts.broken[kernel.package]})"
    return None


def why_not_these(kernel: Kernel, given: Given) -> str | None:
    """Why the kernel does not take the tensors of one call."""
    if given.device != kernel.device:
        return f"tensors on {given.device} were given"
    if given.dtype not in kernel.dtypes:
        return f"{_named(given.dtype)} was given, {' or '.join(map(_named, kernel.dtypes))} is allowed"
    if given.state_dtype != torch.float32:
        return f"a state in {_named(given.state_dtype)} was given, float32 is allowed"
    if given.width > kernel.widest:
        return f"keys {given.width} wide were given, {kernel.widest} is allowed"
    if kernel.rounds and given.dtype == torch.float32 and not given.tf32:
        return "float32 was given and TF32 is off: torch.set_float32_matmul_precision('high') allows it"
    return None


def kernels() -> dict[str, Choice]:
    """For every engine with a kernel, which implementation is used and why not the other.

    As the switch stands: `use_kernels` changes the answer. A kernel that is used takes the tensors that its reason
    names; others go to PyTorch.
    """
    found = {}
    for engine, kernel in KERNELS.items():
        missing = "asked for" if _switch.choice == "torch" else why_not_here(kernel, facts())
        found[engine] = Choice(
            engine=engine, kernel=kernel.title, used=missing is None, reason=missing or f"for {kernel.takes}"
        )
    return found


class use_kernels:
    """Which implementation the engines of all layers take, from now on or inside a `with`.

    "auto"       a kernel for the CUDA tensors that it takes, else PyTorch; as it is at the start
    "torch"      PyTorch everywhere
    "fla"        flash-linear-attention for the engines that it has, or an error; others as in "auto"
    "mamba_ssm"  likewise

    Forward and backward of one loss belong under one choice where activations are recomputed. It holds for the process,
    all threads included: backward runs in threads of its own.

    Raises
    ------
    UnknownName: another choice. MissingExtra, BadTarget: the package, or the device, is not there.

    """

    def __init__(self, choice: str) -> None:
        if choice not in CHOICES:
            raise UnknownName.among("choice of kernels", choice, CHOICES)
        for kernel in KERNELS.values():
            missing = why_not_here(kernel, facts()) if kernel.package == choice else None
            if missing is not None:
                raise _refused(choice, missing, facts())
        self._before, _switch.choice = _switch.choice, choice

    def __enter__(self) -> None:
        """The choice holds already."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _switch.choice = self._before


def kernel_for(engine: str, values: Tensor, keys: Tensor, state: Tensor) -> Engine | None:
    """The kernel that computes an engine on these tensors; None: the PyTorch form does.

    Raises
    ------
    BadTarget: `use_kernels` forces a package that does not take the tensors.

    """
    if torch.compiler.is_compiling() or _switch.choice == "torch" or _looked_at(values, keys, state):
        return None
    kernel = KERNELS[engine]
    forced = _switch.choice == kernel.package  # then the machine has been judged
    if not forced and (values.device.type != kernel.device or why_not_here(kernel, facts()) is not None):
        return None
    given = Given(
        device=values.device.type, dtype=values.dtype, width=keys.shape[-1], state_dtype=state.dtype, tf32=_tf32()
    )
    refusal = why_not_these(kernel, given)
    if refusal is None:
        return partial(kernel.adapter, load(kernel.function))
    if forced:
        raise BadTarget(f"{engine} in {kernel.title}: {refusal}; use_kernels('auto') leaves such calls to PyTorch.")
    return None


@cache
def facts() -> Facts:
    """Those of this machine; looked up once. Packages are loaded only where there is a device for them."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    capability = min((torch.cuda.get_device_capability(i) for i in range(count)), default=None)
    installed = {name: found for name, package in PACKAGES.items() if (found := _version(package.distribution))}
    broken = _broken(kernel for kernel in KERNELS.values() if capability and kernel.package in installed)
    return Facts(capability=capability, installed=installed, broken=broken)


@cache
def load(function: str) -> Callable[..., Any]:
    """The function behind `module:name`."""
    module, name = function.split(":")
    return getattr(importlib.import_module(module), name)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


def _broken(of: Iterable[Kernel]) -> dict[str, str]:
    found = {}
    for kernel in of:
        try:
            load(kernel.function)
        except Exception as error:  # noqa: BLE001 - whatever a package raises while it loads, it cannot be used
            found[kernel.package] = (str(error).splitlines() or [type(error).__name__])[0]
    return found


def _looked_at(*given: Tensor) -> bool:
    """Whether someone follows the operators one by one: a kernel would be a hole in what they see."""
    return (
        any(type(x) not in (Tensor, nn.Parameter) or x.device.type == "meta" for x in given)  # fake ones, say
        or torch._C._functorch.peek_interpreter_stack() is not None  # vmap, grad and the like
        or _get_current_dispatch_mode() is not None
    )


def _refused(choice: str, missing: str, facts: Facts) -> SeqcostError:
    sentence = f"use_kernels({choice!r}): {missing}; "
    if facts.capability is not None and choice not in facts.installed:
        return MissingExtra(f"{sentence}pip install {PACKAGES[choice].title}, or use_kernels('auto').")
    return BadTarget(f"{sentence}use_kernels('auto') leaves the engines to PyTorch.")


@dataclass
class _Switch:
    choice: str


_switch = _Switch("auto")


def _tf32() -> bool:
    return torch.backends.cuda.matmul.fp32_precision == "tf32"


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
