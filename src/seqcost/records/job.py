"""What is to be run: one target, one phase, one size, on one device with so many threads.

A job is canonical: two that mean the same are equal, hash alike and share `key`, also in another process and in
another year. Not covered: whether the target exists and takes these sizes; only the process that loads it can know.
The source of a user's own callable is not part of the key: after editing it, measure again.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from seqcost.errors import BadSize, BadTarget, UnknownName
from seqcost.records.digest import canonical_json, digest

PHASES = ("forward", "train", "prefill", "decode")


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """One run to be measured; equality, hash and the store go by `key`."""

    target: Mapping[
        str, Any
    ]  # {"kind": "catalogue", "name": "lstm", "sizes": {...}} or another kind that JSON can hold
    phase: str  # one of PHASES
    B: int  # batch
    T: int  # sequence length; for decode the position of the step
    dtype: str = "float32"
    device: str = "cpu"
    threads: int = 1
    text_sha256: str | None = None  # of the bytes that are the input; None: made-up tokens

    def __post_init__(self) -> None:
        if not isinstance(self.target, Mapping) or not isinstance(self.target.get("kind"), str):
            raise BadTarget(
                f"the target of a job is a mapping with a 'kind', such as 'catalogue', not {self.target!r}."
            )
        if self.phase not in PHASES:
            raise UnknownName.among("phase", self.phase, PHASES)
        for name in ("B", "T", "threads"):
            size = getattr(self, name)
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise BadSize(f"{name} of a job is a whole number from 1 on, not {size!r}.")
        try:
            own_copy = json.loads(canonical_json(dict(self.target)))  # what the caller changes later does not reach us
        except (TypeError, ValueError) as error:
            raise BadTarget(f"the target of a job is made of what JSON can hold, but {error}.") from error
        object.__setattr__(self, "target", own_copy)

    @cached_property
    def key(self) -> str:
        """Stable digest of every field."""
        return digest(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Every field; `Job(**job.to_dict())` is the same job."""
        return asdict(self)

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Job) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        name = self.target.get("name") or self.target.get("path") or self.target["kind"]
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        return f"{name}, {self.phase}, B {self.B}, T {self.T}, {self.dtype} on {self.device}, {threads}"
