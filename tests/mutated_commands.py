"""Command lines with something odd in them, the same ones for the same seed and number: lengths, settings, options."""

import random

FAMILIES = ("lengths", "settings", "options")
TARGETS = (
    "lstm",
    "attention",
    "gpt2",
    "mamba",
    "gla",
    "conv",
    "vit-base-16",
    "transformer",
    "window",
    "retnet",
    "nothing",
    "",
)
SETTINGS = (
    "D",
    "H",
    "L",
    "U",
    "K",
    "V",
    "F",
    "N",
    "C",
    "W",
    "M",
    "S",
    "T",
    "B",
    "norm",
    "bias",
    "positions",
    "mixer",
    "x",
    "",
)
NUMBERS = (
    "0",
    "-1",
    "1",
    "2",
    "3",
    "7",
    "63",
    "64",
    "1e3",
    "1k",
    "128k",
    "1M",
    "10^30",
    "99999^999",
    "2^0",
    "9" * 400,
    "9" * 5000,
    "1.5",
    "-0.0",
    "nan",
    "inf",
    "1_000",
    "١٢",
    "0x10",
    "1e999",
    "+5",
    " 8 ",
    "8\n",
    "8\x1b[0m",
    "",
    "None",
    "true",
    "[1]",
    "{}",
    "1,2",
    "1..9",
    "9..1",
    "1..9+2",
    "1..64*2",
    "1..64*1",
    "1..10^6+1",
    "1..2..3",
    "1..",
    "..",
    "64,,64",
    "8G",
    "8T",
    "٣..٩",
    "=1+1",
    "a\\[/red]b",
    "\N{PILE OF POO}",
    "x" * 3000,
    "\ud800",
    "%s",
    "$(id)",
    "../../etc/passwd",
    "-",
    "--",
    "1" + " " * 500 + "2",
)
WORDS = (
    "forward",
    "train",
    "prefill",
    "decode",
    "float32",
    "bfloat16",
    "float64",
    "int8",
    "adamw",
    "sgd:momentum=0.9",
    "sgd:lr=x",
    "lbfgs",
    "adamw:foreach=maybe",
    "module",
    "operator",
    "line",
    "flops",
    "params",
    "half",
    "full",
    "auto",
    "D=n_embd",
    "rms",
    "layer",
    "learned",
    "rotary",
    "/dev/null/x",
    "/nowhere/x.csv",
    "hf:",
    "hf:gpt5",
)
OPTIONS = {
    "count": (
        "--length",
        "--batch",
        "--source",
        "--phase",
        "--dtype",
        "--causal",
        "--set",
        "--width",
        "--layers",
        "--heads",
        "--vocab",
        "--accumulate",
        "--by",
        "--rank",
        "--depth",
        "--explain",
        "--lines",
        "--parquet",
        "--timeline",
        "--strict",
        "--json",
        "--csv",
        "--trace",
        "--memory",
        "--nothing",
        "-x",
    ),
    "diff": (
        "--length",
        "--batch",
        "--phase",
        "--dtype",
        "--causal",
        "--set",
        "--set-a",
        "--set-b",
        "--width",
        "--lines",
        "--json",
        "--csv",
        "--nothing",
    ),
    "explain": ("--set", "--latex", "--json", "--csv", "--html", "--nothing"),
    "list": ("--json", "--csv", "--nothing"),
    "results": ("--store", "--export", "--json", "--csv"),
    "compare": ("--lengths", "--batch", "--phase", "--dtype", "--set", "--width", "--parquet", "--json", "--csv"),
}
FLAGS = ("--strict", "--json", "--csv", "--trace", "--memory", "--latex", "--nothing", "-x")
# What may not be left to chance: it would write a file, take long, or start a measurement.
_PLACES = ("--parquet", "--timeline", "--html", "--store", "--export")


def _odd(draw: random.Random) -> str:
    text = draw.choice(NUMBERS[2:12] if draw.random() < 0.3 else NUMBERS)
    if draw.random() < 0.3 and text:
        at = draw.randrange(min(len(text), 40))
        text = text[:at] + draw.choice("0123456789kMG^.,-+*e _\x00é٣=") + text[at + draw.randrange(2) :]
    return text


def mutated_command(family: str, seed: int, number: int) -> list[str]:
    """The words of one command."""
    draw = random.Random(f"{family}/{seed}/{number}")
    target = draw.choice(TARGETS[:10]) if draw.random() < 0.9 else draw.choice(TARGETS)
    shown = draw.choice(((), (), ("--json",), ("--csv",)))
    if family == "lengths":
        command = draw.choice(("count", "count", "diff"))
        targets = [target] if command == "count" else [target, target]
        words = ["--length", _odd(draw)] + (["--length", _odd(draw)] if draw.random() < 0.2 else [])
        phase = ["--phase", draw.choice(WORDS[:4])] if draw.random() < 0.3 else []
        return [command, *targets, *words, *phase, *shown]
    if family == "settings":
        command = draw.choice(("count", "count", "explain"))
        words = []
        for _ in range(draw.choice((1, 1, 2, 3))):
            value = draw.choice(WORDS) if draw.random() < 0.2 else _odd(draw)
            words += ["--set", f"{draw.choice(SETTINGS)}{draw.choice('====== ')}{value}"]
        return [command, target, *words, *(["--length", "8"] if command == "count" else []), *shown]
    command = draw.choice(tuple(OPTIONS))
    words = [command, *([target] * {"count": 1, "explain": 1, "diff": 2, "compare": 2}.get(command, 0))]
    for _ in range(draw.choice((1, 2, 3))):
        option = draw.choice(OPTIONS[command])
        words.append(option)
        if option in _PLACES:
            words.append(draw.choice(("/dev/null/x.csv", "/nowhere/x.png", "", "x\x00y", ".", "/proc/x.parquet")))
        elif option not in FLAGS:
            words.append(draw.choice(WORDS) if draw.random() < 0.5 else _odd(draw))
    if command == "count":
        words += ["--length", "8"]
    if command == "compare":
        words += ["--lengths", "8,16", "--csv", "--no-report"]
    return words
