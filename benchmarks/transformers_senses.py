"""Every model type of the installed transformers release that reads images or sounds beside words: what it is given.

    python benchmarks/transformers_senses.py              the types without a record of this release, then the page
    python benchmarks/transformers_senses.py gemma4       these anew
    python benchmarks/transformers_senses.py --page       the page from the records

The configuration is the type's own default with few layers (`shrunk.few_layers`), and with what defaults of some types
leave open or at odds: parts of different widths, no token for an image. A type takes part wholly if every parameter met
an operator in one forward pass on fake tensors. One type at a time runs in a process of its own.
"""

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

from apart import apart
from page import publish
from shrunk import few_layers

from seqcost.report.table import Table

LIMIT_S = 60.0
RECORDS = Path(__file__).with_suffix(".jsonl")
READ = ("pixel_values", "image_pixel_values", "image_patches", "input_features", "input_values", "audio_input_features")
# What a default leaves open, by type: as the published configurations have it.
OPEN: dict[str, dict[str, Any]] = {
    "voxtral": {"audio_token_id": 24},
    "granite_speech": {"projector_config": {"encoder_hidden_size": 1024}},
    "granite_speech_plus": {"projector_config": {"encoder_hidden_size": 1024}},
    "mllama": {"vision_config": {"intermediate_layers_indices": [0, 1], "vision_output_dim": 3840}},
    "llama4": {"vision_config": {"hidden_size": 1408, "vision_output_dim": 4096}},
    "gemma3": {"vision_config": {"image_size": 896}},
    "shieldgemma2": {"vision_config": {"image_size": 896}},
    "gemma4": {"vision_config": {"num_hidden_layers": 2}, "audio_config": {"num_hidden_layers": 2}},
    "qwen3_vl": {"vision_config": {"deepstack_visual_indexes": [0]}},
    "qwen3_vl_moe": {"vision_config": {"deepstack_visual_indexes": [0]}},
    "cosmos3_omni": {"vision_config": {"deepstack_visual_indexes": [0]}},
    "aya_vision": {"vision_config": {"image_size": 364, "patch_size": 14, "hidden_size": 1152,
                                     "num_attention_heads": 16}},
    "janus": {"vision_config": {"projection_dim": 4096}},
    "idefics3": {"vision_config": {"image_size": 364, "patch_size": 14}},
    "smolvlm": {"vision_config": {"image_size": 364, "patch_size": 14}},
}  # fmt: skip


def types() -> list[str]:
    """Types whose model takes words and something else."""
    import inspect

    from transformers import CONFIG_MAPPING

    from seqcost.programs.hugging_face.configuration import configuration_of
    from seqcost.programs.hugging_face.models import class_of

    found = []
    for kind in sorted(CONFIG_MAPPING.keys()):
        try:
            takes = inspect.signature(class_of(*configuration_of({"model_type": kind})).forward).parameters
        except Exception:  # noqa: BLE001 - some types have no model, or lack a package
            continue
        if "input_ids" in takes and any(name in takes for name in READ):
            found.append(kind)
    return found


def configuration(kind: str) -> dict[str, Any]:
    """The default with few layers, its parts made to fit each other."""
    config = few_layers(kind)
    text, vision = config.get("text_config"), config.get("vision_config")
    if isinstance(text, dict) and isinstance(vision, dict) and "hidden_size" in text:
        if "out_hidden_size" in vision:
            vision["out_hidden_size"] = text["hidden_size"]
        elif "embed_dim" in vision and "hidden_size" in vision:
            vision["hidden_size"] = text["hidden_size"]
    for name, value in OPEN.get(kind, {}).items():
        before = config.get(name)
        config[name] = before | value if isinstance(before, dict) and isinstance(value, dict) else value
    return config


def record_of(kind: str) -> dict[str, Any]:
    """What a forward pass was given, and the share of the parameters that it did not meet."""
    from seqcost.programs import Target
    from seqcost.programs.hugging_face.senses import said_of_senses, senses_of
    from seqcost.trace.rungs import fake_rung

    try:
        target = Target.of_spec({"kind": "hugging-face", "name": kind, "config": configuration(kind), "sizes": {}})
        rung = fake_rung(target, phase="forward", B=1)
        rung.open(1, 64, 64)
        with rung.inside():
            senses = senses_of(rung.module)
            T = max(64, senses.tokens + 16)
            said = said_of_senses(rung.module, T)
        seen = rung.look(T, keeping=False)
    except Exception as error:  # noqa: BLE001 - foreign code may raise anything
        return {"failed": textwrap.shorten(f"{type(error).__name__}: {error}", 200, placeholder=" …")}
    return {"T": T, "said": said, "unused": sum(seen.unused.values()) / max(1, seen.params)}


def outcome_of(kind: str, release: str) -> dict[str, Any]:
    """The record of one type, from a process of its own."""
    found = apart(record_of, kind, limit_s=LIMIT_S)
    return {"type": kind, "release": release} | ({"failed": found} if isinstance(found, str) else found)


def recorded() -> dict[tuple[str, str], dict[str, Any]]:
    """The last record of each type, by release."""
    lines = RECORDS.read_text("utf-8").splitlines() if RECORDS.exists() else []
    return {(row["release"], row["type"]): row for row in map(json.loads, lines)}


def main() -> None:
    """Trace what is asked for, then write the page."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    release = transformers.__version__
    asked = [word for word in sys.argv[1:] if word != "--page"]
    done = {kind for known, kind in recorded() if known == release}
    kinds = asked or ([] if "--page" in sys.argv else [kind for kind in types() if kind not in done])
    if kinds:
        record_of("clip")  # what every trace loads is there before the processes divide
    for kind in kinds:
        row = outcome_of(kind, release)
        with RECORDS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)
    rows = recorded()
    RECORDS.write_text("".join(json.dumps(rows[key]) + "\n" for key in sorted(rows)), "utf-8")
    if not asked:
        write_page(rows)


def write_page(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    """One row per type, of the newest release that has it; and how many there are of each release."""
    releases = sorted({release for release, _ in rows})
    newest = {kind: rows[release, kind] for release, kind in sorted(rows)}
    counts = [
        (release, *_counts([row for (known, _), row in rows.items() if known == release])) for release in releases
    ]
    publish(
        "transformers_senses",
        "Images and sounds among words",
        "One image, and one sound, a sequence, as a trace gives them to the models of transformers "
        f"{' and '.join(releases)} that read them beside words. Configurations are the types' defaults with few "
        "layers; “wholly” means that every parameter met an operator; else the share of those that met none is given.",
        [
            Table.of("Summary", ("<release", "types", "traced", "wholly", "less than 1 % left out"), counts),
            Table.of(
                "Types", ("<type", "<given", "left out", "<why"), [_cells(newest[kind]) for kind in sorted(newest)]
            ),
        ],
        "",
    )


def _counts(rows: list[dict[str, Any]]) -> tuple[str, ...]:
    traced = [row for row in rows if "failed" not in row]
    wholly = sum(row["unused"] == 0 for row in traced)
    return tuple(map(str, (len(rows), len(traced), wholly, sum(row["unused"] < 0.01 for row in traced))))


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    if "failed" in row:
        return row["type"], "—", "—", _short(row["failed"])
    given = [
        f"{said.split(' a sequence')[0].removeprefix('one of ')}" for said in row["said"].values() if "stands" in said
    ]
    given = [text for text in given if not text.startswith("none")]
    why = [said.split(": ", 1)[1] for said in row["said"].values() if said.startswith("none")]
    left = "wholly" if row["unused"] == 0 else f"{100 * row['unused']:.2g} %"
    return row["type"], "; ".join(given) or "—", left, _short("; ".join(why))


def _short(text: str) -> str:
    return textwrap.shorten(text.replace("|", "/"), 110, placeholder=" …")


if __name__ == "__main__":
    main()
