"""Claims that set a Transformer beside a recurrent network: 4, 7, 9, 10 and 11."""

from dataclasses import replace

from seqcost.algebra import symbol
from seqcost.questions.answers.claims import Evidence, Figure, Figures, Picture, Plotted, Ruling, Source
from seqcost.questions.claiming.asked import Asked, false, true, untold, when
from seqcost.questions.claiming.bench import Bench, Wanted, ratio
from seqcost.questions.claiming.costs import (
    counted,
    curve,
    figure,
    formula,
    per_power,
    written,
)

CHAT, PAGE, BOOK = 64, 512, 4096  # tokens
SAME = 2.0  # within a factor of two either way: "about the same"
CLEARLY = 1.5  # times as fast
FAR = 2.0
CELLS = ("rnn", "lstm")
MODELS = ("transformer", *CELLS)
FORWARD = {(name, T): Wanted.of(name, T) for name in MODELS for T in (CHAT, PAGE, BOOK)}
ALONE = {(name, T): Wanted.of(name, T, alone=True) for name in MODELS for T in (CHAT, PAGE, BOOK)}
DECODE = {name: Wanted.of(name, CHAT, "decode") for name in MODELS}


STEPS = 512
PARALLEL = {
    "attention": Wanted.of("attention-layer", STEPS),
    "rnn": Wanted.of("rnn-layer", STEPS, N=1024),  # of as many FLOPs: 2·N·(D + N) = 8·D² + 4·D·T at T = D, N = 2·D
}


def at_once(bench: Bench) -> Evidence:
    """Claim 4: the longest chain of dependent operators, and the time of equal FLOPs."""
    chains = {name: curve(f"{name}-layer", "depth") for name in ("attention", "rnn")}
    times = {name: bench.time(wanted, f"{name} layer, T = {STEPS}") for name, wanted in PARALLEL.items()}
    step = counted("attention-layer", STEPS, phase="decode").depth
    flops = {name: figure(name, counted(w.name, w.T, **dict(w.sizes)).flops) for name, w in PARALLEL.items()}
    return Evidence(
        formulas=tuple(f"depth of the {name} layer = {found}" for name, found in chains.items()),
        figures={
            "attention": figure(f"dependent operators of attention over T = {STEPS}", chains["attention"](STEPS)),
            "attention_long": figure("the same over T = 65,536", chains["attention"](65_536)),
            "rnn": figure(f"dependent operators of an RNN over T = {STEPS}", chains["rnn"](STEPS)),
            "rnn_long": figure("the same over T = 65,536", chains["rnn"](65_536)),
            "generating": figure(f"dependent operators of attention that generates {STEPS} tokens", STEPS * step),
            "flops": ratio("FLOPs of the RNN that is timed over attention's", flops["rnn"], flops["attention"]),
            "time": ratio(
                f"time of an RNN of {dict(PARALLEL['rnn'].sizes)['N']:,} units over attention's, T = {STEPS}",
                times["rnn"], times["attention"],
            ),
        },
    )  # fmt: skip


def rule_at_once(f: Figures) -> Ruling:
    """Attention's chain does not grow, an RNN's does; generating is a chain for both."""
    if f["attention_long"].value > f["attention"].value:
        return false(f"attention's chain grows, too: {f['attention']} operators, then {f['attention_long']}.")
    if f["rnn_long"].value <= f["rnn"].value:
        return false(f"an RNN's chain does not grow: {f['rnn']} operators, then {f['rnn_long']}.")
    worth = f" Here an RNN of as many FLOPs takes {f['time']} the time of attention." if f["time"].known else ""
    if f["generating"].value > f["attention"].value:
        return when(
            f"the whole text is there (training, reading): {f['attention']} operators follow one another at any "
            f"length, an RNN's are {f['rnn']} at T = {STEPS}. A text that is generated goes step by step with both: "
            f"{f['generating']} for as many tokens.{worth}"
        )
    return true(f"{f['attention']} operators follow one another at any length, an RNN's are {f['rnn']}.{worth}")


def products(bench: Bench) -> Evidence:
    """Claim 7: products a step, and how they grow over the sequence."""
    D, N, T = symbol("D"), symbol("N"), symbol("T")
    a_product = 2 * D**2  # FLOPs of a D × D matrix and a vector
    found = {name: formula(f"{name}-layer") for name in CELLS}
    steps = {name: (amount / T / a_product).subs(N, D).simplify() for name, amount in found.items()}
    times = {name: {T_: bench.time(FORWARD[name, T_], name) for T_ in (PAGE, BOOK)} for name in CELLS}
    figures = {
        name: figure(f"matrix-vector products of an {name.upper()} step", int(step)) for name, step in steps.items()
    }
    figures |= {
        f"{name}_power": figure(f"power of T over the sequence, {name.upper()}", max(per_power(amount)))
        for name, amount in found.items()
    }
    figures |= {
        f"{name}_power_of_width": figure(
            f"power of D, {name.upper()}, as wide inside as outside", max(per_power(amount.subs(N, D), "D"))
        )
        for name, amount in found.items()
    }
    figures |= {
        f"{name}_time": ratio(
            f"{name.upper()}: time of 4,096 tokens over that of 512", times[name][BOOK], times[name][PAGE]
        )
        for name in CELLS
    }
    formulas = [written(f"FLOPs of an {name.upper()} layer", amount) for name, amount in found.items()]
    return Evidence(formulas=tuple(formulas), figures=figures)


def rule_products(f: Figures) -> Ruling:
    """Two and eight products, T and D² over the sequence."""
    counts = (f["rnn"].value, f["lstm"].value) == (2, 8)
    orders = all(f[f"{cell}_power"].value == 1 and f[f"{cell}_power_of_width"].value == 2 for cell in CELLS)
    said = f"an RNN step is {f['rnn']} products, an LSTM step {f['lstm']}"
    if counts and orders:
        return true(f"{said}, and there are as many steps as tokens.")
    if orders:
        return when(f"the orders are meant: {said}.")
    return false(f"{said}; over the sequence they grow with T to the power {f['rnn_power']} and {f['lstm_power']}.")


def chat(bench: Bench) -> Evidence:
    """Claim 9: short texts, each of two cells, reading and generating."""
    flops = {name: counted(name, CHAT).flops or 0 for name in MODELS}
    forward = {name: bench.time(FORWARD[name, CHAT], name) for name in MODELS}
    decode = {name: bench.time(DECODE[name], name) for name in MODELS}
    figures: dict[str, Figure] = {}
    for cell in CELLS:
        called = cell.upper()
        figures[f"flops_{cell}"] = figure(
            f"FLOPs of a Transformer over an {called}'s, T = {CHAT}", flops["transformer"] / flops[cell], "×"
        )
        figures[f"reading_{cell}"] = ratio(
            f"time of reading {CHAT} tokens, Transformer over {called}", forward["transformer"], forward[cell]
        )
        figures[f"a_step_{cell}"] = ratio(
            f"time of the step at T = {CHAT}, Transformer over {called}", decode["transformer"], decode[cell]
        )
    formulas = [f"FLOPs of {name}, width 256, 2 layers = {curve(name, 'flops')}" for name in MODELS]
    return Evidence(formulas=tuple(formulas), figures=figures)


def rule_chat(f: Figures) -> Ruling:
    """About the same is within a factor of two, whichever way."""
    known = {name: figure for name, figure in f.items() if figure.known}
    missing = next((f" Times are missing ({figure.why})." for figure in f.values() if not figure.known), "")
    same = {name for name, figure in known.items() if 1 / SAME <= figure.value <= SAME}
    said = "; ".join(f"{figure.what}: {figure}" for figure in known.values())
    if same == set(known):
        return true(f"all are within a factor of {SAME:g}: {said}.{missing}")
    if not same:
        return false(f"none is within a factor of {SAME:g}: {said}.{missing}")
    alike = "; ".join(f"{known[name].what}: {known[name]}" for name in known if name in same)
    unlike = "; ".join(f"{known[name].what}: {known[name]}" for name in known if name not in same)
    return when(f"it is about {alike}. Not within a factor of {SAME:g}: {unlike}.{missing}")


def translation(bench: Bench) -> Evidence:
    """Claim 10: thousands of tokens."""
    figures: dict[str, Figure] = {}
    for cell in CELLS:
        called = cell.upper()
        flops = {name: curve(name, "flops") for name in ("transformer", cell)}
        figures[f"flops_{cell}"] = figure(
            f"FLOPs of a Transformer over an {called}'s, T = 4,096",
            float(flops["transformer"](BOOK) / flops[cell](BOOK)),
            "×",
        )
        times = {name: bench.time(FORWARD[name, BOOK], name) for name in ("transformer", cell)}
        figures[f"time_{cell}"] = ratio(
            f"time of T = 4,096, Transformer over {called}", times["transformer"], times[cell]
        )
        short = {name: bench.time(FORWARD[name, PAGE], name) for name in ("transformer", cell)}
        figures[f"short_{cell}"] = ratio(
            f"time of T = 512, Transformer over {called}", short["transformer"], short[cell]
        )
    formulas = [f"FLOPs of {name}, width 256, 2 layers = {curve(name, 'flops')}" for name in MODELS]
    return Evidence(
        formulas=tuple(formulas),
        figures=figures,
        pictures=_drawn(bench, FORWARD, "width 256, 2 layers: forward, all cores"),
    )


def _drawn(bench: Bench, runs: dict[tuple[str, int], Wanted], title: str) -> tuple[Picture, ...]:
    curves = []
    for name in MODELS:
        found = {T: bench.time(runs[name, T], name) for T in (CHAT, PAGE, BOOK)}
        known = {T: one for T, one in found.items() if one.known}
        if known:
            low, high = (tuple(getattr(one, end) for one in known.values()) for end in ("least", "most"))
            curves.append(
                Plotted(name, tuple(map(float, known)), tuple(one.value for one in known.values()), low, high)
            )
    return (Picture(title, "s", tuple(curves)),) if curves else ()


def rule_translation(f: Figures) -> Ruling:
    """Clearly faster: by half, and all of the interval says so."""
    times = {cell: f[f"time_{cell}"] for cell in CELLS}
    if not all(time.known for time in times.values()):
        why = next(time.why for time in times.values() if not time.known)
        flops = "; ".join(f"{f[f'flops_{cell}'].what}: {f[f'flops_{cell}']}" for cell in CELLS)
        return untold(f"times are missing ({why}); {flops}.")
    clear = [cell for cell, time in times.items() if time.least >= CLEARLY]
    said = "; ".join(f"{time.what}: {time}{f' ({time.interval})' * bool(time.interval)}" for time in times.values())
    if len(clear) == len(CELLS):
        return true(f"{said}.")
    if clear:
        return when(f"the RNN is {' or '.join(cell.upper() for cell in clear)}: {said}.")
    if all(time.most < CLEARLY for time in times.values()):
        return false(f"{said}.")
    return untold(f"the intervals do not say: {said}.")


def alone(bench: Bench) -> Evidence:
    """Claim 11: one thread, and what all cores are worth to each."""
    figures: dict[str, Figure] = {}
    for T in (CHAT, PAGE, BOOK):
        one = {name: bench.time(ALONE[name, T], name) for name in MODELS}
        for cell in CELLS:
            figures[f"time_{cell}_{T}"] = ratio(
                f"one thread, T = {T:,}: Transformer over {cell.upper()}", one["transformer"], one[cell]
            )
    for name in MODELS:
        single = bench.time(ALONE[name, BOOK], name)
        figures[f"gain_{name}"] = ratio(
            f"{name}, T = {BOOK:,}: one thread over {bench.cores} thread{'s' * (bench.cores > 1)}",
            single,
            bench.time(FORWARD[name, BOOK], name),
        )
        flops = counted(name, BOOK).flops or 0
        figures[f"rate_{name}"] = rate(f"{name}, one thread, T = {BOOK:,}: FLOPs a second", flops, single)
    formulas = [f"FLOPs of {name}, width 256, 2 layers = {curve(name, 'flops')}" for name in MODELS]
    return Evidence(
        formulas=tuple(formulas),
        figures=figures,
        pictures=_drawn(bench, ALONE, "width 256, 2 layers: forward, one thread"),
    )


def rate(what: str, flops: int, time: Figure) -> Figure:
    """FLOPs a second."""
    if not time.known:
        return Figure(what=what, value=None, unit="FLOP/s", source=Source.MEASURED, why=time.why)
    low, high = (None, None) if time.low is None else (flops / time.most, flops / time.least)
    return replace(time, what=what, value=flops / time.value, unit="FLOP/s", low=low, high=high)


def rule_alone(f: Figures) -> Ruling:
    """Far less efficient: more than twice the time at one thread."""
    times = {name: figure for name, figure in f.items() if name.startswith("time_")}
    if not all(figure.known for figure in times.values()):
        why = next(figure.why for figure in times.values() if not figure.known)
        return untold(f"times at one thread are missing ({why}).")
    far = {name for name, figure in times.items() if figure.least >= FAR}
    said = "; ".join(f"{figure.what} {figure}" for figure in times.values())
    rates = "; ".join(str(f[f"rate_{name}"]) + f" ({name})" for name in MODELS)
    tail = (
        f" A FLOP of it is no dearer for that: {rates}."
        if f["rate_transformer"].value >= f["rate_rnn"].value
        else f" FLOPs a second: {rates}."
    )
    if far == set(times):
        return true(f"{said}.{tail}")
    if not far:
        return false(f"nowhere twice the time: {said}.{tail}")
    held = "; ".join(f"{times[name].what} {times[name]}" for name in times if name in far)
    rest = "; ".join(f"{times[name].what} {times[name]}" for name in times if name not in far)
    return when(f"{held}; but not {rest}.{tail}")


CLAIMS = (
    Asked(
        4, "Self-attention computes all positions at once; an RNN must go step by step.",
        at_once, rule_at_once, tuple(PARALLEL.values()),
    ),
    Asked(
        7, "One RNN step is two matrix-vector products, one LSTM step eight; both are O(N·H²) over the sequence.",
        products, rule_products, tuple(w for (name, T), w in FORWARD.items() if name in CELLS and T != CHAT),
    ),
    Asked(
        9, "In chat (N of tens to a hundred, below H) RNN and Transformer cost about the same.", chat, rule_chat,
        (*(w for (_, T), w in FORWARD.items() if T == CHAT), *DECODE.values()),
    ),
    Asked(
        10, "In long-text translation (N in the thousands) an RNN is clearly faster than a Transformer.",
        translation, rule_translation, tuple(FORWARD.values()),
    ),
    Asked(
        11,
        "The Transformer's cost is hidden by parallelism; on one machine that cannot run in parallel it is far less "
        "efficient than an RNN.",
        alone, rule_alone, (*ALONE.values(), *(w for (_, T), w in FORWARD.items() if T == BOOK)),
    ),
)  # fmt: skip
