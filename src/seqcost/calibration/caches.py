"""The caches of this machine's processors, as Linux tells them. Not covered: other systems."""

from dataclasses import dataclass
from pathlib import Path

CPUS = Path("/sys/devices/system/cpu")
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


@dataclass(frozen=True)
class Level:
    """One level, all that some threads have of it together."""

    name: str
    num_bytes: int


def levels(threads: int, cpus: Path = CPUS) -> tuple[Level, ...]:
    """From the nearest to the farthest; empty where the system does not tell."""
    found: dict[str, dict[str, int]] = {}
    for folder in sorted(cpus.glob("cpu[0-9]*/cache/index[0-9]*")):
        if int(folder.parts[-3][3:]) >= threads:
            continue
        kind, level, size, shared = (
            (folder / name).read_text().strip() for name in ("type", "level", "size", "shared_cpu_list")
        )
        if kind != "Instruction":
            found.setdefault(f"L{level}", {})[f"{shared}"] = int(size[:-1]) * UNITS[size[-1]]
    return tuple(Level(name, sum(of.values())) for name, of in sorted(found.items()))
