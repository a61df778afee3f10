"""Which releases of the packages behind a trace are tested; an answer that rests on a newer one says so.

A release may change what a trace is built on without an error: PyTorch the operators and kernels that a CPU runs,
transformers its models' code and the names of their arguments.
"""

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version

from torch import nn

from seqcost.programs.hugging_face.models import is_hugging_face

# The newest releases that the tests run on: torch by constraints.txt, transformers by tests/newest.txt.
TESTED: Mapping[str, str] = {"torch": "2.13.0", "transformers": "5.24.0"}


def said_of_versions(module: nn.Module) -> dict[str, str]:
    """What an answer says: the release that the model's code comes from, and what is newer than tested."""
    of_transformers = is_hugging_face(module)
    newer = list(_newer(("torch", "transformers") if of_transformers else ("torch",)))
    said = {"package": f"transformers {version('transformers')}"} if of_transformers else {}
    return said | ({"untested": "; ".join(newer)} if newer else {})


def _newer(packages: tuple[str, ...]) -> Iterator[str]:
    for package in packages:
        try:
            installed = version(package)
        except PackageNotFoundError:  # built from source, without a record of its own
            continue
        if _minor(installed) > _minor(TESTED[package]):
            yield (
                f"{package} {installed} is newer than {TESTED[package]}, the newest release that is tested: what it "
                "does otherwise may be counted wrongly"
            )


def _minor(release: str) -> tuple[int, int]:
    numbers = [int(number) for number in re.findall(r"\d+", release)[:2]]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)
