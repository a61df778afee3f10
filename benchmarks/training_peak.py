"""Peak memory of training steps of thirty modules: what the trace says without running them, and PyTorch's profiler.

    python benchmarks/training_peak.py

The modules are the tests' own (tests/training_modules.py). Measured: the highest running sum of what the CPU's
allocator reported to the profiler (`profile_memory=True`) during the second step, beside parameters and inputs.
"""

import sys
from pathlib import Path

import torch
from page import publish

from seqcost.measure.peak import peak_allocated_bytes
from seqcost.programs import Target
from seqcost.programs.inputs import Inputs
from seqcost.programs.program import prepare
from seqcost.report.table import Table
from seqcost.trace.rungs import fake_rung

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from training_modules import MODULES, NAMED, B, T

OPTIMIZERS = (None, "sgd:momentum=0.9", "adamw")


def predicted_and_measured(name: str, optimizer: str | None) -> tuple[int, int]:
    """Peak bytes of one module's step, twice."""
    torch.manual_seed(0)
    make, inputs = MODULES[name]
    module, given = make(), inputs()
    rung = fake_rung(Target.of_module(module, given), phase="train", B=B, dtype="float32")
    rung.optimizer = optimizer
    predicted = rung.look(T).peak_bytes
    assert predicted is not None
    program = prepare(module, Inputs.of(given), phase="train", optimizer=optimizer)
    program.run()  # what is made only once is made here
    measured = peak_allocated_bytes(program.run, program.resident_tensors(), torch.device("cpu"))
    assert measured is not None
    return predicted, measured


def main() -> None:
    """Every module with each optimizer."""
    rows, exact, worst = [], 0, 0.0
    for name in MODULES:
        for optimizer in OPTIMIZERS:
            predicted, measured = predicted_and_measured(name, optimizer)
            error = predicted / measured - 1
            exact += predicted == measured
            worst = max(worst, abs(error))
            rows.append((name, optimizer or "", f"{predicted:,}", f"{measured:,}", f"{100 * error:+.3f} %"))
            print(*rows[-1], flush=True)
    reasons = [(name, reason) for name, (reason, _) in NAMED.items()]
    headings = ("<module", "<optimizer", "predicted bytes", "measured bytes", "error")
    publish(
        "training_peak",
        "Peak memory of training steps",
        f"Thirty small modules, batch {B}, T = {T}, float32, {torch.get_num_threads()} threads.",
        [Table.of("", headings, rows), Table.of("Differences", ("<module", "<what is not covered"), reasons)],
        f"{exact} of {len(rows)} steps agree to the byte; the worst is {100 * worst:.1f} % off.",
    )


if __name__ == "__main__":
    main()
