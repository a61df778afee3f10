"""What a cost is in several letters at once, where nobody wrote a formula for it.

The target is built at a few sizes of every letter and followed; see `algebra.multilift` for how the polynomial is
found and confirmed. Its own sizes are one of the points that must agree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from seqcost.algebra.curve import Curve
from seqcost.algebra.formats import dtype_named
from seqcost.algebra.multilift import multilift
from seqcost.algebra.quantity import QUANTITIES, Told
from seqcost.errors import BadSize, BadTarget, UnknownName, shortened
from seqcost.formulas.catalogue import configure
from seqcost.formulas.core.foreign_names import FRIENDLY, SETTINGS
from seqcost.formulas.core.workload import Workload
from seqcost.questions.answers.count import Count
from seqcost.questions.answers.phases import by_formula
from seqcost.questions.asked.arguments import sizes_in
from seqcost.questions.asked.lengths import lengths_in, whole
from seqcost.questions.count import count
from seqcost.questions.targets.kinds import HUGGING_FACE, formula_of, resolve_sizes, spec_of
from seqcost.questions.targets.letter_sizes import AUTOMATIC, LENGTH, choose, degree_of, kind_of

AUTO = "auto"


@dataclass(frozen=True)
class Letters:
    """Costs of one target as polynomials in the length T and some of its sizes; or the letters that refuse.

    `settings` says what each letter stands for in the target, `own` its value there. Whatever has no letter keeps the
    target's own value.
    """

    target: str
    phase: str
    batch: int
    rung: str
    settings: Mapping[str, str]
    own: Mapping[str, int]
    quantities: Mapping[str, Curve]
    num_points: int
    uncounted: tuple[str, ...] = ()

    @property
    def flops(self) -> Curve:
        """FLOPs of contractions."""
        return self.quantities["flops"]

    @property
    def pointwise(self) -> Curve:
        """Pointwise operations."""
        return self.quantities["pointwise"]

    @property
    def params(self) -> Curve:
        """Scalars of all parameters, trained or frozen."""
        return self.quantities["params"]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "target": self.target,
            "phase": self.phase,
            "batch": self.batch,
            "rung": self.rung,
            "settings": {
                letter: {"setting": self.settings[letter], "own": self.own[letter]} for letter in self.settings
            },
            "quantities": {name: found.to_dict() for name, found in self.quantities.items()},
            "num_points": self.num_points,
            "uncounted": list(self.uncounted),
        }

    def _repr_html_(self) -> str:
        from seqcost.report.notebook import letters_html

        return letters_html(self.to_dict())

    def __str__(self) -> str:
        return "\n".join(f"{name}: {found}" for name, found in self.quantities.items())


def letters(
    target: str,
    letters: str | Mapping[str, str] = AUTO,
    *,
    length: int | str | None = 256,
    batch: int | str | None = None,
    source: int | str | None = None,
    phase: str = "forward",
    dtype: Any = None,
    sizes: Mapping[str, Any] | None = None,
    trace: bool = False,
    counted: Sequence[Count] | None = None,
) -> Letters:
    """Exact polynomials of FLOPs, pointwise operations and parameters in T and chosen sizes of a target.

    Parameters
    ----------
    target
        A Hugging Face configuration (`hf:gpt2`, a config.json), or a name of the catalogue.
    letters
        "auto" (layers L, width D, feed-forward width F where it does not follow from D, vocabulary U), "D=n_embd,
        L=n_layer", "D,L" by the known names, or a mapping.
    length
        Length at which the target's own sizes must agree with what was found.
    batch, source, phase, dtype, sizes, trace
        As for `count`; without `trace` a name of the catalogue is answered from its formulas.
    counted
        Counts of this target that exist already, which then take the place of that one.

    Raises
    ------
    UnknownName, BadSize, BadTarget
        For a letter, setting, number or target that is not allowed.
    TraceFailed, MissingExtra
        Of a Hugging Face configuration, as `count` does.

    Examples
    --------
    >>> print(letters("transformer-block", "D", length=64).params)
    12·D² + 13·D

    """
    if not isinstance(target, str):
        raise BadTarget(
            f"letters were asked of a live {type(target).__name__}, whose sizes are fixed; name a Hugging Face "
            "configuration (hf:gpt2, config.json) or an architecture."
        )
    given = sizes_in(sizes)
    if length is not None and not isinstance(length, int | str):
        raise BadSize(f"length = {shortened(length)} was given; the target's own sizes must agree at one whole number.")
    if not isinstance(letters, str | Mapping):
        raise BadSize(
            f"letters = {shortened(letters)} was given; auto, LETTER=SETTING,… such as D=n_embd,L=n_layer, or a "
            "mapping is allowed."
        )
    if counted is not None and not (
        isinstance(counted, list | tuple) and all(isinstance(answer, Count) for answer in counted)
    ):
        raise BadTarget(f"counted = {shortened(counted)} was given; counts of this target are allowed.")
    dtype = None if dtype is None else dtype_named(dtype)
    batch = None if batch is None else whole(batch, "batch")
    source = None if source is None else whole(source, "source")
    if counted is None:
        at = lengths_in(256 if length is None else length)
        counted = count(
            target, length=at, batch=batch, source=source, phase=phase, dtype=dtype, sizes=given, trace=trace
        )
    known, batch = counted, batch or 1
    model = _model_of(target, given, batch=batch, source=source, phase=phase, dtype=dtype, trace=trace)
    if not known:
        raise BadTarget("counted = [] was given; at least one count of this target is allowed, or leave it out.")
    settings = _settings(letters, model, target)
    own = {letter: _own_size(model, setting, target) for letter, setting in settings.items()}
    confirm = {tuple((own | {LENGTH: answer.sizes["T"]}).values()): _totals(answer) for answer in known}
    seen: dict[tuple[int, ...], Mapping[str, int]] = dict(confirm)

    def costs(at: Mapping[str, int]) -> Mapping[str, int]:
        key = tuple(at[letter] for letter in (*settings, LENGTH))
        if key not in seen:
            seen[key] = model.cost({setting: at[letter] for letter, setting in settings.items()}, at[LENGTH])
        return seen[key]

    heads = [n for name, n in model.settings.items() if kind_of(name) == "heads" and type(n) is int and n > 0]
    chosen = choose(costs, own, settings, heads)
    names = (*settings, LENGTH)
    found = multilift(
        costs,
        chosen,
        {letter: degree_of((settings | {LENGTH: LENGTH})[letter]) for letter in names},
        confirm=[dict(zip(names, point, strict=True)) for point in confirm],
    )
    return Letters(target, phase, batch, known[0].rung, settings, own, found, len(seen), tuple(sorted(model.uncounted)))


def _totals(answer: Count) -> dict[str, int]:
    assert answer.flops is not None, "weights alone have no letters"
    return {name: answer.amount(name) for name in QUANTITIES.names(Told.LETTERS)}


class _Model(Protocol):
    """A target that can be had at other sizes."""

    @property
    def settings(self) -> Mapping[str, Any]: ...
    @property
    def uncounted(self) -> set[str]: ...
    def proper(self, name: str) -> str: ...
    def follows(self, name: str, other: str) -> bool: ...
    def cost(self, sizes: Mapping[str, int], T: int) -> Mapping[str, int]: ...


def _model_of(
    target: str, sizes: Mapping[str, Any], *, batch: int, source: int | None, phase: str, dtype: str | None, trace: bool
) -> _Model:
    if formula_of(target, sizes) is not None:
        return _Catalogue(target, sizes, batch=batch, source=source, phase=phase, dtype=dtype, trace=trace)
    spec = spec_of(target, sizes, source=source)
    if spec["kind"] != "hugging-face":
        raise BadTarget(
            f"letters were asked of {target!r}, which {_FIXED[spec['kind']]}; a Hugging Face configuration "
            f"({HUGGING_FACE}gpt2, config.json) or a name of the catalogue has sizes that can be set."
        )
    return _Configuration(spec, batch=batch, phase=phase, dtype=dtype)


_FIXED = {
    "callable": "is code",
    "exported-program": "is a program of fixed sizes",
    "onnx": "is a graph of fixed sizes",
}


class _Configuration:
    def __init__(self, spec: Mapping[str, Any], *, batch: int, phase: str, dtype: str | None) -> None:
        from seqcost.trace.letters import HuggingFaceSizes, Sampler

        self._sizes = HuggingFaceSizes(spec)
        self.settings = self._sizes.settings
        self.proper, self.follows = self._sizes.proper, self._sizes.follows
        self.cost = Sampler(self._sizes.target_at, phase=phase, B=batch, dtype=dtype)

    @property
    def uncounted(self) -> set[str]:
        return self.cost.uncounted


class _Catalogue:
    def __init__(
        self,
        name: str,
        sizes: Mapping[str, Any],
        *,
        batch: int,
        source: int | None,
        phase: str,
        dtype: str | None,
        trace: bool,
    ) -> None:
        self._name, self._given = name, resolve_sizes(name, sizes)
        self._batch, self._source, self._phase = batch, source, phase
        self.settings = configure(name, **self._given).sizes()
        self._sampler: Any = None
        if trace:
            from seqcost.programs import Target
            from seqcost.trace.letters import Sampler

            def target_at(at: Mapping[str, int]) -> Target:
                return Target.of_spec(spec_of(name, self._given | dict(at), source=source))

            self._sampler = Sampler(target_at, phase=phase, B=batch, dtype=dtype)

    @property
    def uncounted(self) -> set[str]:
        return set() if self._sampler is None else self._sampler.uncounted

    def proper(self, name: str) -> str:
        return FRIENDLY.get(name, name)

    def follows(self, name: str, other: str) -> bool:
        larger = configure(self._name, **self._given | {other: 2 * self.settings[other]}).sizes()
        return bool(larger[name] != self.settings[name])

    def cost(self, sizes: Mapping[str, int], T: int) -> Mapping[str, int]:
        if self._sampler is not None:
            return dict(self._sampler(sizes, T))
        config = configure(self._name, **self._given | dict(sizes))
        tokens = 0
        if config.takes_source:
            tokens = config.source_tokens(T) if self._source is None else self._source
        bills, _ = by_formula(config, Workload(B=self._batch, T=T, S=tokens), self._phase)
        totals = {row.name: bills.total(row) for row in QUANTITIES.told(Told.LETTERS)}
        return {name: total for name, total in totals.items() if total is not None}


def _settings(letters: str | Mapping[str, str], model: _Model, target: str) -> dict[str, str]:
    """What each letter stands for, in the order in which letters are written."""
    if letters == AUTO:
        wanted = {letter: name for letter in AUTOMATIC if (name := _known(letter, model))}
        if "F" in wanted and "D" in wanted and model.follows(wanted["F"], wanted["D"]):
            del wanted["F"]
        if not wanted:
            raise BadTarget(f"{target} has no setting of a known name; give letters such as D=SETTING.")
    else:
        wanted = {}
        for letter, setting in _pairs(letters, model, target):
            if not letter.isidentifier() or letter in (LENGTH, "B"):
                raise BadSize(
                    f"the letter {letter!r} was given; a word other than T and B (the length, the batch) is allowed."
                )
            if letter in wanted:
                raise BadSize(f"the letter {letter} was given twice; give each letter once.")
            wanted[letter] = setting
    out: dict[str, str] = {}
    for letter, setting in wanted.items():
        name = model.proper(setting)
        if name not in model.settings:
            raise UnknownName.among(f"setting of {target}", setting, model.settings)
        if name in out.values():
            raise BadSize(f"{setting} was given two letters; give one.")
        out[letter] = name
    order = ("L", "D", "F", "H", "U")
    return dict(sorted(out.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)))


def _pairs(letters: str | Mapping[str, str], model: _Model, target: str) -> list[tuple[str, str]]:
    if not isinstance(letters, str):
        return [(str(letter), str(setting)) for letter, setting in letters.items()]
    out = []
    for item in letters.split(","):
        letter, equals, setting = (part.strip() for part in item.partition("="))
        if not letter or (equals and not setting):
            raise BadSize(
                f"letters {letters!r} were given; auto, or LETTER=SETTING,… such as D=n_embd,L=n_layer is allowed."
            )
        name = setting or _known(letter, model)
        if name is None:
            raise BadSize(f"{target} has no known setting for the letter {letter}; write {letter}=SETTING.")
        out.append((letter, name))
    return out


def _known(letter: str, model: _Model) -> str | None:
    """The setting that a letter stands for where nothing is said; None where there is none with a size."""
    names = (letter, *SETTINGS.get(letter, ()))
    return next((name for name in map(model.proper, names) if type(model.settings.get(name)) is int), None)


def _own_size(model: _Model, setting: str, target: str) -> int:
    value = model.settings[setting]
    if type(value) is not int or value < 1:
        raise BadSize(
            f"{setting} = {value!r} of {target} is no size of at least 1; set it first (--set {setting}=SIZE) or leave "
            "its letter out."
        )
    return value
