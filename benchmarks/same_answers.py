"""Are the answers the same? What `count` says, written to a folder by one checkout and compared with another's.

    PYTHONPATH=OLD/src python benchmarks/same_answers.py write before
    python benchmarks/same_answers.py write after
    python benchmarks/same_answers.py compare before after

`write` asks for the whole catalogue in four phases by formula, and for forty targets by trace; it uses nothing but
`seqcost.count(...).to_dict()`, so that it runs on an old checkout as well. `compare` goes through both key by key, each
line of a Bill under its own name, and writes the page: what differs, how often, where, and why, if `WHY` says it.
Beside the answers stands what it takes to give them: the lines of the package, by room.
"""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

PHASES = ("forward", "train", "prefill", "decode")
LENGTH = 1000  # no power of two: chunks, blocks and windows are left broken
FEW = {"num_hidden_layers": 4}  # of a model whose layers are all alike: one traced in seconds
TRACED: dict[str, dict[str, Any]] = {
    # our layers
    "attention-layer": {"phase": "train"},
    "window-layer": {},
    "conv-layer": {"phase": "train"},
    "rnn-layer": {},
    "lstm-layer": {"phase": "train"},
    "gru-layer": {"phase": "decode"},
    "lsh-layer": {},
    "deltanet-layer": {"phase": "train"},
    "minlstm-layer": {},
    "s4d-layer": {},
    "mamba-layer": {"phase": "prefill"},
    "mamba2-layer": {"phase": "decode"},
    "ttt-linear-layer": {},
    # models and presets
    "gpt2": {},
    "gpt2 adamw": {"target": "gpt2", "phase": "train", "optimizer": "adamw"},
    "gpt2 decode": {"target": "gpt2", "phase": "decode"},
    "bert-base": {"phase": "train"},
    "mistral-7b": {"sizes": {"layers": 4}, "dtype": "bfloat16"},
    "mamba-130m": {"sizes": {"layers": 4}, "phase": "decode"},
    "transformer-base": {"phase": "train"},
    "vit-base-16": {"length": 196},
    "classifier": {"phase": "train"},
    # models of transformers
    "hf:gpt2": {"phase": "train"},
    "hf:bert": {"sizes": FEW},
    "hf:llama": {"sizes": FEW, "phase": "decode"},
    "hf:qwen3": {"sizes": FEW, "phase": "prefill"},
    "hf:t5": {"phase": "train"},
    "hf:mamba2": {"sizes": FEW},
    "hf:vit": {"phase": "train"},
    "hf:mixtral": {"sizes": FEW},
    "hf:gemma3_text": {"sizes": {"num_hidden_layers": 6}},
    "hf:distilbert": {"phase": "train", "optimizer": "sgd:momentum=0.9"},
    # modules of PyTorch, with inputs of their own
    "nn.Linear": {"phase": "train"},
    "nn.Conv1d": {"phase": "train"},
    "nn.LSTM": {},
    "nn.GRU": {"phase": "train"},
    "nn.MultiheadAttention": {},
    "nn.TransformerEncoderLayer": {"phase": "train"},
    "nn.EmbeddingBag": {},
    "nn.Sequential": {"phase": "train", "accumulate": 2},
}

# Why answers differ: the first words of a key (or of "key · change"), and the reason. What none explains says so.
_LIVES = "formulas follow every storage from its coming to its going, forward and backward"
_LINES = "a formula is a program: its lines are the operators that run, each under its own name, and what each keeps"
_WORDS = "plainer words, and sizes where the operator is shown"
_LIKE = "a tensor made like another does not read it: the seed of a gradient is written alone"
_TABLES = "in a given dtype the tables of our layers stay as wide as Module.to leaves them, and are cast"
_WIDE = "RMSNorm in half precision is counted as it runs, in float32 between two copies"
_NO_CLASSES = "a model of ours that gives no logits is given no classes to be trained on"
_CHAIN = "chunks and sub-chunks are told apart from shorter texts on; counted as the trace counts them"
WHY: dict[str, str] = {
    "(the target) · new": "AFT-simple, added by scripts/new-architecture",
    **{f"{key} · was null": _LIVES for key in ("peak_bytes", "memory", "bytes_moved", "depth")},
    **{f"polynomials.{key} · new": _LIVES for key in ("peak_bytes", "bytes_moved", "depth")},
    **{f"uncounted[{key}]": _LIVES for key in ("peak_bytes", "memory", "bytes_moved", "depth")},
    **{f"{key} · {change}": _LIVES for key in ("memory", "memory.at", "memory.categories", "memory.peak_bytes",
                                               "memory.saved_by_module", "uncounted") for change in ("new", "gone")},
    "memory.at · changed": _TABLES,
    **{f"{key} · changed": f"{_NO_CLASSES}; {_TABLES}" for key in ("memory.categories", "memory.peak_bytes",
                                                                 "peak_bytes", "polynomials.peak_bytes")},
    **{f"{key} · changed": _LIKE for key in ("bytes_moved", "polynomials.bytes_moved")},
    "saved_bytes · changed": _WIDE,
    "conventions.formats · new": _TABLES,
    "conventions.depth · changed": _WORDS,
    "lines[state].note · changed": _WORDS,
    "lines[parameters].note · changed": _WORDS,
    "lines[": _LINES,
    "polynomials.": _CHAIN,
}  # fmt: skip


def written() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every answer by formula, by a name that says what was asked."""
    import seqcost
    from seqcost.formulas.catalogue import CATALOGUE

    for name in CATALOGUE:
        for phase in PHASES:
            yield (
                f"{name} · {phase}",
                _answer(lambda name=name, phase=phase: seqcost.count(name, phase=phase, length=LENGTH)),
            )
    for name in ("attention-layer", "gpt2", "transformer-base", "mamba-130m", "vit-base-16"):
        for dtype in ("bfloat16", "float64"):
            asked = {"dtype": dtype, "batch": 3, "length": 77}
            yield (
                f"{name} · {dtype}",
                _answer(lambda name=name, asked=asked: seqcost.count(name, phase="train", **asked)),
            )
    for name in ("attention-layer", "gpt2", "encoder-decoder"):
        yield f"{name} · half", _answer(lambda name=name: seqcost.count(name, causal="half", length=LENGTH))


def traced(name: str) -> dict[str, Any]:
    """The answer for one of `TRACED`."""
    import seqcost

    asked = {"length": 256} | TRACED[name]
    target = asked.pop("target", name)
    if target.startswith("nn."):
        module, inputs = _module(target)
        return _answer(lambda: seqcost.count(module, inputs=inputs, **asked | {"length": None}))
    return _answer(lambda: seqcost.count(target, trace=True, **asked))


def _module(name: str) -> tuple[Any, tuple[Any, ...]]:
    import torch
    from torch import nn

    x_BTD = torch.zeros(2, 33, 16)
    ids_BT = torch.zeros(2, 33, dtype=torch.long)
    made: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "nn.Linear": (nn.Linear(16, 24), (x_BTD,)),
        "nn.Conv1d": (nn.Conv1d(16, 8, 3, padding=1), (x_BTD.mT.contiguous(),)),
        "nn.LSTM": (nn.LSTM(16, 12, num_layers=2, batch_first=True), (x_BTD,)),
        "nn.GRU": (nn.GRU(16, 12, bidirectional=True), (x_BTD,)),
        "nn.MultiheadAttention": (nn.MultiheadAttention(16, 4, batch_first=True), (x_BTD, x_BTD, x_BTD)),
        "nn.TransformerEncoderLayer": (nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), (x_BTD,)),
        "nn.EmbeddingBag": (nn.EmbeddingBag(50, 16, mode="mean"), (ids_BT,)),
        "nn.Sequential": (
            nn.Sequential(nn.Embedding(50, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 5)),
            (ids_BT,),
        ),
    }
    return made[name]


def _answer(ask: Any) -> dict[str, Any]:
    """As JSON has it; a refusal is an answer as well."""
    try:
        found = ask().to_dict()
    except Exception as error:  # noqa: BLE001  # whatever a checkout says belongs to its answer
        return {"refused": f"{type(error).__name__}: {error}"}
    return dict(json.loads(json.dumps(found)))


def write(folder: Path) -> None:
    """formulas.json, traced.json and lines.json in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lines.json").write_text(json.dumps(lines_by_room()))
    _write(folder / "formulas.json", dict(written()))
    answers: dict[str, Any] = {}
    for names in _batches(list(TRACED), 8):  # a few targets per process, so that its memory is given back
        started = subprocess.run([sys.executable, __file__, "traced", *names], stdout=subprocess.PIPE, check=True)
        answers |= json.loads(started.stdout)
    _write(folder / "traced.json", answers)


def lines_by_room() -> dict[str, list[int]]:
    """Files, lines and lines of the largest file of each room of the package; files at its door are one room."""
    import seqcost

    package = Path(str(seqcost.__file__)).parent
    rooms: dict[str, list[int]] = defaultdict(list)
    for file in package.rglob("*.py"):
        room, *rest = file.relative_to(package).parts
        rooms[room if rest else "(door)"].append(len(file.read_text(encoding="utf-8").splitlines()))
    return {room: [len(sizes), sum(sizes), max(sizes)] for room, sizes in rooms.items()}


def _lines_table(before: Mapping[str, list[int]], after: Mapping[str, list[int]]) -> Any:
    from seqcost.report.table import Table

    none = [0, 0, 0]
    cells = [[room, *before.get(room, none), *after.get(room, none)] for room in sorted(before.keys() | after.keys())]
    all_of = [sum(found[i] for found in side.values()) for side in (before, after) for i in (0, 1)]
    largest = [max(found[2] for found in side.values()) for side in (before, after)]
    cells.append(["all", *all_of[:2], largest[0], *all_of[2:], largest[1]])
    heads = ("<room", "files before", "lines", "largest file", "files after", "lines", "largest file")
    return Table.of("Lines of the package", heads, [[f"{c:,}" if isinstance(c, int) else c for c in r] for r in cells])


def _batches(names: list[str], most: int) -> Iterator[list[str]]:
    yield from (names[start : start + most] for start in range(0, len(names), most))


def _write(path: Path, answers: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(answers, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
    refused = [name for name, answer in answers.items() if "refused" in answer]
    print(f"{path}: {len(answers)} answers" + (f", refused: {', '.join(refused)}" if refused else ""))


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value under its key: rows of a list under their names, so that a new row moves no other."""
    if isinstance(value, dict):
        for word, inner in value.items():
            yield from leaves(inner, f"{key}.{word}" if key else word)
    elif isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        times: dict[str, int] = defaultdict(int)
        for row in value:
            name = " ".join(str(row[word]) for word in ("kind", "path", "name", "operator", "quantity") if word in row)
            times[name] += 1
            which = f"{name} #{times[name]}" if times[name] > 1 else name
            yield from leaves(
                {word: row[word] for word in row if word not in ("kind", "name")} or "", f"{key}[{which}]"
            )
    else:
        yield key, value


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, str, Any, Any]]:
    """(key, change, before, after) of one answer."""
    old, new = dict(leaves(before)), dict(leaves(after))
    for key in dict.fromkeys([*old, *new]):
        if key not in new:
            yield key, "gone", old[key], None
        elif key not in old:
            yield key, "new", None, new[key]
        elif old[key] != new[key]:
            change = "was null" if old[key] is None else "is null" if new[key] is None else "changed"
            yield key, change, old[key], new[key]


def general(key: str) -> str:
    """The key without the names of rows: what differences are grouped by."""
    head, bracket, rest = key.partition("[")
    if not bracket or head.startswith("polynomials."):
        return ".".join(head.split(".")[:2])
    inside, _, field = rest.rpartition("]")
    kind = inside.split(" ")[0]
    return f"{head}[{kind}]{field}"


def compare(before: Path, after: Path) -> None:
    """The page of all differences; the exit code is 1 where one of them has no reason."""
    from page import publish

    from seqcost.report.table import Table

    tables, asked, alike, unexplained = [], 0, 0, 0
    for file, title in (("formulas.json", "By formula"), ("traced.json", "By trace")):
        old, new = (json.loads((folder / file).read_text(encoding="utf-8")) for folder in (before, after))
        found: dict[tuple[str, str], list[tuple[str, str, Any, Any]]] = defaultdict(list)
        for name in old:
            asked += 1
            several = list(differences(old[name], new.get(name, {})))
            alike += not several
            for key, change, was, becomes in several:
                found[general(key), change].append((name, key, was, becomes))
        for name in new.keys() - old.keys():
            found["(the target)", "new"].append((name, "", None, None))
        cells = []
        for (key, change), where in sorted(found.items()):
            why = next((WHY[word] for word in WHY if f"{key} · {change}".startswith(word)), "")
            unexplained += not why
            name, whole, was, becomes = where[0]
            example = f"{name}: {whole}: {_short(was)} → {_short(becomes)}"
            cells.append(
                [key, change, f"{len(where):,}", _named(name for name, *_ in where), example, why or "unexplained"]
            )
        heads = ("<key", "<change", "values", "<answers", "<the first of them", "<why")
        tables.append(Table.of(title, heads, cells))
    tables.append(_lines_table(*(json.loads((folder / "lines.json").read_text()) for folder in (before, after))))
    words = (
        f"`count` of {asked} questions before and after: the whole catalogue in {len(PHASES)} phases at T = {LENGTH:,} "
        f"by formula, and {len(TRACED)} targets by trace. {alike} answers are the same in every key."
    )
    publish("same_answers", "The same answers", words, tables, f"Differences without a reason: {unexplained}.")
    raise SystemExit(1 if unexplained else 0)


def _named(names: Iterable[str]) -> str:
    distinct = list(dict.fromkeys(names))
    rest = f" and {len(distinct) - 6} more" if len(distinct) > 6 else ""
    return ", ".join(distinct[:6]) + rest


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 48 else f"{text[:32]}…{text[-12:]}"


if __name__ == "__main__":
    what, *given = sys.argv[1:]
    if what == "traced":
        print(json.dumps({name: traced(name) for name in given}))
    else:
        {"write": write, "compare": compare}[what](*(Path(folder) for folder in given))
