"""Every model type of the installed transformers release that reads text, images or sound: built, traced, not run.

    python benchmarks/transformers_models.py              the types that have no record yet, then the page
    python benchmarks/transformers_models.py gpt2 mamba   these anew
    python benchmarks/transformers_models.py --page       the page from the records

The configuration is the type's own default with as few layers as show each kind of them (`shrunk.few_layers`);
everything else keeps its full size, since fake tensors have no memory. A type that cannot be traced so is tried with
little width. One type at a time runs in a process of its own, with limits of time and memory; its record is appended
to transformers_models.jsonl at once, so that a stop loses nothing.
"""

import json
import sys
import textwrap
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apart import apart
from page import publish
from shrunk import default_of, few_layers, small

from seqcost.algebra import Curve
from seqcost.report.table import Table

T, B = 64, 1
LIMIT_S, LIMIT_BYTES = 120.0, 4 * 2**30
RECORDS = Path(__file__).with_suffix(".jsonl")
TARGET_TYPES, TARGET_BYTES = 0.95, 0.995
LONGEST_CELL = 110
FORMULAS = ("Polynomial", "QuasiPolynomial")  # in T, in T and whole blocks; what else is on record is samples
WAYS = (("few layers", few_layers), ("small", small), ("default", default_of))


def text_types() -> list[str]:
    """Types with a causal, masked or sequence-to-sequence language model."""
    return _types_of("CAUSAL_LM", "MASKED_LM", "SEQ_TO_SEQ_CAUSAL_LM")


def other_types() -> list[str]:
    """Types that read images or sound, and are not among those of text."""
    found = _types_of("IMAGE", "IMAGE_CLASSIFICATION", "AUDIO_CLASSIFICATION", "CTC", "SPEECH_SEQ_2_SEQ")
    return sorted(set(found) - set(text_types()))


def _types_of(*tasks: str) -> list[str]:
    from transformers.models.auto import modeling_auto as auto

    return sorted({kind for task in tasks for kind in getattr(auto, f"MODEL_FOR_{task}_MAPPING_NAMES")})


def record_of(kind: str) -> dict[str, Any]:
    """What a trace says of one type, or why there is none."""
    reasons: dict[str, str] = {}
    for way, shrink in WAYS:
        try:
            seen = _traced(kind, shrink(kind))
        except Exception as error:  # noqa: BLE001 - foreign code may raise anything
            reasons[way] = textwrap.shorten(f"{type(error).__name__}: {error}", 300, placeholder=" …")
            continue
        found = seen.polynomials.get("flops")
        return {
            "rung": seen.rung,
            "way": way,
            "operators": seen.coverage.operators,
            "bytes": seen.coverage.moved_bytes,
            "params": seen.params,
            "own_params": _own_count(shrink(kind)),
            "flops": str(found) if found is not None else "",
            "kind_of_formula": _kind_of(found),
            "uncounted": sorted({entry.operator for entry in seen.uncounted}),
            "reasons": reasons,
        }
    return {"reasons": reasons}


def _traced(kind: str, config: dict[str, Any]) -> Any:
    from seqcost.programs import Target
    from seqcost.trace import trace

    target = Target.of_spec({"kind": "hugging-face", "name": kind, "config": config, "sizes": {}})
    return trace(target, phase="forward", B=B, T=T)


def _own_count(config: dict[str, Any]) -> int | None:
    """The package's own count, of a model without memory; None where it cannot be built so."""
    import torch

    from seqcost.programs.hugging_face.models import model_of

    try:
        with torch.device("meta"):
            return int(model_of(config).num_parameters())  # type: ignore[operator]
    except Exception:  # noqa: BLE001 - constructors may ask for values
        return None


def outcome_of(kind: str) -> dict[str, Any]:
    """The record of one type, from a process of its own."""
    begun = time.perf_counter()
    found = apart(record_of, kind, limit_s=LIMIT_S, limit_bytes=LIMIT_BYTES)
    told = {"type": kind, "on": f"{datetime.now(UTC):%Y-%m-%d}", "s": round(time.perf_counter() - begun, 1)}
    return told | ({"reasons": {"": found}} if isinstance(found, str) else found)


def recorded() -> dict[str, dict[str, Any]]:
    """The last record of each type."""
    lines = RECORDS.read_text("utf-8").splitlines() if RECORDS.exists() else []
    return {row["type"]: row for row in map(json.loads, lines)}


def tidy() -> None:
    """Leave one record per type, in alphabetical order."""
    rows = recorded()
    RECORDS.write_text("".join(json.dumps(rows[kind]) + "\n" for kind in sorted(rows)), "utf-8")


def main() -> None:
    """Trace what is asked for, then write the page."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    asked = [word for word in sys.argv[1:] if word != "--page"]
    done = recorded()
    kinds = asked or ([] if "--page" in sys.argv else [k for k in (*text_types(), *other_types()) if k not in done])
    if kinds:
        record_of("gpt2")  # what every trace loads and fills is there before the processes divide
    for kind in kinds:
        row = outcome_of(kind)
        with RECORDS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)
    if not asked:
        tidy()
        write_page(recorded(), transformers.__version__)


def write_page(rows: dict[str, dict[str, Any]], release: str) -> None:
    """Two tables and how many types reach the target."""
    text = [rows[kind] for kind in text_types() if kind in rows]
    others = [rows[kind] for kind in other_types() if kind in rows]
    parts = {"text": text, "images and sound": others}
    publish(
        "transformers_models",
        f"Models of transformers {release}",
        f"Forward, batch {B}, float32; traced at T = {T} and at further lengths, in at most {LIMIT_S:.0f} s and "
        f"{LIMIT_BYTES // 2**30} GiB a type. Configurations are the types' defaults with as few layers as show each "
        "kind of them, at full width; “small” has little width too. A type without a formula is exact at each length, "
        "but no polynomial passes through all lengths that were seen, mostly where blocks are padded.",
        [
            _summary({"text": text, "images and sound": others}),
            _table("Text", text),
            _table("Images and sound", others),
        ],
        " ".join(_verdict(what, rows) for what, rows in parts.items()),
    )


def _summary(parts: dict[str, list[dict[str, Any]]]) -> Table:
    headings = ("<of", "types", "can be built", "traced", "covered", "share", "fake", "real", "with a formula")
    return Table.of("Summary", headings, [(what, *_counts(rows)) for what, rows in parts.items()])


def _counts(rows: list[dict[str, Any]]) -> tuple[str, ...]:
    built = [row for row in rows if _builds(row)]
    traced = [row for row in rows if "rung" in row]
    covered = [row for row in built if row.get("bytes", 0) >= TARGET_BYTES]
    fake = sum(row["rung"] == "fake tensors" for row in traced)
    formulas = sum(row["kind_of_formula"] in FORMULAS for row in traced)
    share = f"{100 * len(covered) / len(built):.1f} %" if built else "—"
    counts = (len(rows), len(built), len(traced), len(covered), share, fake, len(traced) - fake, formulas)
    return tuple(map(str, counts))


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    headings = (
        "<model type", "<rung", "<configuration", "parameters", "<forward FLOPs, T tokens", "coverage, bytes",
        "<uncounted, or why not",
    )  # fmt: skip
    return Table.of(title, headings, [_cells(row) for row in rows])


def _kind_of(found: Curve | None) -> str:
    """As it stands in the records."""
    if found is None or not found.exact:
        return "NoneType" if found is None else "Samples"
    return FORMULAS[bool(found.blocks)]


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    if "rung" not in row:
        return (row["type"], "—", "—", "—", "—", "—", _reason(row))
    formula = row["flops"] if row["kind_of_formula"] in FORMULAS else "no polynomial"
    return (
        row["type"],
        row["rung"].removesuffix(" tensors"),
        row["way"],
        f"{row['params']:,}",
        _short(formula),
        f"{100 * row['bytes']:.2f} %",
        ", ".join(row["uncounted"]),
    )


def _short(text: str) -> str:
    return textwrap.shorten(text, LONGEST_CELL, placeholder=" …")


def _reason(row: dict[str, Any]) -> str:
    said = row["reasons"].get("default") or next(iter(row["reasons"].values()), "no answer")
    return _short(said.replace("|", "/"))


def _builds(row: dict[str, Any]) -> bool:
    return "rung" in row or not any(words in _reason(row) for words in NOT_BUILT)


# How the reasons of types begin that cannot be built from their own defaults, or lack a package.
NOT_BUILT = ("can be built from", "has no model for", "was refused", "validation error", "ImportError")


def _verdict(what: str, rows: list[dict[str, Any]]) -> str:
    built = [row for row in rows if _builds(row)]
    covered = [row for row in built if row.get("bytes", 0) >= TARGET_BYTES]
    if not built:
        return ""
    share = len(covered) / len(built)
    met = "met" if share >= TARGET_TYPES else "missed"
    return (
        f"Of {len(rows)} types of {what}, {len(built)} can be built from their defaults; {len(covered)} of these "
        f"({100 * share:.1f} %) are traced with at least {100 * TARGET_BYTES:g} % of bytes counted: the target of "
        f"{100 * TARGET_TYPES:g} % is {met}. {_same_parameters(rows)}"
    )


def _same_parameters(rows: list[dict[str, Any]]) -> str:
    both = [row for row in rows if row.get("own_params") is not None]
    other = [row["type"] for row in both if row["params"] != row["own_params"]]
    return (
        f"Parameters are as many as the package counts for {len(both) - len(other)} of the {len(both)} whose model it "
        f"builds without memory{': not for ' + ', '.join(other) if other else ''}."
    )


if __name__ == "__main__":
    main()
