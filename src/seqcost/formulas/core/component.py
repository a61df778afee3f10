"""What every architecture answers, and how small ones make large ones.

A `Component` is a frozen config (the sizes) with nine questions, each answered by a Bill:

  params · flops · backward_flops · bytes_moved · saved_bytes · state_bytes · step_flops · depth · path_length

A subclass writes its parameters, its program on a tape, the tensors that it keeps for the next token, and its path. The
base reads the rest off the tape, so that FLOPs, traffic, depth and memory cannot disagree.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any, ClassVar, Literal

from seqcost.algebra.bill import Bill
from seqcost.algebra.expr import Size, is_array, is_size, without_letters
from seqcost.algebra.work import Direction, depth_of, flops_of, traffic_of
from seqcost.errors import MOST_DIGITS, BadSize, UnknownName, shortened
from seqcost.formulas.core.itemsizes import over_itemsizes
from seqcost.formulas.core.reading import Ending, Reading, played
from seqcost.formulas.core.sweeps import over_sweeps
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import Workload

Question = Callable[[Any, Workload], Bill]


def _of_any_sizes(question: Question) -> Question:
    """A question that is asked for one width of an element after the other, and once where sizes are sweeps."""

    @wraps(question)
    def asked(component: Any, run: Workload) -> Bill:
        if isinstance(run.itemsize, int):
            return over_sweeps(question, component, run)
        return over_itemsizes(lambda size: asked(component, replace(run, itemsize=size)), run.itemsize)

    return asked


class Component(ABC):
    """A piece of a sequence model: a part, a mixer, a block or a whole model."""

    SOURCE: ClassVar[str]  # paper and equation
    EQUATIONS: ClassVar[tuple[str, ...]] = ()  # LaTeX, as the paper writes them in our letters

    D: Size

    @property
    def width_in(self) -> Size:
        """Features of one input token."""
        return self.D

    @property
    def width_out(self) -> Size:
        """Features of one output token."""
        return self.D

    @property
    def decodes(self) -> bool:
        """Whether tokens can be given one at a time, a state carrying on what came before."""
        return True

    @property
    def takes_source(self) -> bool:
        """Whether it reads a second sequence of S tokens."""
        return False

    @property
    def gives_logits(self) -> bool:
        """Whether its output scores a vocabulary, so that training ends in a cross-entropy."""
        return False

    @property
    def pools(self) -> bool:
        """Whether a whole sequence becomes one vector."""
        return False

    @property
    def multiplies_masked(self) -> bool:
        """Whether pairs of tokens that are masked are multiplied and always counted (in chunks, in buckets).

        The convention that counts causal attention's unmasked pairs alone has no number for such a component.
        """
        return False

    def tokens_out(self, T: Size) -> Size:
        """Tokens that come out where T go in: as many, unless a class token is put before them."""
        return T

    def source_tokens(self, T: Size) -> Size:
        """Tokens of the source of a text of T tokens, where nothing else is said: as many."""
        return T

    def source_elements(self, run: Workload) -> Size:
        """Numbers in the source sequences, as the layer reads them."""
        return run.B * run.S * self.width_in

    @abstractmethod
    def params(self) -> Bill:
        """Trainable scalars, one line per weight."""

    def input(self, t: Tape) -> Value:
        """What is handed in: features [B,T,width_in], unless it begins with something else."""
        return t.given((t.run.B, t.run.T, self.width_in))

    def source_input(self, t: Tape) -> Value:
        """The second sequence, [B,S,width_in]."""
        return t.given((t.run.B, t.run.S, self.width_in), belongs="source")

    @abstractmethod
    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        """What the layer executes on x [B,T,width_in] (and a source [B,S,width_in]), ending in its result."""

    def begin(self, t: Tape, source: Value) -> None:
        """What beginning a state of a source executes, before the first tokens come; its tensors go to `t.begun`."""
        del t, source

    def loss(self, t: Tape, y: Value) -> Value:
        """What a training step minimises: the sum of the output stands for a loss."""
        return t.sum("sum", y, note="the sum of the output stands for a loss")

    def state_bytes(self, run: Workload) -> Bill:
        """What decoding carries on after P + T tokens; an empty bill where nothing is carried."""
        return Bill()

    def path_length(self, run: Workload) -> Bill:
        """Greatest number of mixing steps between two positions; an empty bill where positions do not mix."""
        return Bill()

    def reading(
        self, run: Workload, ending: Ending = Ending.NOTHING, *, remembering: bool = False, chained: bool = True
    ) -> Reading:
        """The rows of a pass over the program; see `reading.played`."""
        return played(self, run, ending, remembering=remembering, chained=chained)

    @_of_any_sizes
    def flops(self, run: Workload) -> Bill:
        """FLOPs of a forward pass: contractions and pointwise operations, by line."""
        return flops_of(self.reading(run, chained=False).rows)

    @_of_any_sizes
    def backward_flops(self, run: Workload) -> Bill:
        """FLOPs that the backward pass executes (recomputation included), by line."""
        return flops_of(self.reading(run, Ending.GRADIENT, chained=False).of(Direction.BACKWARD))

    def step_flops(self, run: Workload) -> Bill:
        """FLOPs of one decoding step at position T, the T − 1 earlier tokens being in the state."""
        if not self.decodes:
            raise BadSize(
                f"{type(self).__name__} sees the future (causal=False), so it has no decoding step; "
                "ask for phase 'forward', or set causal=true."
            )
        return self.flops(run.step())

    @_of_any_sizes
    def bytes_moved(self, run: Workload) -> Bill:
        """Least traffic with main memory of each operator: every operand read once, every result written once."""
        return traffic_of(self.reading(run, chained=False).rows)

    @_of_any_sizes
    def depth(self, run: Workload) -> Bill:
        """Longest chain of dependent operators of a forward pass (the span of work and span)."""
        return depth_of(self.reading(run).rows)

    @_of_any_sizes
    def saved_bytes(self, run: Workload) -> Bill:
        """What a forward pass keeps for backward, parameters excluded."""
        return self.reading(run, Ending.KEPT, chained=False).kept

    def sizes(self) -> dict[str, Any]:
        """The config's own letters and choices, as plain data."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # every Component is a dataclass
        return {f.name: getattr(self, f.name) for f in fields}


def exact_div(whole: Size, part: Size, what: str) -> Size:
    """whole / part, refusing whole numbers that do not divide, and what is no size."""
    for size in (whole, part):
        if not is_size(size):
            raise BadSize(f"{what}: {shortened(size)} was given; a whole number of at least 1 is allowed.")
    if any(map(is_array, (whole, part))):
        return _exact_div_of_sweeps(whole, part, what)
    if not (isinstance(whole, int) and isinstance(part, int)):
        return without_letters(whole / part)
    if part < 1 or whole % part:
        raise BadSize(f"{what}: {whole} does not divide by {part}; choose sizes that divide.")
    return whole // part


def _exact_div_of_sweeps(whole: Size, part: Size, what: str) -> Size:
    import numpy as np

    wholes, parts = np.broadcast_arrays(whole, part)
    wrong = (parts < 1) | (wholes % np.maximum(parts, 1) != 0)
    if wrong.any():
        exact_div(int(wholes[wrong][0]), int(parts[wrong][0]), what)
    return whole // part


def differ(a: Size, b: Size) -> bool:
    """Whether two sizes are not the same, in any point of a sweep."""
    if a is b:
        return False
    different = a != b
    return bool(different.any()) if is_array(different) else bool(different)


def made_of(kind: type[Any], sizes: Mapping[str, Any]) -> Any:
    """A config of a kind from its sizes.

    Raises UnknownName for a size that it does not have, BadSize where one that it needs is missing.
    """
    fields = {field.name for field in dataclasses.fields(kind)}
    for name in sizes:
        if name not in fields:
            raise UnknownName.among(f"size of {kind.__name__}", name, fields)
    if missing := [name for name in needed(kind) if name not in sizes]:
        given = ", ".join(f"{name}={value!r}" for name, value in sizes.items()) or "nothing"
        raise BadSize(
            f"{kind.__name__}: {given} was given; it needs {' and '.join(missing)} as well: "
            f"{kind.__name__}({', '.join(f'{name}=…' for name in needed(kind))})."
        )
    return kind(**sizes)


def needed(kind: type[Any]) -> list[str]:
    """The sizes of a kind of config that have no default."""
    return [f.name for f in dataclasses.fields(kind) if f.default is f.default_factory is dataclasses.MISSING]


def check_choice(owner: str, name: str, value: Any, annotation: Any) -> None:
    """Refuse a word that is not one of a field's choices, and a size where a choice is expected."""
    choices = getattr(annotation, "__args__", ()) if getattr(annotation, "__origin__", None) is Literal else ()
    if choices and value not in choices:
        raise BadSize(f"{owner}: {name} = {value!r} was given; choose {', '.join(map(repr, choices))}.")
    if annotation is bool and not isinstance(value, bool):
        raise BadSize(f"{owner}: {name} = {value!r} was given; choose true or false.")


def check_sizes(component: Component, *letters: str) -> None:
    """Refuse whole numbers below 1, things that are no sizes at all, and words that are none of a field's choices."""
    for field in dataclasses.fields(component):  # type: ignore[arg-type]  # every Component is a dataclass
        check_choice(type(component).__name__, field.name, getattr(component, field.name), field.type)
    for letter in letters:
        value = getattr(component, letter)
        if (value is None and _may_be_none(component, letter)) or (
            is_size(value) and not isinstance(value, int | float)
        ):
            continue  # symbols and sweeps are checked where they are made
        given = f"{type(component).__name__}: {letter} = {shortened(value)} was given"
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise BadSize(f"{given}; a whole number of at least 1 is allowed.")
        if value >= 10**MOST_DIGITS:
            raise BadSize(f"{given}; at most {MOST_DIGITS:,} digits are allowed.")


def _may_be_none(component: Component, letter: str) -> bool:
    fields = {field.name: field for field in dataclasses.fields(component)}  # type: ignore[arg-type]
    return letter not in fields or fields[letter].default is None
