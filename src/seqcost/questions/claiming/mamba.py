"""A question that users of Mamba ask: from which length on it is faster than a Transformer of its size, here."""

from collections.abc import Sequence

from seqcost.questions.answers.claims import Evidence, Figure, Figures, Picture, Plotted, Ruling, Source
from seqcost.questions.answers.comparison import Crossover, Standing
from seqcost.questions.answers.measurement import Measured
from seqcost.questions.answers.standings import crossovers, standings
from seqcost.questions.claiming.asked import Asked, false, true, untold, when
from seqcost.questions.claiming.bench import MODEL, Bench, Wanted, ratio
from seqcost.questions.claiming.costs import counted, curve, figure

LENGTHS = (256, 1024, 4096)
BLOCKS = 4  # Mamba's have half the parameters of a Transformer's
MAMBA = {T: Wanted.of("mamba", T, L=BLOCKS) for T in LENGTHS}
TRANSFORMER = {T: Wanted.of("transformer", T) for T in LENGTHS}


def overtaking(bench: Bench) -> Evidence:
    """Times of both over the lengths, and the crossover where the intervals are apart."""
    runs = {"transformer": TRANSFORMER, "mamba": MAMBA}
    points = [
        Measured(name, T, bench.runs[wanted])
        for name, by in runs.items()
        for T, wanted in by.items()
        if wanted in bench.runs
    ]
    found = [one for one in standings(points) if one.quantity == "time"]
    crossed = crossovers(points, found)
    mamba, transformer = counted("mamba", 1024, L=BLOCKS), counted("transformer", 1024)
    figures = {
        "params": figure("parameters of the Mamba over the Transformer's", mamba.params / transformer.params, "×")
    }
    for T in LENGTHS:
        times = {name: bench.time(by[T], f"{name}, T = {T:,}") for name, by in runs.items()}
        figures[f"time_{T}"] = ratio(
            f"time of a Mamba over a Transformer's, T = {T:,}", times["mamba"], times["transformer"]
        )
    figures["faster_at"] = _told("lengths at which the Mamba is told to be faster", found, "above")
    figures["slower_at"] = _told("lengths at which it is told to be slower", found, "below")
    figures["crossed"] = _crossed("the Transformer costs more from", crossed, "transformer")
    figures["crossed_back"] = _crossed("the Mamba costs more from", crossed, "mamba")
    return Evidence(
        formulas=(
            f"FLOPs of a Mamba of width 256, {BLOCKS} layers = {curve('mamba', 'flops', L=BLOCKS)}",
            f"FLOPs of a Transformer of width 256, {MODEL['L']} layers = {curve('transformer', 'flops')}",
        ),
        figures=figures,
        pictures=_drawn(bench, runs),
        beyond="a GPU with Mamba's own kernel: this is PyTorch's form of the scan on a CPU",
    )


def _told(what: str, found: Sequence[Standing], side: str) -> Figure:
    lengths = [T for one in found for T in getattr(one, side)]
    return Figure(what=what, value=len(lengths), source=Source.MEASURED, why=", ".join(f"T = {T:,}" for T in lengths))


def _crossed(what: str, crossed: Sequence[Crossover], rising: str) -> Figure:
    found = [one for one in crossed if one.rising == rising]
    if not found:
        return Figure(what=what, value=None, unit="tokens", source=Source.MEASURED, why="no crossover was told apart")
    one = found[-1]
    return Figure(
        what=what, value=one.length, unit="tokens", source=Source.MEASURED, low=one.length_low, high=one.length_high
    )


def _drawn(bench: Bench, runs: dict[str, dict[int, Wanted]]) -> tuple[Picture, ...]:
    curves = []
    for name, by in runs.items():
        found = {T: bench.time(wanted, name) for T, wanted in by.items()}
        known = {T: one for T, one in found.items() if one.known}
        if known:
            low, high = (tuple(getattr(one, end) for one in known.values()) for end in ("least", "most"))
            curves.append(Plotted(name, tuple(map(float, known)), tuple(o.value for o in known.values()), low, high))
    return (Picture("forward, one size, this machine", "s", tuple(curves)),) if curves else ()


def rule_overtaking(f: Figures) -> Ruling:
    """Only where intervals are apart on both sides is a crossover told."""
    times = {T: f[f"time_{T}"] for T in LENGTHS}
    if not all(time.known for time in times.values()):
        why = next(time.why for time in times.values() if not time.known)
        return untold(f"times are missing ({why}).")
    said = ", ".join(f"{time} at T = {T:,}" for T, time in times.items())
    said = f"over a Transformer's time ({f['params']} its parameters) it takes {said}"
    crossed = f["crossed"]
    if crossed.known:
        return when(f"the text is longer than {crossed} ({crossed.interval}): {said}.")
    if f["crossed_back"].known:
        back = f["crossed_back"]
        return when(f"the text is shorter than {back} ({back.interval}): {said}.")
    if f["faster_at"].value == len(LENGTHS):
        return true(f"at all lengths that were measured; {said}.")
    if f["slower_at"].value == len(LENGTHS):
        return false(f"not up to T = {LENGTHS[-1]:,}; {said}.")
    return untold(f"their intervals are not apart on both sides of any length; {said}.")


QUESTION = Asked(
    None,
    "A Mamba is faster than a Transformer of its size.",
    overtaking,
    rule_overtaking,
    (*MAMBA.values(), *TRANSFORMER.values()),
    tuple(f"state-spaces/mamba {thread}" for thread in (69, 156, 657, 678)),
)
