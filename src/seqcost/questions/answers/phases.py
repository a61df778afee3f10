"""What the formulas answer in each phase: the Bills of a forward pass, a training step, a prefill, a decoding step."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from seqcost.algebra import Bill, Kind
from seqcost.errors import BadSize
from seqcost.formulas.core.component import Component
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.parts.head import CrossEntropy
from seqcost.questions.answers.count import Bills, Missing


def by_formula(config: Component, run: Workload, phase: str) -> tuple[Bills, Missing]:
    """Bills of a phase, and what they leave out with the reason."""
    missing: list[Mapping[str, Any]] = []
    state = config.state_bytes(run) if config.decodes else None
    if state is None:
        missing.append(
            {"quantity": "state_bytes", "reason": "the model sees the future (causal=False): nothing is carried"}
        )
        if phase in ("prefill", "decode"):
            raise BadSize(
                f"phase {phase!r} was asked of a model that sees the future (causal=False) and cannot be decoded from; "
                "ask for 'forward' or 'train', or set causal=true."
            )
    if phase == "train":
        return _training(config, run, state, missing)
    at = {"forward": run, "prefill": replace(run, started=True), "decode": run.step()}[phase]
    bills = Bills(
        flops=config.flops(at),
        params=config.params(),
        moved=config.bytes_moved(at),
        saved=config.saved_bytes(run) if phase == "forward" else Bill(),
        state=state,
        depth=config.depth(at),
    )
    return bills, tuple(missing)


def _training(
    config: Component, run: Workload, state: Bill | None, missing: list[Mapping[str, Any]]
) -> tuple[Bills, Missing]:
    """Forward, loss (where logits come out) and backward."""
    reason = "the formulas of a backward pass count FLOPs; ask the trace (trace=True, --trace)"
    missing += [{"quantity": quantity, "reason": reason} for quantity in ("bytes_moved", "depth")]
    flops = config.flops(run).under("forward")
    saved = config.saved_bytes(run)
    if config.gives_logits:
        loss, scored = CrossEntropy(U=config.width_out), replace(run, T=1) if config.pools else run
        flops += loss.flops(scored).under("loss") + loss.backward_flops(scored).under("loss")
        saved += loss.kept_bytes(scored).under("loss")
    else:
        output = run.B * (1 if config.pools else config.tokens_out(run.T)) * config.width_out
        flops += Bill.of(Kind.POINTWISE, sum=(output, "the sum of the output stands for a loss")).under("loss")
    flops += config.backward_flops(run).under("backward")
    bills = Bills(flops=flops, params=config.params(), moved=None, saved=saved, state=state, depth=None)
    return bills, tuple(missing)
