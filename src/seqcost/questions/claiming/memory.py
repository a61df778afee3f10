"""Claims about memory, and about how far one gets: 12, 14 and 20."""

from typing import Any

from seqcost.algebra.crossings import crossings
from seqcost.questions.answers.claims import Evidence, Figure, Figures, Ruling, Source
from seqcost.questions.answers.count import Count
from seqcost.questions.asked.request import Request
from seqcost.questions.claiming.asked import Asked, false, true, untold, when
from seqcost.questions.claiming.bench import Bench, Wanted, ratio
from seqcost.questions.claiming.costs import counted, curve, drawn, figure, grown
from seqcost.questions.claiming.recurrences import rate
from seqcost.questions.fitting.setup import Setup
from seqcost.questions.fitting.solver import Solver
from seqcost.questions.targets.resolve import resolve
from seqcost.records import this_environment

GIB = 2**30
BERT: dict[str, Any] = {"D": 768, "L": 12, "H": 12, "U": 30_522}
BATCH = 32  # that BERT is usually trained further with
ROOMS = (8, 16, 24, 80)  # GiB of common graphics processors
CLAIMED, NEAR = 512, 1.5  # tokens, and how far from them "about" goes
TRAINED = Wanted.of("transformer", 512, "train", once=True, implementation="materialised")
REVERSIBLE = {name: Wanted.of(name, 1024, "train", once=True) for name in ("reformer", "lsh")}
MILLION = 2**20
WEEK = 7 * 86_400.0
RATED = Wanted.of("transformer", 4096)


def square_memory(bench: Bench) -> Evidence:
    """Claim 12: powers of T, and the longest text that BERT trains on in common sizes of memory."""
    kinds = ("materialised", "fused")
    peaks = {kind: grown("encoder", "peak_bytes", phase="train", implementation=kind, **BERT) for kind in kinds}
    figures = {
        "flops": figure("power of T of the FLOPs", curve("encoder", "flops", **BERT).degree),
        "materialised": figure("power of T of the peak of training, scores written out", peaks["materialised"]),
        "fused": figure("power of T of that peak, fused attention", peaks["fused"]),
    }
    for kind in kinds:
        solver = _longest(kind, BATCH)
        for room in ROOMS:
            found = solver.largest(room * GIB).size
            figures[f"{kind}_{room}"] = figure(f"longest in {room} GiB, batch {BATCH}, {kind}", found, "tokens")
    alone = _longest("fused", 1).largest(24 * GIB).size
    figures["alone"] = figure("longest in 24 GiB, one sequence, fused", alone, "tokens")
    figures["measured"] = bench.peak(TRAINED, "measured peak of a training step, width 256, 2 layers, T = 512")
    by_formula = counted("transformer", 512, phase="train", implementation="materialised").peak_bytes
    figures["by_formula"] = figure("the same by formula", by_formula, "B")
    sizes = "width 768, 12 layers, one sequence"
    peak = curve("encoder", "peak_bytes", phase="train", implementation="materialised", **BERT)
    return Evidence(
        formulas=(
            f"FLOPs of BERT base ({sizes}) = {curve('encoder', 'flops', **BERT)}",
            f"peak of training it, scores written out = {peak} B",
        ),
        figures=figures,
        pictures=(
            drawn(
                "width 256, 2 layers: peak of training", "B", "peak_bytes",
                {"scores written out": "transformer", "fused attention": "transformer"}, phase="train",
                sizes=({"implementation": "materialised"}, {"implementation": "fused"}),
            ),
        ),
    )  # fmt: skip


def _longest(kind: str, B: int) -> Solver:
    subject = resolve("encoder", BERT | {"implementation": kind})
    return Solver(Setup(subject=subject, request=Request.of(phase="train", batch=B)), "length")


def rule_square_memory(f: Figures) -> Ruling:
    """Three parts: FLOPs, memory, and that the end is at about 512 tokens."""
    if f["flops"].value != 2:
        return false(f"FLOPs grow as T^{f['flops']}.")
    ends = {(kind, room): f[f"{kind}_{room}"] for kind in ("materialised", "fused") for room in ROOMS}
    near = [key for key, end in ends.items() if end.value and CLAIMED / NEAR <= end.value <= CLAIMED * NEAR]
    squares = [kind for kind in ("materialised", "fused") if f[kind].value == 2]
    said = ", ".join(f"{ends[kind, room]} ({kind}, {room} GiB)" for kind, room in ends)
    if len(squares) == 2 and len(near) == len(ends):
        return true(f"both grow as T²; the longest text of a batch of {BATCH} that BERT base trains on: {said}.")
    if not squares and not near:
        return false(f"memory grows as T^{f['materialised']}; a batch of {BATCH} ends at {said}.")
    parts = ["FLOPs are meant, which grow as T² either way"]
    parts += ["memory where the scores are written out"] * (squares == ["materialised"])
    held = ", ".join(f"{room} GiB with {kind} attention" for kind, room in near)
    parts += [f"512 tokens where a batch of {BATCH} is trained in {held}"] * bool(near)
    fused = "" if f["fused"].value == 2 else f" With fused attention memory grows as T^{f['fused']}."
    return when(f"{'; '.join(parts)}.{fused} Of BERT base: {said}; a single sequence in 24 GiB, fused: {f['alone']}.")


def reversible(bench: Bench) -> Evidence:
    """Claim 14: bytes kept by layer, and where LSH overtakes attention."""
    kept = {
        (name, L): figure(name, counted(name, 1024, L=L).saved_bytes, "B")
        for name in ("reformer", "lsh")
        for L in (2, 12)
    }
    attention, lsh = curve("attention-layer", "flops"), curve("lsh-layer", "flops")
    crossed = [c.length for c in crossings(("attention", attention), ("lsh", lsh)) if c.rising == "attention"]
    peaks = {
        name: bench.peak(wanted, f"peak of a training step of {name}, T = 1,024") for name, wanted in REVERSIBLE.items()
    }
    return Evidence(
        formulas=(
            f"kept for backward in 2 reversible layers of width 256 = {curve('reformer', 'saved_bytes')} B",
            f"kept in the same layers without = {curve('lsh', 'saved_bytes')} B",
            f"FLOPs of attention, D = 512 = {attention}",
            f"FLOPs of LSH attention, D = 512 = {lsh}",
        ),
        figures={
            "kept": ratio("kept for backward, 12 reversible layers over plain", kept["reformer", 12], kept["lsh", 12]),
            "reversible": ratio("12 reversible layers over 2", kept["reformer", 12], kept["reformer", 2]),
            "plain": ratio("12 plain layers over 2", kept["lsh", 12], kept["lsh", 2]),
            "attention": figure("power of T of attention's FLOPs", attention.degree),
            "lsh": figure("power of T of LSH attention's FLOPs", lsh.degree),
            "cheaper_from": Figure(
                what="LSH attention takes less FLOPs than attention from, D = 512",
                value=crossed[-1] if crossed else None,
                unit="tokens", why="" if crossed else "at no length",
            ),
            "peak": ratio("measured peak of a training step, reversible over plain", peaks["reformer"], peaks["lsh"]),
        },
    )  # fmt: skip


def rule_reversible(f: Figures) -> Ruling:
    """Memory is cut at any length, cost only from where the curves cross."""
    cut = f["kept"].value < 1
    peak = f" (measured, the peak of 2 layers: {f['peak']})" if f["peak"].known else ""
    memory = f"reversible layers keep {f['kept']} in 12 layers{peak}"
    if not cut:
        return false(f"{memory}.")
    if f["lsh"].value >= f["attention"].value or not f["cheaper_from"].known:
        return when(f"memory is meant: {memory}; LSH costs as much as attention at every length.")
    if f["cheaper_from"].value <= 1:
        return true(f"{memory}; LSH costs less at every length.")
    return when(
        f"large lengths are those from {f['cheaper_from']} on, where LSH attention begins to cost less (D = 512); "
        f"{memory}, at every length."
    )


def million(bench: Bench) -> Evidence:
    """Claim 20: FLOPs, cache and peak of three Transformers at a million tokens, and the remedies."""
    machine = this_environment().memory_bytes
    time = bench.time(RATED, "time of T = 4,096")
    speed = rate(
        "FLOPs a second of the Transformer of width 256 here, T = 4,096", counted("transformer", 4096).flops or 0, time
    )
    figures = {
        "speed": speed,
        "memory": Figure(what="memory of this machine", value=machine, unit="B", source=Source.RUN),
    }
    for key, (called, name, sizes) in READERS.items():
        read = counted(name, MILLION, phase="prefill", **sizes)
        step = counted(name, MILLION, phase="decode", **sizes)
        figures[f"flops_{key}"] = figure(f"{called}: FLOPs", read.flops, "FLOP")
        figures[f"cache_{key}"] = figure(f"{called}: cache", step.state_bytes, "B")
        figures[f"peak_{key}"] = figure(f"{called}: peak of reading it at once", read.peak_bytes, "B")
        figures[f"at_{key}"] = figure(f"{called}: where that peak is", _most(read))
        figures[f"time_{key}"] = _seconds(f"{called}: time at that rate", read.flops or 0, speed)
    for name, wanted in REMEDIES.items():
        sizes = dict(wanted.sizes)
        read = counted(name, MILLION, phase="prefill", **sizes)
        own = rate(name, counted(name, RATED.T, **sizes).flops or 0, bench.time(wanted, name))
        figures[f"flops_{name}"] = figure(f"{name}, width 256, {sizes['L']} layers: FLOPs", read.flops, "FLOP")
        figures[f"cache_{name}"] = figure(f"{name}: state", read.state_bytes, "B")
        figures[f"time_{name}"] = _seconds(f"{name}: time at its own rate, T = 4,096", read.flops or 0, own)
    formulas = [f"FLOPs of {called} = {curve(name, 'flops', **sizes)}" for called, name, sizes in READERS.values()]
    return Evidence(
        formulas=tuple(formulas),
        figures=figures,
        beyond=(
            "time at a million tokens: it is the FLOPs over a rate that was measured at T = 4,096. A GPU is another "
            "machine: ask seqcost predict"
        ),
    )


READERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "small": ("a Transformer of width 256, 2 layers", "transformer", {}),
    "gpt2": ("one of GPT-2's size", "transformer", {"D": 768, "L": 12, "H": 12, "U": 50_257}),
    "llama": ("Llama 3 8B", "llama-3-8b", {}),
}
REMEDIES = {name: Wanted.of(name, RATED.T) for name in ("window", "linear-attention", "lstm")} | {
    "mamba": Wanted.of(
        "mamba", RATED.T, L=4
    )  # two of its layers for one of the others', which have a feed-forward part
}


def _most(read: Count) -> str:
    """Where a peak is."""
    at = (read.memory or {})["at"]
    return f"{at['operator']} in {at['path']}" if at["path"] else str(at["operator"])


def _seconds(what: str, flops: int, speed: Figure) -> Figure:
    if not speed.known:
        return Figure(what=what, value=None, unit="s", source=Source.MEASURED, why=speed.why)
    low, high = (None, None) if speed.low is None else (flops / speed.most, flops / speed.least)
    return Figure(
        what=what, value=flops / speed.value, unit="s", source=Source.MEASURED, low=low, high=high, busy=speed.busy
    )


def rule_million(f: Figures) -> Ruling:
    """It can be run if it fits in this machine and ends within a week."""
    names = {key: called for key, (called, *_) in READERS.items()}
    if not f["speed"].known:
        fits = [names[key] for key in names if f[f"peak_{key}"].value <= f["memory"].value]
        return untold(
            f"no time is known ({f['speed'].why}); in {f['memory']} fits: {', '.join(fits) or 'none of them'}."
        )
    runs: list[str] = []
    fails: list[str] = []
    for key, called in names.items():
        fits = f[f"peak_{key}"].value <= f["memory"].value
        ends = f[f"time_{key}"].value <= WEEK
        said = f"{called} ({f[f'peak_{key}']}, {f[f'time_{key}']})"
        (runs if fits and ends else fails).append(said)
    remedies = ", ".join(f"{name} {f[f'time_{name}']} with {f[f'cache_{name}']}" for name in REMEDIES)
    tail = f" Of width 256, with a state instead of a cache or with a window: {remedies}."
    if not runs:
        return true(f"none of these fits in {f['memory']} and ends within a week: {'; '.join(fails)}.{tail}")
    if not fails:
        return false(f"all of these fit and end within a week: {'; '.join(runs)}.{tail}")
    return when(f"it is {'; '.join(fails)}. What can be run within a week here: {'; '.join(runs)}.{tail}")


CLAIMS = (
    Asked(
        12,
        "Memory and compute of full attention grow with the square of the length; common hardware stops at about 512 "
        "tokens.",
        square_memory, rule_square_memory, (TRAINED,),
    ),
    Asked(
        14, "Reversible layers cut the memory; LSH cuts the cost of attention at large lengths.",
        reversible, rule_reversible, tuple(REVERSIBLE.values()),
    ),
    Asked(
        20, "A million-token book cannot be run through a Transformer.",
        million, rule_million, (RATED, *REMEDIES.values()),
    ),
)  # fmt: skip
