"""Every text model type of the installed transformers release: built from its default configuration, traced, not run.

    python benchmarks/transformers_models.py            all of them
    python benchmarks/transformers_models.py gpt2 mamba  some

The configuration is the type's own default with at most two layers of each kind, so that hundreds of types take
minutes; everything else keeps its full size, since fake tensors have no memory. Each type runs in a process of its own
with limits of time and memory.
"""

import json
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from page import publish

from seqcost.report.table import Table

T, B = 64, 1
LIMIT_S, LIMIT_BYTES = 120, 6 * 2**30
WORKERS = 2
LAYERS = (
    "num_hidden_layers",
    "num_layers",
    "n_layer",
    "n_layers",
    "encoder_layers",
    "decoder_layers",
    "num_decoder_layers",
)
TARGET_TYPES, TARGET_BYTES = 0.95, 0.995

ONE = """
import json, sys
from seqcost.errors import SeqcostError
from seqcost.trace import Target, trace
kind, T, B, layers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
import transformers
transformers.logging.set_verbosity_error()
out = {"type": kind}
try:
    default = transformers.AutoConfig.for_model(kind)
    few = {name: 2 for name in layers if isinstance(getattr(default, name, None), int) and getattr(default, name) > 2}
    def of(changes):
        return Target.of_spec({"kind": "hugging-face", "name": kind, "config": {"model_type": kind}, "sizes": changes})
    for changes in ([few] if few else []) + [{}]:
        try:
            built = of(changes)
            seen = trace(built, phase="forward", B=B, T=T)
            break
        except Exception as error:
            out["reason"] = " ".join(str(error).split())[:300]
    else:
        raise SystemExit(print(json.dumps(out)))
    out |= {"rung": seen.rung, "operators": seen.coverage.operators, "bytes": seen.coverage.moved_bytes,
            "params": seen.params, "flops": str(seen.polynomials["flops"]) if "flops" in seen.polynomials else "",
            "polynomial": type(seen.polynomials.get("flops")).__name__,
            "uncounted": sorted({u.operator for u in seen.uncounted}), "layers": few and changes == few}
    out.pop("reason", None)
except Exception as error:
    out["reason"] = f"{type(error).__name__}: " + " ".join(str(error).split())[:300]
print(json.dumps(out))
"""


def text_types() -> list[str]:
    """Types with a causal, masked or sequence-to-sequence language model."""
    from transformers.models.auto import modeling_auto as auto

    mappings = (
        auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
        auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    )
    return sorted({name for mapping in mappings for name in mapping})


def limited() -> None:
    """Before the process of one type starts."""
    resource.setrlimit(resource.RLIMIT_AS, (4 * LIMIT_BYTES, 4 * LIMIT_BYTES))


def of_type(kind: str) -> dict[str, object]:
    """What came of one type."""
    command = [sys.executable, "-W", "ignore", "-c", ONE, kind, str(T), str(B), json.dumps(LAYERS)]
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=LIMIT_S, preexec_fn=limited
        )
    except subprocess.TimeoutExpired:
        return {"type": kind, "reason": f"longer than {LIMIT_S} s"}
    try:
        return dict(json.loads(ended.stdout.splitlines()[-1]))
    except (IndexError, json.JSONDecodeError):
        return {"type": kind, "reason": (ended.stderr.strip().splitlines() or ["no answer"])[-1][:200]}


def main() -> None:
    """All types, two at a time."""
    import transformers

    kinds = sys.argv[1:] or text_types()
    found = []
    with ThreadPoolExecutor(WORKERS) as pool:
        for row in pool.map(of_type, kinds):
            found.append(row)
            print(json.dumps(row), flush=True)
    traced = [row for row in found if "rung" in row]
    covered = [row for row in traced if float(str(row["bytes"])) >= TARGET_BYTES]
    rows = [
        (
            str(row["type"]),
            str(row.get("rung", "—")),
            str(row["flops"]) if row.get("polynomial") == "Polynomial" else "no polynomial" if "rung" in row else "—",
            f"{100 * float(str(row['bytes'])):.2f} %" if "bytes" in row else "—",
            ", ".join(row.get("uncounted", ())) or str(row.get("reason", "")),  # type: ignore[arg-type]
        )
        for row in found
    ]
    if sys.argv[1:]:
        return
    share = len(covered) / len(found)
    headings = ("<model type", "<rung", "<forward FLOPs, T tokens", "coverage, bytes", "<uncounted, or why not")
    publish(
        "transformers_models",
        f"Text models of transformers {transformers.__version__}",
        f"Default configurations, two layers of each kind where that can be set; forward, batch {B}.",
        [Table.of("", headings, rows)],
        f"{len(found)} types; {len(traced)} traced, {len(covered)} ({100 * share:.1f} %) with at least "
        f"{100 * TARGET_BYTES:g} % of bytes counted: the target of {100 * TARGET_TYPES:g} % is "
        f"{'met' if share >= TARGET_TYPES else 'missed'}.",
    )


if __name__ == "__main__":
    main()
