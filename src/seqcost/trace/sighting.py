"""One booked run at one length, as plain numbers; and a run at a length nobody saw, made from those that were."""

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import torch

from seqcost.algebra.work import Beside
from seqcost.errors import FOREIGN_ERRORS, with_type
from seqcost.fakes.cpu_kernels import Substituting
from seqcost.fakes.higher_order import uncompiled
from seqcost.fakes.parts import named_parameters, named_tensors
from seqcost.fakes.recall import Recall
from seqcost.fakes.trees import tensors_in
from seqcost.programs.parameters import parameter_shapes, trained
from seqcost.programs.program import Program
from seqcost.trace.blocks import curve
from seqcost.trace.book.book import Book, Entry, Key, Shapes
from seqcost.trace.book.history import History
from seqcost.trace.book.keeper import Keeper
from seqcost.trace.book.ledger import Ledger
from seqcost.trace.book.lookups import Table
from seqcost.trace.book.memory import Memory
from seqcost.trace.book.paths import OPTIMIZER, Paths
from seqcost.trace.quick.repeats import Repeats, Weights, multiplied, same_forward
from seqcost.trace.quick.skipping import Skipping
from seqcost.trace.quick.stacks import Stack
from seqcost.trace.shapes_beyond import NoFormulaError, shapes_at

COLUMNS = ("launches", "contraction", "pointwise", "bytes", "fresh")  # of an entry: sums over its launches
# A forward pass of more operators is not run a second time to see what it would keep.
MOST_OPERATORS_TWICE = 4000
TOO_MANY = "too many operators for a second forward pass that records gradients; ask phase train"
HIDDEN = "transforms of torch.func hide what autograd keeps"
TOTALS = ("flops", "pointwise", "bytes_moved", "saved_bytes", "state_bytes", "depth", "peak_bytes")


@dataclass(frozen=True)
class Sighting:
    """What was seen at one length."""

    entries: Mapping[Key, Entry]
    saved: Mapping[str, int] | None
    depth: int
    peak_bytes: int | None
    state_bytes: int | None
    weights: Mapping[str, tuple[int, ...]]  # shapes of the parameters by name, a shared one once
    trained: frozenset[str] | None  # those of them that a training step trains; None where that is not known
    unused: Mapping[str, int] = field(default_factory=dict)  # parameters that no operator met, and their elements
    unseen: str = ""  # why it is not known what is saved
    steps: Mapping[tuple[Key, Shapes | None], int] | None = None  # on the longest chain; None where derived from others
    history: History | None = None  # None where it was not asked for, or the run was derived from others
    lookups: Mapping[Table, int | None] = field(default_factory=dict)  # the largest row that was asked of each table
    num_followed: int = 0  # operators that were followed one by one; 0 where the run was derived from others
    beside: Beside | None = None  # of what was followed; None where the run was derived from others
    sizes: frozenset[int] = frozenset()  # of the dimensions of everything that operators made

    @property
    def params(self) -> int:
        """Scalars of all parameters."""
        return sum(math.prod(shape) for shape in self.weights.values())

    @property
    def trainable_params(self) -> int | None:
        """Those of them that a training step trains; None where that is not known."""
        return None if self.trained is None else sum(math.prod(self.weights[name]) for name in self.trained)

    @property
    def num_calls(self) -> int:
        """Operators executed."""
        return sum(entry.launches for entry in self.entries.values())

    def total(self, name: str) -> int | None:
        """One of TOTALS."""
        if name == "saved_bytes":
            return None if self.saved is None else sum(self.saved.values())
        if name in ("depth", "peak_bytes", "state_bytes"):
            return getattr(self, name)
        column = {"flops": "contraction", "pointwise": "pointwise", "bytes_moved": "bytes"}[name]
        return sum(getattr(entry, column) for entry in self.entries.values())


def see(
    program: Program,
    paths: Paths,
    *,
    remember: bool = True,
    keeping: bool = True,
    stacks: Sequence[Stack] = (),
    recall: Recall | None = None,
) -> Sighting:
    """Run a program once under the ledger; `remember` what every block of memory was for; `recall` earlier results.

    Without `keeping`, what a forward pass would keep is not asked. Of `stacks`, the inner layers are not followed where
    they are shown to be equal; raises DoubtError where that does not come out: then look without them.
    """
    book = Book(History() if remember else None)
    if stacks:
        book.tape = []
    memory = Memory(book)
    _hold_resident(memory, program)
    ledger = Ledger(paths, memory, program.inputs(), recall)
    shapes = ledger.shapes = set()
    ledger.noting = True  # at every length: those of a long run may be made of those of short ones
    state_bytes = None
    weights = Weights(memory)
    skipping = Skipping(stacks, memory, lambda found, so_far: same_forward(found, so_far, weights))
    with ledger.booking([tensor for _, tensor in named_tensors(program.module)]), skipping.skipping():
        if program.phase == "train":
            _train(program, ledger, paths, skipping)
        else:
            skipping.next_stage()
            if program.phase in ("prefill", "decode"):
                with torch.no_grad():
                    state = program.last_result()[1]
                state_bytes = sum(t.numel() * t.element_size() for t in tensors_in(state))
                del state
            else:
                program.run()
    beside = ledger.beside()
    num_followed = sum(entry.launches for entry in book.entries.values())
    saved: Mapping[str, int] | None = ledger.saved
    if skipping.left_out:
        assert book.tape is not None
        book = Repeats(book.tape, skipping, weights, History() if remember else None).play()
        saved = multiplied(ledger.saved, skipping)
    unseen = HIDDEN if ledger.blind and program.phase == "train" else ""
    if program.phase == "forward":
        few = num_followed <= MOST_OPERATORS_TWICE
        saved, unseen = kept_by(program, paths, stacks, recall) if keeping and few else (None, TOO_MANY)
    parameters, weights_by_name = dict(named_parameters(program.module)), parameter_shapes(program.module)
    return Sighting(
        entries=book.entries,
        saved=None if unseen else saved,
        unseen=unseen,
        depth=book.depth,
        peak_bytes=book.peak_bytes,
        state_bytes=state_bytes,
        weights=weights_by_name,
        trained=trained(program.module),
        unused={
            name: math.prod(shape) for name, shape in weights_by_name.items() if not _met(memory, parameters[name])
        },
        steps=book.steps(),
        history=book.history,
        lookups=ledger.lookups.largest,
        num_followed=num_followed,
        beside=beside,
        sizes=frozenset(size for shape in shapes for size in shape),
    )


def _hold_resident(memory: Memory, program: Program) -> None:
    """Count what is there before a run; by the end of the call, nothing here refers to it any more."""
    for category, tensors in program.resident_by_category().items():
        for tensor in tensors:
            memory.hold(tensor, category)


def _met(memory: Memory, parameter: torch.Tensor) -> bool:
    block = memory.known(parameter)
    return block is not None and block.used


def _train(program: Program, ledger: Ledger, paths: Paths, skipping: Skipping) -> None:
    """The stages of a training step, each run once; the book says how often it counts."""
    memory, book = ledger.memory, ledger.book
    receivers = [p for p in (*program.module.parameters(), *program.differentiable_inputs()) if p.requires_grad]
    hooks = [t.register_post_accumulate_grad_hook(lambda t: memory.accumulated(t.grad)) for t in receivers]
    kept: dict[str, int] = {}
    try:
        for stage in program.stages():
            book.start(stage.times)
            skipping.next_stage()
            ledger.times = stage.times
            with paths.stepping() if stage.name == OPTIMIZER else nullcontext():
                stage.run()
            kept = kept or dict(ledger.saved)  # of one pass: the next keeps as much again, when this is gone
            book.stop()
            skipping.settle_gradients()
    finally:
        for hook in hooks:
            hook.remove()
        ledger.saved = kept
        program.drop_gradients()


def kept_by(
    program: Program, paths: Paths, stacks: Sequence[Stack] = (), recall: Recall | None = None
) -> tuple[Mapping[str, int] | None, str]:
    """What a forward pass would keep for backward if gradients were recorded, or why that is not known.

    Its operators are not booked again.
    """
    skipping = Skipping(stacks, None, lambda *_: True)
    keeper = Keeper(paths, [tensor for _, tensor in named_tensors(program.module)])
    try:
        with torch.enable_grad(), keeper.keeping(), uncompiled(), Substituting(recall), skipping.skipping():
            skipping.next_stage()
            result = program.differentiable_result()
            keeper.settle()
            del result
    except FOREIGN_ERRORS as error:  # what runs may not be made to be differentiated
        said = with_type(error, most=200, after=", ")
        return None, f"the module does not run with gradients: {said}"
    return (None, HIDDEN) if keeper.blind else (multiplied(keeper.saved, skipping), "")


def extrapolate(seen: Mapping[int, Sighting], T: int, blocks: Sequence[int] = ()) -> Sighting | None:
    """The run at T if every line of the runs seen is a formula in the length and, maybe, in blocks of it, else None."""
    longest = seen[max(seen)]
    at = _Reader(T, blocks)
    try:
        entries = {
            key: _entry_at(at, [(n, s.entries.get(key, Entry())) for n, s in seen.items()]) for key in longest.entries
        }
        return Sighting(
            entries=entries,
            saved=_saved_at(at, [(n, s.saved) for n, s in seen.items()]),
            unseen=longest.unseen,
            depth=at({n: s.depth for n, s in seen.items()}),
            peak_bytes=_worst_moment(at, seen),
            state_bytes=None if longest.state_bytes is None else at({n: s.state_bytes for n, s in seen.items()}),
            unused={name: n for name, n in longest.unused.items() if all(name in s.unused for s in seen.values())},
            weights=longest.weights,
            trained=longest.trained,
        )
    except NoFormulaError:
        return None


def _saved_at(at: "_Reader", seen: list[tuple[int, Mapping[str, int] | None]]) -> Mapping[str, int] | None:
    kept = {n: saved for n, saved in seen if saved is not None}
    if len(kept) < len(seen):
        return None
    return {path: at({n: saved.get(path, 0) for n, saved in kept.items()}) for path in kept[max(kept)]}


def _entry_at(at: "_Reader", seen: list[tuple[int, Entry]]) -> Entry:
    longest = seen[-1][1]
    entry = Entry(known=all(e.known for _, e in seen), kernel=longest.kernel)
    for column in COLUMNS:
        setattr(entry, column, at({n: getattr(e, column) for n, e in seen}))
    entry.by_shapes = shapes_at(at, dict(seen), [getattr(entry, column) for column in COLUMNS])
    return entry


def _worst_moment(at: "_Reader", seen: Mapping[int, Sighting]) -> int | None:
    # The peak of a long run may lie at another operator than that of a short one, so the moments are followed apart:
    # each call by itself, or the worst of all calls where the loop over time makes their number grow.
    worst = 0
    for key in seen[max(seen)].entries:
        moments = {n: sighting.entries[key].alive_bytes for n, sighting in seen.items() if key in sighting.entries}
        if len({len(alive) for alive in moments.values()}) > 1:
            moments = {n: [max(alive)] for n, alive in moments.items()}
        for index in range(len(next(iter(moments.values())))):
            try:
                worst = max(worst, at({n: alive[index] for n, alive in moments.items()}))
            except NoFormulaError:
                return None
    return worst


class _Reader:
    """Values at T of the formulas through values at other lengths; equal values are asked for often."""

    def __init__(self, T: int, blocks: Sequence[int]) -> None:
        self._T, self._blocks = T, blocks
        self._known: dict[tuple[tuple[int, Any], ...], int | None] = {}

    def __call__(self, values: Mapping[int, Any]) -> int:
        key = tuple(values.items())
        if key not in self._known:
            found = curve(values, self._blocks)
            exact = Fraction(1, 2) if not found.exact or found.valid_from > self._T else found(self._T)
            self._known[key] = int(exact) if exact.denominator == 1 else None
        value = self._known[key]
        if value is None:
            raise NoFormulaError
        return value
