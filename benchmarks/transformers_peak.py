"""Peak memory of models of the transformers package: what the trace predicts against what a run held.

    python benchmarks/transformers_peak.py              the cases that have no record yet, then the page
    python benchmarks/transformers_peak.py gpt2 mamba   these types anew
    python benchmarks/transformers_peak.py --page       the page from the records

Models have few layers and little width (`shrunk.small`). As in peak.py, no tensor is computed for a prediction, and
what is measured is the most bytes that PyTorch's allocator had given out during one run after another. Each case runs
in a process of its own, divided from one that has loaded the libraries already: hundreds of cases take minutes. A
record is appended to transformers_peak.jsonl after each, so that a stop loses nothing.
"""

import gc
import json
import statistics
import sys
import textwrap
from pathlib import Path
from typing import Any

import torch
from apart import apart
from page import publish
from peak import PHASES, B
from shrunk import small

from seqcost.measure.peak import peak_allocated_bytes
from seqcost.programs import Target
from seqcost.programs.hugging_face.runs import on_plain_torch
from seqcost.programs.program import load
from seqcost.report.table import Table
from seqcost.trace import trace

LENGTHS = (63, 200, 500)
LIMIT_S, LIMIT_BYTES = 60.0, 4 * 2**30
TARGET_MEDIAN, TARGET_WORST = 0.001, 0.01
RECORDS = Path(__file__).with_suffix(".jsonl")

# Settings beyond those of `shrunk.SMALL`, by type.
TYPES: dict[str, dict[str, Any]] = {
    kind: {}
    for kind in (
        "gpt2", "gpt_neo", "gpt_neox", "gptj", "opt", "bloom", "codegen", "xglm", "biogpt", "ctrl", "openai-gpt",
        "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi", "phi3", "olmo", "olmo2",
        "stablelm", "starcoder2", "cohere", "granite", "falcon", "mpt", "mixtral", "qwen2_moe", "olmoe", "gpt_oss",
        "deepseek_v2", "deepseek_v3",
        "bert", "roberta", "distilbert", "electra", "albert", "mpnet", "modernbert", "fnet", "nystromformer",
        "longformer", "big_bird", "xlnet",
        "t5", "bart", "pegasus", "m2m_100",
        "mamba", "mamba2", "falcon_mamba", "rwkv", "recurrent_gemma", "jamba", "xlstm",
    )
} | {
    "ctrl": {"n_positions": 1024},
    "m2m_100": {"encoder_layerdrop": 0, "decoder_layerdrop": 0},  # layers are left out by chance
    "mamba2": {"num_heads": 8},
}  # fmt: skip


def specification(kind: str) -> dict[str, Any]:
    """The target, as plain data."""
    return {"kind": "hugging-face", "name": kind, "config": small(kind, **TYPES[kind]), "sizes": {}}


def predicted(kind: str, phase: str, T: int) -> int | None:
    """Peak bytes of the trace."""
    return trace(Target.of_spec(specification(kind)), phase=phase, B=B, T=T, lengths=()).peak_bytes


def measured(kind: str, phase: str, T: int) -> int | None:
    """Peak bytes of a second run; the first makes what is made only once."""
    program = load(specification(kind), phase=phase, B=B, T=T, dtype="float32", device="cpu")
    with on_plain_torch():
        program.run()
        gc.collect()
        return peak_allocated_bytes(program.run_once, program.lasting_tensors(), torch.device("cpu"))


def both(kind: str, phase: str, T: int) -> dict[str, Any]:
    """Both numbers of one case, or why there are none."""
    try:
        return {"predicted": predicted(kind, phase, T), "measured": measured(kind, phase, T)}
    except Exception as error:  # noqa: BLE001 - foreign code may raise anything
        return {"reason": textwrap.shorten(f"{type(error).__name__}: {error}", 200, placeholder=" …")}


def record_of(kind: str, phase: str, T: int) -> dict[str, Any]:
    """One case, from a process of its own."""
    found = apart(both, kind, phase, T, limit_s=LIMIT_S, limit_bytes=LIMIT_BYTES)
    return {"type": kind, "phase": phase, "T": T} | ({"reason": found} if isinstance(found, str) else found)


def recorded() -> dict[tuple[str, str, int], dict[str, Any]]:
    """The last record of each case."""
    lines = RECORDS.read_text("utf-8").splitlines() if RECORDS.exists() else []
    return {(row["type"], row["phase"], row["T"]): row for row in map(json.loads, lines)}


def main() -> None:
    """Measure what is asked for, then write the page."""
    asked = [word for word in sys.argv[1:] if word != "--page"]
    cases = [(kind, phase, T) for kind in TYPES for phase in PHASES for T in LENGTHS]
    done = recorded()
    wanted = [case for case in cases if (case[0] in asked if asked else case not in done and "--page" not in sys.argv)]
    if wanted:
        trace(Target.of_spec(specification("gpt2")), phase="forward", B=B, T=8)  # loads what every case needs
    for case in wanted:
        row = record_of(*case)
        with RECORDS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)
    if not asked:
        rows = recorded()
        kept = [rows[case] for case in cases if case in rows]
        RECORDS.write_text("".join(json.dumps(row) + "\n" for row in kept), "utf-8")
        write_page(kept)


def write_page(rows: list[dict[str, Any]]) -> None:
    """One row per type and phase, one error per length."""
    import transformers

    pairs = [row for row in rows if "measured" in row]
    errors = {(row["type"], row["phase"], row["T"]): row["predicted"] / row["measured"] - 1 for row in pairs}
    by_type = []
    for kind in TYPES:
        for phase in PHASES:
            cells = [f"{100 * errors[kind, phase, T]:+.3f} %" if (kind, phase, T) in errors else "—" for T in LENGTHS]
            longest = next((row for row in reversed(pairs) if (row["type"], row["phase"]) == (kind, phase)), None)
            measured = "—" if longest is None else f"{longest['measured']:,}"
            by_type.append((kind, phase, *cells, measured))
    reasons = [(row["type"], row["phase"], f"{row['T']:,}", row["reason"]) for row in rows if "reason" in row]
    worst = max(errors, key=lambda case: abs(errors[case]))
    median = statistics.median(abs(error) for error in errors.values())
    complete = {kind for kind in TYPES if all((kind, p, T) in errors for p in PHASES for T in LENGTHS)}
    most = max(abs(row["predicted"] - row["measured"]) for row in pairs)
    met = median <= TARGET_MEDIAN and abs(errors[worst]) <= TARGET_WORST
    publish(
        "transformers_peak",
        f"Peak memory of models of transformers {transformers.__version__}, predicted and measured",
        f"Batch {B}, float32, {torch.get_num_threads()} threads; few layers of little width (`benchmarks/shrunk.py`), "
        "everything else as the types have it.",
        [
            Table.of("Errors", ("<type", "<phase", *(f"T = {T}" for T in LENGTHS), "measured bytes, longest"), by_type),
            *([Table.of("Not measured", ("<type", "<phase", "T", "<reason"), reasons)] if reasons else []),
        ],
        f"{len(complete)} types at {len(LENGTHS)} lengths in both phases; {sum(e == 0 for e in errors.values())} of "
        f"{len(errors)} cases agree to the byte, none is more than {most:,} bytes off. Median error "
        f"{100 * median:.3f} %, worst {100 * errors[worst]:+.3f} % ({worst[0]}, {worst[1]}, T = {worst[2]}); the "
        f"targets of {100 * TARGET_MEDIAN:g} % and {100 * TARGET_WORST:g} % are {'met' if met else 'missed'}.",
    )


if __name__ == "__main__":
    main()
