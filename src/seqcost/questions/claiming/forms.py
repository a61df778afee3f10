"""Claims about the forms of attention: heads, plain Python, as an RNN, converted into one: 5, 6, 16 and 18."""

from typing import Any

from seqcost.algebra import Curve, symbol
from seqcost.extras import need
from seqcost.questions.answers.claims import Evidence, Figure, Figures, Ruling, Source
from seqcost.questions.claiming.asked import Asked, false, true, when
from seqcost.questions.claiming.bench import LAYER, Bench, ratio
from seqcost.questions.claiming.costs import counted, curve, figure, formula, written
from seqcost.questions.claiming.plain import attention
from seqcost.questions.claiming.timing import timed

TOKENS = 48
EQUAL = 1e-4  # largest relative error of two forms that are one, in float32
FAR = 10.0  # times as slow: far slower
SMALL = {"D": 64, "H": 4}


def run_here(what: str, value: Any, unit: str = "") -> Figure:
    """What a layer that was run has shown."""
    return Figure(what=what, value=value, unit=unit, source=Source.RUN)


def heads(bench: Bench) -> Evidence:
    """Claim 5: the shapes that the kernel is handed, and whether heads change the FLOPs."""
    del bench
    need("torch", "running a layer needs")
    total = formula("attention-layer")
    queries, H = _queries()
    return Evidence(
        formulas=(
            written(
                "FLOPs of multi-head attention, K = D/H",
                total.subs({symbol("K"): symbol("D") / symbol("H"), symbol("G"): symbol("H")}),
            ),
        ),
        figures={
            "tokens": figure("tokens of the layer's input", TOKENS),
            "width": figure("its width", LAYER["D"]),
            "heads": run_here("heads that the kernel is handed", H),
            "tokens_a_head": run_here("tokens of each head", queries[0]),
            "width_a_head": run_here("features of each head", queries[1]),
            "flops": figure(
                "FLOPs of 16 heads over those of 1, T = 1,024",
                (counted("attention-layer", 1024, H=16).flops or 0)
                / (counted("attention-layer", 1024, H=1).flops or 1),
                "×",
            ),
        },
    )


def _queries() -> tuple[tuple[int, int], int]:
    """Tokens and width of one head as the fused kernel of a layer gets them, and how many heads."""
    import torch
    from torch.overrides import TorchFunctionMode

    from seqcost.formulas.catalogue import configure
    from seqcost.layers import build

    shapes: list[tuple[int, ...]] = []

    class Watching(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if getattr(function, "__name__", "") == "scaled_dot_product_attention":
                shapes.append(tuple(args[0].shape))
            return function(*args, **(kwargs or {}))

    with torch.no_grad(), torch.random.fork_rng(devices=[]), Watching():
        build(configure("attention-layer", **LAYER))(torch.zeros(1, TOKENS, LAYER["D"]))
    _, H, T, K = shapes[0]
    return (T, K), H


def rule_heads(f: Figures) -> Ruling:
    """What a head has less of than the layer is what is split."""
    sequence = f["tokens_a_head"].value * f["heads"].value == f["tokens"].value
    width = f["width_a_head"].value * f["heads"].value == f["width"].value
    if sequence and not width:
        return true(f"each of {f['heads']} heads gets {f['tokens_a_head']} of {f['tokens']} tokens.")
    if width and f["tokens_a_head"].value == f["tokens"].value:
        return false(
            f"heads split the width: each of {f['heads']} gets all {f['tokens_a_head']} tokens and {f['width_a_head']} "
            f"of {f['width']} features, so that 16 heads cost {f['flops']} what one costs."
        )
    return when(f"each of {f['heads']} heads gets {f['tokens_a_head']} tokens of {f['width_a_head']} features.")


def in_python(bench: Bench) -> Evidence:
    """Claim 6: one head by loops, and the same by PyTorch's kernel."""
    need("torch", "running a layer needs")
    import torch

    T, K = (32, 32) if bench.quick else (128, 64)
    q, k, v = (torch.randn(1, T, K, generator=torch.Generator().manual_seed(i)) for i in range(3))
    lists = [x[0].tolist() for x in (q, k, v)]
    fused = torch.nn.functional.scaled_dot_product_attention(q, k, v)[0]
    error = (torch.tensor(attention(*lists)) - fused).abs().max() / fused.abs().max()
    loops = timed(f"one head in plain Python, T = {T}, K = {K}", lambda: attention(*lists))
    kernel = timed("the same in PyTorch", lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v))
    flops = 4 * T * T * K
    return Evidence(
        formulas=(written("FLOPs of one head", 4 * symbol("K") * symbol("T") ** 2),),
        figures={
            "error": run_here("largest relative difference of the two results", float(error)),
            "python": loops,
            "torch": kernel,
            "times": ratio("plain Python over PyTorch", loops, kernel),
            "rate": run_here("FLOPs a second in plain Python", flops / loops.value, "FLOP/s"),
        },
        beyond="the ratio is that of a small size, at which a call into PyTorch is a good part of its time",
    )


def rule_in_python(f: Figures) -> Ruling:
    """Far slower is ten times; only of the same result."""
    if f["error"].value > EQUAL:
        return false(f"the two do not compute the same: they differ by {f['error']}.")
    times = f["times"]
    if times.least >= FAR:
        return true(f"{times} as long for the same result ({f['rate']}).")
    if times.least > 1:
        return when(f"far slower may mean {times} as long.")
    return false(f"plain Python takes {times} the time.")


def as_an_rnn(bench: Bench) -> Evidence:
    """Claim 16: Aaren whole and in steps, and how its state grows."""
    del bench
    error, states = _stepped("aaren-layer")
    return Evidence(
        formulas=(
            written("state of Aaren, bytes", formula("aaren-layer", "state_bytes")),
            written("cache of attention, bytes", formula("attention-layer", "state_bytes")),
        ),
        figures={
            "power": figure("power of T of Aaren's state", curve("aaren-layer", "state_bytes", phase="decode").degree),
            "attention": figure(
                "power of T of attention's cache", curve("attention-layer", "state_bytes", phase="decode").degree
            ),
            "error": run_here(f"largest relative difference, whole against {TOKENS} steps", error),
            "short": run_here("state after 8 tokens, D = 64", states[0], "B"),
            "long": run_here(f"state after {TOKENS} tokens", states[1], "B"),
        },
    )


def _stepped(name: str) -> tuple[float, tuple[int, int]]:
    """Relative difference of a layer's whole pass and its steps; bytes of its state after 8 and after all tokens."""
    need("torch", "running a layer needs")
    import torch

    from seqcost.formulas.catalogue import configure
    from seqcost.layers import build

    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = build(configure(name, **SMALL))
        x = torch.randn(2, TOKENS, SMALL["D"])
        whole, state, out, sizes = layer(x), layer.init_state(2), [], []
        for t in range(TOKENS):
            y, state = layer.step(x[:, t], state)
            out.append(y)
            sizes.append(state.nbytes)
        error = (torch.stack(out, 1) - whole).abs().max() / whole.abs().max()
    return float(error), (sizes[7], sizes[-1])


def _cache() -> Curve:
    return curve("attention-layer", "state_bytes", phase="decode")


def rule_as_an_rnn(f: Figures) -> Ruling:
    """The forms are one, the state does not grow; that of attention with a query a token does."""
    if f["error"].value > EQUAL:
        return false(f"the whole pass and the steps differ by {f['error']}.")
    if f["power"].value > 0 or f["long"].value > f["short"].value:
        return false(f"the state grows: {f['short']} after 8 tokens, {f['long']} after {TOKENS}.")
    same = f"whole and in steps it gives the same (to {f['error']}), its state stays at {f['long']}"
    if f["attention"].value > 0:
        return when(
            f"one learned query asks for all tokens, as in Aaren: {same}. Where each token asks with a query of its "
            f"own, as in a Transformer, what is kept grows as T^{f['attention']}."
        )
    return true(f"{same}.")


def converted(bench: Bench) -> Evidence:
    """Claim 18: SUPRA's state, and how many of attention's weights it keeps."""
    del bench
    error, states = _stepped("supra-layer")
    weights = {
        name: {line.name: line.amount for line in counted(f"{name}-layer", 1024).bills.params}
        for name in ("supra", "attention")
    }
    shared = sum(n for name, n in weights["attention"].items() if weights["supra"].get(name) == n)
    return Evidence(
        formulas=(
            written("state of SUPRA, bytes", formula("supra-layer", "state_bytes")),
            written("cache of attention, bytes", formula("attention-layer", "state_bytes")),
        ),
        figures={
            "power": figure("power of T of SUPRA's state", curve("supra-layer", "state_bytes", phase="decode").degree),
            "attention": figure("power of T of attention's cache", _cache().degree),
            "equal_at": figure(
                "attention's cache is larger from, D = 512, H = 8",
                _overtakes(), "tokens",
            ),
            "error": run_here(f"largest relative difference, whole against {TOKENS} steps", error),
            "short": run_here("state after 8 tokens, D = 64", states[0], "B"),
            "long": run_here(f"state after {TOKENS} tokens", states[1], "B"),
            "weights": figure(
                "share of attention's weights that have their like in SUPRA",
                100 * shared / sum(weights["attention"].values()), "%",
            ),
        },
        beyond="whether a converted model is as good as the one that it came from: no weights were converted here",
    )  # fmt: skip


def _overtakes() -> int:
    """First length at which attention's cache is larger than SUPRA's state."""
    cache, state = _cache(), curve("supra-layer", "state_bytes", phase="decode")
    return int(state(1024) // (cache(1025) - cache(1024))) + 1


def rule_converted(f: Figures) -> Ruling:
    """The memory is judged; the quality of a converted model is not ours to see."""
    if f["error"].value > EQUAL:
        return false(f"the whole pass and the steps differ by {f['error']}.")
    if f["power"].value > 0 or f["long"].value > f["short"].value:
        return false(f"the state grows: {f['short']} after 8 tokens, {f['long']} after {TOKENS}.")
    return when(
        f"memory is meant: the state stays the same at every length (attention's cache, which grows as "
        f"T^{f['attention']}, is larger from {f['equal_at']} on), and {f['weights']} of attention's weights have their "
        "like. That a converted model is as good as before is not shown by this."
    )


CLAIMS = (
    Asked(
        5, "Multi-head attention splits the sequence into sub-sequences and works on them in parallel.",
        heads, rule_heads,
    ),
    Asked(
        6, "Written in plain Python, a Transformer is far slower than on a compiled framework.",
        in_python, rule_in_python,
    ),
    Asked(16, "Attention can be computed as an RNN in constant memory (Aaren).", as_an_rnn, rule_as_an_rnn),
    Asked(
        18, "A pretrained Transformer can be turned into an RNN (SUPRA); decoding then needs constant memory.",
        converted, rule_converted,
    ),
)  # fmt: skip
