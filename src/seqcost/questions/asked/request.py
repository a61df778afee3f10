"""A request: what is asked of a target, checked once. Which phase, how many sequences and tokens, in which format."""

from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from seqcost.algebra.formats import ITEMSIZE, dtype_named
from seqcost.formulas.core.component import Component
from seqcost.formulas.core.workload import Workload
from seqcost.questions.asked.arguments import flag, one_of
from seqcost.questions.asked.lengths import whole
from seqcost.questions.asked.threads import kernel_threads

PHASES = ("forward", "train", "prefill", "decode")
DEFAULT_LENGTH = 1024


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of a target at one length. None is the target's own: its length T, batch B, source S, data type.

    `trace` asks for a trace where there is a formula, too.
    """

    T: int | None = None
    phase: str = "forward"
    B: int | None = None
    S: int | None = None
    dtype: str | None = None
    causal: Literal["full", "half"] = "full"
    optimizer: str | None = None
    accumulate: int = 1
    trace: bool = False

    @classmethod
    def of(
        cls,
        *,
        phase: str = "forward",
        batch: Any = None,
        source: Any = None,
        dtype: Any = None,
        causal: str = "full",
        optimizer: str | None = None,
        accumulate: Any = 1,
        trace: Any = False,
    ) -> "Request":
        """From the arguments of a question.

        Raises UnknownName or BadSize for what is not allowed.
        """
        return cls(
            phase=one_of(phase, "phase", PHASES),
            B=None if batch is None else whole(batch, "batch"),
            S=None if source is None else whole(source, "source"),
            dtype=None if dtype is None else dtype_named(dtype),
            causal=cast(Literal["full", "half"], one_of(causal, "convention for causal attention", ("full", "half"))),
            optimizer=optimizer,
            accumulate=whole(accumulate, "accumulate"),
            trace=flag(trace, "trace"),
        )

    @property
    def needs_trace(self) -> bool:
        """Whether formulas cannot answer it: they stop at the gradients of one pass."""
        return self.trace or self.optimizer is not None or self.accumulate > 1

    def at(self, T: int | None) -> "Request":
        """The same at another length."""
        return replace(self, T=T)

    def workload(self, config: Component, T: int) -> Workload:
        """What a formula is asked; the source is as long as belongs to T where nothing else was said."""
        tokens = 0
        if config.takes_source:
            tokens = config.source_tokens(T) if self.S is None else self.S
        itemsize = ITEMSIZE[self.dtype or "float32"]
        return Workload(B=self.B or 1, T=T, S=tokens, itemsize=itemsize, causal=self.causal, threads=kernel_threads())
