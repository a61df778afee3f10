"""Where and with what a run was made: machine, versions, state of our own source.

Runs whose environments differ in any field are never merged, like pyperf's `_CHECKED_METADATA`. Everything is read
without importing torch, so the process that starts a run and the one that does it agree. Not covered: clock
frequency, load, other processes, library settings in environment variables, and the source of a user's own module.
"""

import hashlib
import os
import platform
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from seqcost.extras import need
from seqcost.here import machine_id
from seqcost.records.digest import digest

PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Facts that a measured number depends on; what could not be found out is None."""

    machine_id: str  # tells machines apart, names none: a salted digest
    cpu_model: str | None
    num_cores: int  # that this process may use
    memory_bytes: int  # of the machine
    gpu_models: tuple[str, ...]
    os: str
    python_version: str
    torch_version: str | None
    numpy_version: str | None
    seqcost_version: str | None
    commit: str | None  # of the checkout that seqcost runs from; None for an installed copy
    dirty: bool | None  # whether the package's own files differ from that commit
    source_sha256: str  # of the package's own files: two dirty trees of one commit are two programs

    @cached_property
    def fingerprint(self) -> str:
        """Stable digest of every field."""
        return digest(asdict(self))

    def to_dict(self) -> dict[str, Any]:
        """Every field, as JSON holds it."""
        return {**asdict(self), "gpu_models": list(self.gpu_models)}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Environment":
        """Back from `to_dict`."""
        return cls(**{**fields, "gpu_models": tuple(fields["gpu_models"])})

    def differences(self, other: "Environment") -> dict[str, tuple[object, object]]:
        """Fields in which the two differ, with both values."""
        mine, others = asdict(self), asdict(other)
        return {name: (mine[name], others[name]) for name in mine if mine[name] != others[name]}


def this_environment() -> Environment:
    """The present machine, versions and source; a few milliseconds, most of them git's.

    Raises MissingExtra without psutil.
    """
    need("psutil", "facts of the machine need")
    import psutil

    commit, dirty = _checkout()
    return Environment(
        machine_id=machine_id(),
        cpu_model=_cpu_model(),
        num_cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        gpu_models=_gpu_models(),
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        python_version=platform.python_version(),
        torch_version=_version("torch"),
        numpy_version=_version("numpy"),
        seqcost_version=_version("seqcost"),
        commit=commit,
        dirty=dirty,
        source_sha256=_source_sha256(),
    )


def _version(distribution: str) -> str | None:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(distribution)
    return None


@cache
def _cpu_model() -> str | None:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string")
    return platform.processor() or None


@cache
def _gpu_models() -> tuple[str, ...]:
    # the driver's own files: asking a tool would take a second, asking torch would import it
    files = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    lines = [line for file in files for line in file.read_text().splitlines()]
    return tuple(line.partition(":")[2].strip() for line in lines if line.startswith("Model:"))


def _checkout() -> tuple[str | None, bool | None]:
    # a copy installed inside somebody else's repository is not tracked there: that commit would not be ours
    if _output("git", "-C", str(PACKAGE), "ls-files", "--error-unmatch", "__init__.py") is None:
        return None, None
    changes = _output("git", "-C", str(PACKAGE), "status", "--porcelain", "--", ".")
    return _output("git", "-C", str(PACKAGE), "rev-parse", "HEAD"), None if changes is None else bool(changes)


def _source_sha256() -> str:
    source = hashlib.sha256()
    for file in sorted(PACKAGE.rglob("*.py")):
        source.update(f"{file.relative_to(PACKAGE).as_posix()}\n".encode() + file.read_bytes())
    return source.hexdigest()[:32]


def _output(*command: str) -> str | None:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout.strip() if ended.returncode == 0 else None
