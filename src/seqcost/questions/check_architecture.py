"""Is an architecture what the catalogue asks for? Formula = trace = layer, at small sizes, as one table.

What every architecture of the catalogue is held to, for one that is being written or that another package registered:
its formula in all readings, its formula against the trace of its layer in every phase, its layer against its own
definition and against the invariants of a sequence model. The tests of this package go further for its own: sizes drawn
at random, number formats, `torch.export`, `torch.compile`, extremes.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from seqcost.extras import need

need("torch", "a check runs the layer, which needs")

import torch
from torch import Tensor

from seqcost.algebra import Bill, Kind, sweep, symbols
from seqcost.algebra.quantity import QUANTITIES, Told
from seqcost.errors import BadTarget, SeqcostError
from seqcost.formulas.catalogue import configure, entry
from seqcost.formulas.core.component import Component
from seqcost.formulas.core.workload import Workload
from seqcost.layers import Layer, build
from seqcost.questions.asked.arguments import sizes_in
from seqcost.questions.check import check
from seqcost.questions.count import count
from seqcost.questions.invariants.bench import Row, all_hold, tried
from seqcost.questions.targets.catalogue import Named, resolve_sizes
from seqcost.questions.targets.traced import answer_of
from seqcost.trace import trace
from seqcost.trace.rungs import untouched_random_state

SMALL = {"D": 16, "H": 2, "C": 4, "J": 2}  # where the config has them: several heads, chunks that lengths break
LENGTHS = (1, 2, 13, 33)  # tokens: one, and no whole chunks
FOLLOWED = LENGTHS[1:]  # at which formula and trace are compared; of one token autograd leaves sums out
BATCH, SOURCE = 2, 5
PHASES = ("forward", "train", "prefill", "decode")
OF_DECODING = ("state_bytes", "step_flops")
QUESTIONS = tuple(row.name for row in QUANTITIES.told(Told.PAGE) if row.name not in (*OF_DECODING, "params"))
TOLERANCE = 1e-4


@dataclass(frozen=True)
class CheckedArchitecture:
    """The answer: one row per requirement."""

    name: str
    sizes: Mapping[str, Any]
    rows: tuple[Row, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing fails or raises."""
        return all_hold(self.rows)

    @property
    def title(self) -> str:
        """What was tried."""
        sizes = ", ".join(f"{letter} = {size}" for letter, size in self.sizes.items())
        return f"{self.name} with {sizes}; B = {BATCH}, T = {', '.join(map(str, LENGTHS))}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.name, "sizes": dict(self.sizes), "sound": self.sound, "rows": [vars(row) for row in self.rows],
        }  # fmt: skip

    def __str__(self) -> str:
        wrong = [row for row in self.rows if row.verdict in ("fails", "raises")]
        told = [f"{row.what} {row.verdict}: {row.remark}".rstrip(": ") for row in wrong]
        return "\n".join([self.title, *(told or [f"all {len(self.rows)} requirements hold"])])

    def _repr_html_(self) -> str:
        from seqcost.report.checks import check_table
        from seqcost.report.notebook import in_notebook

        return in_notebook([check_table(self.rows, self.title)])


def check_architecture(name: str, *, sizes: Mapping[str, Any] | None = None) -> CheckedArchitecture:
    """Hold an architecture to what the catalogue asks: formula, trace and layer agree, the layer carries on rightly.

    Parameters
    ----------
    name
        A name of the catalogue or a registered one; `NAME` stands for its layer, `NAME-layer`.
    sizes
        Small sizes to try it with, where the defaults do not fit: {"D": 16, "H": 2, "C": 4, "J": 2}, those that it
        has.

    Raises
    ------
    UnknownName, BadSize
        For a name or sizes that are not allowed.
    BadTarget
        For a name that is no single layer or block.

    Examples
    --------
    >>> print(check_architecture("gru", sizes={"D": 8}).sound)
    True

    """
    name = f"{name}-layer" if isinstance(name, str) and _is_known(f"{name}-layer") else name
    found = entry(name)
    if found.group not in ("mixer", "part", "block"):
        raise BadTarget(f"{name} was given, a {found.group}; the layer of an architecture is allowed: lstm-layer.")
    small = {letter: size for letter, size in SMALL.items() if letter in found.fields}
    given = resolve_sizes(name, sizes_in(sizes))
    own = small | given
    config = configure(name, **own)
    with untouched_random_state():
        torch.manual_seed(0)
        rows = [*_formula(name, config, own), *_against_trace(name, config, own), *_layer(config)]
    if not config.takes_source:
        rows += check(name, sizes={k: own[k] for k in own if k != "C" or k in given}, tolerance=TOLERANCE).rows
    return CheckedArchitecture(name, {k: v for k, v in config.sizes().items() if v is not None}, tuple(rows))


def _is_known(name: str) -> bool:
    try:
        entry(name)
    except SeqcostError:
        return False
    return True


def _row(what: str, wrong: Callable[[], str | None]) -> Row:
    """A requirement; `wrong` gives what is not so, or nothing."""

    def ask() -> Row:
        found = wrong()
        return Row(what, "fails" if found else "holds", remark=found or "")

    return tried(what, ask)


def _answers(config: Component, **sizes: Any) -> dict[str, Bill]:
    run = Workload(**({"S": SOURCE} if config.takes_source else {}) | sizes)
    asked = (*QUESTIONS, *(OF_DECODING if config.decodes else ()))
    return {"params": config.params()} | {question: getattr(config, question)(run) for question in asked}


def _totals(bills: Mapping[str, Bill]) -> dict[str, Any]:
    return {question: bill.total(*Kind) for question, bill in bills.items()}


def _formula(name: str, config: Component, own: Mapping[str, Any]) -> Iterator[Row]:
    """The formula by itself: where it is from, one answer in all readings, growing with the length."""

    def sourced() -> str | None:
        missing = [word for word in ("SOURCE", "EQUATIONS") if not getattr(config, word, "")]
        return f"{' and '.join(missing)} of its config is empty" if missing else None

    def symbolic() -> str | None:
        letters = symbols(letter for letter in own if isinstance(own[letter], int) and letter != "C")
        at = {"B": BATCH, "T": 13} | {letter: own[letter] for letter in letters}
        by_symbol = _answers(entry(name).make(**dict(own) | letters), **symbols("BT"))
        numbers = _totals(_answers(config, B=BATCH, T=13))
        return _first({q: bill.substitute(**at).total(*Kind) for q, bill in by_symbol.items()}, numbers)

    def swept() -> str | None:
        columns = _totals(_answers(config, B=BATCH, T=sweep(LENGTHS, exact=True)))
        for i, T in enumerate(LENGTHS):
            at_T = {q: v if isinstance(v, int) else v[i] for q, v in columns.items()}
            if wrong := _first(at_T, _totals(_answers(config, B=BATCH, T=T))):
                return f"{wrong} at T = {T}"
        return None

    def growing() -> str | None:
        asked = [_totals(_answers(config, B=BATCH, T=T)) for T in (*LENGTHS, 10**6)]
        falls = [q for q in asked[0] if any(b[q] < a[q] for a, b in itertools.pairwise(asked))]
        return f"{falls[0]} falls as T grows" if falls else None

    yield _row("source and equations are named", sourced)
    yield _row("symbol = number", symbolic)
    yield _row("sweep = number", swept)
    yield _row("costs grow with the length", growing)


def _first(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str | None:
    for question, value in theirs.items():
        if ours[question] != value:
            return f"{question}: {ours[question]} instead of {value}"
    return None


def _against_trace(name: str, config: Component, own: Mapping[str, Any]) -> Iterator[Row]:
    """One row per phase: every quantity that both sides can tell."""
    source = SOURCE if config.takes_source else None
    target = Named(name, own).recipe(source)

    def compared(phase: str) -> str | None:
        counts = count(name, length=FOLLOWED, batch=BATCH, source=source, phase=phase, sizes=own)
        for T, counted in zip(FOLLOWED, counts, strict=True):
            seen = trace(target, phase=phase, B=BATCH, T=T, lengths=())
            if seen.uncounted:
                missing = ", ".join(dict.fromkeys(row.operator for row in seen.uncounted))
                return f"the trace has no formula for {missing}; give one by seqcost.register_operator"
            followed = answer_of(target, {}, seen, None)
            for quantity in QUANTITIES.names(Told.COUNT):
                by_formula, by_trace = counted.amount(quantity), followed.amount(quantity)
                if by_formula is not None and by_trace is not None and by_formula != by_trace:
                    return f"{quantity} at T = {T}: {by_formula:,} by formula, {by_trace:,} by trace"
        return None

    for phase in PHASES:
        what = f"formula = trace: {phase}"
        if phase in ("prefill", "decode") and not config.decodes:
            yield Row(what, "not asked", remark="it carries nothing")
        else:
            yield _row(what, partial(compared, phase))


def _layer(config: Component) -> Iterator[Row]:
    """The layer against its own definition."""
    layer = build(config)
    with torch.no_grad():
        for weight in layer.parameters():  # no weight is 0 or 1, so that none can be forgotten unseen
            weight.add_(0.1 * torch.randn_like(weight))

    def of(T: int, kind: torch.dtype = torch.float64) -> tuple[Layer, tuple[Tensor, ...]]:
        made = build(config).to(kind)
        made.load_state_dict(layer.state_dict())
        inputs = made.example_inputs(BATCH, T, SOURCE) if config.takes_source else made.example_inputs(BATCH, T)
        return made, tuple(x.detach().to(kind) if x.is_floating_point() else x for x in inputs)

    def parameters() -> str | None:
        held = sum(weight.numel() for weight in layer.parameters())
        counted = config.params().total()
        return None if held == counted else f"{held:,} in the layer, {counted:,} by formula"

    def definition() -> str | None:
        for T in LENGTHS:
            made, inputs = of(T)
            pairs = []
            for way in (made, made.reference):
                x, *others = (x.clone().requires_grad_(x.is_floating_point()) for x in inputs)
                y = way(x, *others)
                if y.requires_grad:
                    y.square().sum().backward()
                pairs.append([y.detach(), *([] if x.grad is None else [x.grad])])
            for what, ours, theirs in zip(("output", "gradient"), *pairs, strict=False):
                error = float((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-30))
                if not error <= TOLERANCE:
                    return f"{what} at T = {T} is off by {error:.1e}"
        return None

    def differentiable() -> str | None:
        made, inputs = of(3)
        floating = tuple(x.requires_grad_() for x in inputs if x.is_floating_point())
        if len(floating) == len(inputs):
            torch.autograd.gradcheck(made, floating, fast_mode=True)
        return None

    def halves() -> str | None:
        made, inputs = of(13, torch.bfloat16)
        y = made(*inputs)
        sound = y.dtype == torch.bfloat16 and bool(y.isfinite().all())
        return None if sound else f"the output is {y.dtype}, or not finite"

    def refusals() -> str | None:
        try:
            layer(torch.randn(BATCH, 3, config.width_in + 1))
        except SeqcostError:
            return None
        return f"an input {config.width_in + 1} wide was taken; check_features refuses it in one sentence"

    yield _row("parameters = elements of the weights", parameters)
    yield _row("layer = its reference, outputs and gradients", definition)
    yield _row("gradients are derivatives (float64)", differentiable)
    yield _row("it works in bfloat16", halves)
    if hasattr(config, "width_in"):
        yield _row("a wrong width is refused in one sentence", refusals)
