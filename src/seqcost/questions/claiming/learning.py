"""Claims about training and about states that learn: 15, 17 and 19."""

from statistics import median

from seqcost.extras import need
from seqcost.progress import tell
from seqcost.questions.answers.claims import Evidence, Figure, Figures, Picture, Plotted, Ruling, Source
from seqcost.questions.claiming.asked import Asked, false, true, untold, when
from seqcost.questions.claiming.bench import Bench, Wanted, ratio
from seqcost.questions.claiming.costs import counted, curve, figure, formula, written

T = 512
PAIRS = {"minlstm": "lstm", "mingru": "gru"}
STEPS = {name: Wanted.of(f"{name}-layer", T, "train") for pair in PAIRS.items() for name in pair}
LOST = 1e-3  # of the last token's gradient: less than a thousandth of it
SEEDS = 5
NETWORKS = ("rnn", "lstm")


def minimal(bench: Bench) -> Evidence:
    """Claim 15: parameters, the chain of a training step, its time."""
    figures: dict[str, Figure] = {}
    for name, full in PAIRS.items():
        costs = {kind: counted(f"{kind}-layer", T, phase="train") for kind in (name, full)}
        figures[f"params_{name}"] = figure(
            f"parameters of {name} over {full}'s, D = 512", costs[name].params / costs[full].params, "×"
        )
        figures[f"depth_{name}"] = figure(
            f"longest chain of a training step, {name} over {full}, T = {T}", costs[name].depth / costs[full].depth, "×"
        )
        times = {kind: bench.time(STEPS[kind], f"a training step of {kind}, T = {T}") for kind in (name, full)}
        figures[f"step_{name}"] = ratio(
            f"time of a training step, {name} over {full}, T = {T}", times[name], times[full]
        )
    formulas = [
        written(f"parameters of {kind}", formula(f"{kind}-layer", "params")) for pair in PAIRS.items() for kind in pair
    ]
    chains = [
        f"longest chain of a training step of {kind} = {curve(f'{kind}-layer', 'depth', phase='train')}"
        for kind in STEPS
    ]
    return Evidence(formulas=(*formulas, *chains), figures=figures, beyond="how well they learn")


def rule_minimal(f: Figures) -> Ruling:
    """Three parts; each must hold of both."""
    holds = {
        part: all(f[f"{part}_{name}"].known and f[f"{part}_{name}"].most < 1 for name in PAIRS)
        for part in ("params", "depth", "step")
    }
    words = {
        "params": "fewer parameters (" + ", ".join(f"{f[f'params_{name}']}" for name in PAIRS) + ")",
        "depth": "a shorter chain of a training step (" + ", ".join(f"{f[f'depth_{name}']}" for name in PAIRS) + ")",
        "step": "a faster training step ("
        + ", ".join(f"{f[f'step_{name}']}" for name in PAIRS)
        + f" of the time at T = {T})",
    }
    measured = all(f[f"step_{name}"].known for name in PAIRS)
    held = [words[part] for part in holds if holds[part]]
    if all(holds.values()):
        return true(f"{', '.join(held)}, over the LSTM's and the GRU's.")
    if not measured:
        why = next(f[f"step_{name}"].why for name in PAIRS if not f[f"step_{name}"].known)
        return untold(f"{', '.join(held)}; the time of a training step is not known: {why}.")
    failed = [words[part] for part in holds if not holds[part]]
    if held:
        return when(f"this is meant: {', '.join(held)}. Not on this machine, for both: {', '.join(failed)}.")
    return false(f"{', '.join(failed)}.")


def test_time(bench: Bench) -> Evidence:
    """Claim 17: cost and state of TTT beside an RNN's."""
    del bench
    flops = {name: curve(name, "flops") for name in ("ttt-linear", "ttt-mlp")}
    states = {name: counted(name, T, phase="decode").state_bytes for name in ("ttt-linear", "ttt-mlp", "rnn")}
    figures = {
        f"power_{name}": figure(f"power of T of the FLOPs of {name}", found.degree) for name, found in flops.items()
    }
    figures |= {
        f"state_{name}": figure(f"state of {name}, 2 layers of width 256", state, "B") for name, state in states.items()
    }
    figures |= {
        f"grows_{name}": figure(f"power of T of the state of {name}", curve(name, "state_bytes", phase="decode").degree)
        for name in flops
    }
    return Evidence(
        formulas=tuple(f"FLOPs of {name} of width 256, 2 layers = {found}" for name, found in flops.items()),
        figures=figures,
        beyond="whether a state expresses more: no model was trained here, and only one that was could tell",
    )


def rule_test_time(f: Figures) -> Ruling:
    """Linear cost and a state of one size are facts; how much it expresses is not in these figures."""
    names = ("ttt-linear", "ttt-mlp")
    if any(f[f"power_{name}"].value > 1 for name in names):
        return false("; ".join(f"{name} grows as T^{f[f'power_{name}']}" for name in names) + ".")
    if any(f[f"grows_{name}"].value > 0 for name in names):
        return false("; ".join(f"the state of {name} grows as T^{f[f'grows_{name}']}" for name in names) + ".")
    states = ", ".join(f"{f[f'state_{name}']} ({name})" for name in names)
    if all(f[f"state_{name}"].value > f["state_rnn"].value for name in names):
        return when(
            f"a larger state is meant by one that can express more: {states}, the same at every length, against an "
            f"RNN's {f['state_rnn']}. The cost is linear at every length; what the state expresses is not measured."
        )
    return false(f"the state is no larger than an RNN's {f['state_rnn']}: {states}.")


def gradients(bench: Bench) -> Evidence:
    """Claim 19: how much of the loss's gradient reaches the first token of a text."""
    lengths = (16, 64) if bench.quick else (16, 64, 256)
    found = {name: {n: first_token(name, n) for n in lengths} for name in (*NETWORKS, "transformer")}
    curves = tuple(
        Plotted(
            name,
            tuple(map(float, by)),
            tuple(one.value for one in by.values()),
            tuple(one.least for one in by.values()),
            tuple(one.most for one in by.values()),
        )
        for name, by in found.items()
    )
    figures = {f"{name}_short": by[lengths[0]] for name, by in found.items()}
    figures |= {name: by[lengths[-1]] for name, by in found.items()}
    figures["mean"] = first_token("rnn", lengths[-1], pool="mean")
    return Evidence(
        formulas=("norm of the loss's gradient at the first token over that at the last, of a fresh classifier",),
        figures=figures,
        pictures=(Picture("gradient at the first token over the last's", "", curves),),
        beyond="accuracy: these are networks at the start of training, with PyTorch's usual weights",
    )


def first_token(name: str, length: int, pool: str = "") -> Figure:
    """Gradient at the first token over that at the last; median of several draws of the weights, lowest to highest."""
    need("torch", "running a layer needs")
    import torch
    from torch import nn

    from seqcost.formulas.catalogue import configure
    from seqcost.layers import ClassHead, build

    tell(f"gradients of {name}, T = {length}")
    block, usual = ("transformer-block", "mean") if name == "transformer" else (f"{name}-layer", "last")
    pool = pool or usual
    config = configure(block, **{"D": 64, "H": 4, "causal": False} if name == "transformer" else {"D": 64})
    shares = []
    with torch.random.fork_rng(devices=[]):
        for seed in range(SEEDS):
            torch.manual_seed(seed)
            model = nn.Sequential(build(config), build(config), ClassHead(D=64, classes=2, pool=pool)).double()
            x = torch.randn(8, length, 64, dtype=torch.float64, requires_grad=True)  # float32 would end at 10^-45
            loss = nn.functional.cross_entropy(model(x), torch.arange(8) % 2)
            (slope,) = torch.autograd.grad(loss, x)
            first, last = slope[:, 0].norm(), slope[:, -1].norm()
            shares.append(float(first / last))
    return Figure(
        what=f"{name}, T = {length}, {pool} pooled",
        value=median(shares),
        unit="×",
        source=Source.RUN,
        low=min(shares),
        high=max(shares),
    )


def rule_gradients(f: Figures) -> Ruling:
    """Lost is less than a thousandth of what the last token gets."""
    lost = {name: f[name].most < LOST for name in (*NETWORKS, "transformer")}
    said = "; ".join(f"{f[name].what}: {f[name]}" for name in lost)
    if lost["transformer"]:
        return false(f"the Transformer's is lost as well: {said}.")
    cells = [name for name in NETWORKS if lost[name]]
    if cells and f["mean"].least >= LOST:
        return when(
            f"the {' or '.join(map(str.upper, cells))} ends in its last state: {said}. Of a mean over all states the "
            f"first token gets its share ({f['mean']}), though none through the steps between."
        )
    if len(cells) == len(NETWORKS):
        return true(f"at the first token there is, of the last one's gradient: {said}.")
    if cells:
        return when(f"the RNN is {cells[0].upper()}: {said}.")
    return false(f"no gradient is lost at these lengths: {said}.")


CLAIMS = (
    Asked(
        15, "minLSTM/minGRU need no backpropagation through time, have fewer parameters, and train faster.",
        minimal, rule_minimal, tuple(STEPS.values()),
    ),
    Asked(17, "TTT keeps linear cost while the state can express more with length.", test_time, rule_test_time),
    Asked(
        19, "A Transformer classifier handles longer text than an RNN, which loses its gradient on long inputs.",
        gradients, rule_gradients,
    ),
)  # fmt: skip
