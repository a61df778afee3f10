"""Peak memory: what the trace predicts against what a run in a process of its own held.

    python benchmarks/peak.py

No tensor is computed for a prediction. Measured: the most bytes that PyTorch's allocator had given out, parameters
and inputs included. Both use the same number of threads, because some kernels take a buffer for each.
"""

import torch
from page import publish

from seqcost.measure import Limits, measure
from seqcost.programs import Target
from seqcost.records import Job
from seqcost.report.table import Table
from seqcost.trace import trace

B = 2
LENGTHS = (63, 256, 1000)
PHASES = ("forward", "train")
TARGET_ERROR = 0.005
LIMITS = Limits(time_s=120)

LAYER = {"D": 128}
MODEL = {"D": 128, "L": 2, "U": 256}
CASES = {
    "attention, materialised": ("attention-layer", LAYER | {"H": 4, "implementation": "materialised"}),
    "attention, fused": ("attention-layer", LAYER | {"H": 4, "implementation": "fused"}),
    "feed-forward": ("feed-forward", LAYER | {"F": 512}),
    "norm, layer": ("norm", LAYER),
    "norm, rms": ("norm", LAYER | {"kind": "rms"}),
    "rnn layer": ("rnn-layer", LAYER),
    "lstm layer": ("lstm-layer", LAYER),
    "gru layer": ("gru-layer", LAYER),
    "transformer": ("transformer", MODEL | {"H": 4}),
    "encoder-decoder": ("encoder-decoder", MODEL | {"H": 4}),
    "rnn": ("rnn", MODEL),
    "lstm": ("lstm", MODEL),
    "gru": ("gru", MODEL),
}


def predicted_and_measured(name: str, sizes: dict[str, object], phase: str, T: int) -> tuple[int, int]:
    """Peak bytes of one case, twice."""
    spec = {"kind": "catalogue", "name": name, "sizes": sizes}
    predicted = trace(Target.of_spec(spec), phase=phase, B=B, T=T).peak_bytes
    job = Job(target=spec, phase=phase, B=B, T=T, dtype="float32", threads=torch.get_num_threads())
    run = measure(job, LIMITS)
    assert predicted is not None, f"{job}: no prediction"
    assert run.peak_allocated_bytes is not None, f"{job}: {run.reason}"
    return predicted, run.peak_allocated_bytes


def main() -> None:
    """Every case at every length in both phases."""
    rows, errors = [], {}
    for case, (name, sizes) in CASES.items():
        for phase in PHASES:
            for T in LENGTHS:
                predicted, measured = predicted_and_measured(name, sizes, phase, T)
                error = predicted / measured - 1
                errors[f"{case}, {phase}, T = {T:,}"] = error
                rows.append((case, phase, f"{T:,}", f"{predicted:,}", f"{measured:,}", f"{100 * error:+.3f} %"))
                print(*rows[-1], flush=True)
    worst = max(errors, key=lambda case: abs(errors[case]))
    exact = sum(error == 0 for error in errors.values())
    met = "met" if abs(errors[worst]) <= TARGET_ERROR else "missed"
    headings = ("<case", "<phase", "T", "predicted bytes", "measured bytes", "error")
    publish(
        "peak",
        "Peak memory, predicted and measured",
        f"Batch {B}, float32, {torch.get_num_threads()} threads; layers of width 128, models of 2 layers.",
        [Table.of("", headings, rows)],
        f"{exact} of {len(rows)} cases agree to the byte. Worst: {100 * errors[worst]:+.3f} % ({worst}); "
        f"the target of {100 * TARGET_ERROR:g} % is {met}.",
    )


if __name__ == "__main__":
    main()
