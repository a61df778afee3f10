"""What a cost is in several letters at once, where nobody wrote a formula for it.

The target is built at a few sizes of every letter and followed; see `algebra.multilift` for how the polynomial is
found and confirmed. Its own sizes are one of the points that must agree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from seqcost.algebra.curve import Curve
from seqcost.algebra.multilift import multilift
from seqcost.algebra.quantity import QUANTITIES, Told
from seqcost.errors import BadSize, BadTarget, UnknownName, shortened
from seqcost.formulas.core.foreign_names import SETTINGS
from seqcost.questions.answers.count import Count
from seqcost.questions.answers.letters import Letters
from seqcost.questions.asked.arguments import sizes_in
from seqcost.questions.asked.lengths import lengths_in
from seqcost.questions.asked.request import Request
from seqcost.questions.targets.letter_sizes import AUTOMATIC, LENGTH, choose, degree_of, kind_of
from seqcost.questions.targets.resolve import resolve
from seqcost.questions.targets.subject import Resizable, Subject

LENGTH_OF_TARGET = 256  # at which the target's own sizes must agree, where nothing is said
AUTO = "auto"


def letters(
    target: str,
    letters: str | Mapping[str, str] = AUTO,
    *,
    length: int | str | None = None,
    batch: int | str | None = None,
    source: int | str | None = None,
    phase: str = "forward",
    dtype: Any = None,
    sizes: Mapping[str, Any] | None = None,
    inputs: Any = None,
    trace: bool = False,
    counted: Sequence[Count] | None = None,
) -> Letters:
    """Exact polynomials of FLOPs, pointwise operations and parameters in T and chosen sizes of a target.

    Parameters
    ----------
    target
        As for `count`. A Hugging Face configuration (`hf:gpt2`, a config.json) and a name of the catalogue have sizes
        that can be set; code, a program and a live module are functions of the length T alone.
    letters
        "auto" (layers L, width D, feed-forward width F where it does not follow from D, vocabulary U), "D=n_embd,
        L=n_layer", "D,L" by the known names, or a mapping.
    length
        Length at which the target's own sizes must agree with what was found; where not given 256, or where sizes are
        fixed the target's own.
    batch, source, phase, dtype, sizes, inputs, trace
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
    request = Request.of(phase=phase, batch=batch, source=source, dtype=dtype, trace=trace)
    subject = resolve(target, sizes_in(sizes), inputs)
    own_length = LENGTH_OF_TARGET if subject.resizable(request) is not None else None
    at: list[int | None] = [own_length] if length is None else [*lengths_in(length)]
    known = [subject.counted(request.at(T)) for T in at] if counted is None else counted
    if not known:
        raise BadTarget("counted = [] was given; at least one count of this target is allowed, or leave it out.")
    model = subject.resizable(request)
    if model is None:
        return _of_the_length(subject, letters, request, known)
    settings = _settings(letters, model, subject.name)
    own = {letter: _own_size(model, setting, subject.name) for letter, setting in settings.items()}
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
    return Letters(
        target=subject.name,
        phase=request.phase,
        batch=request.B or 1,
        rung=known[0].rung,
        settings=settings,
        own=own,
        quantities=found,
        num_points=len(seen),
        uncounted=tuple(sorted(model.uncounted)),
    )


def _totals(answer: Count) -> dict[str, int]:
    assert answer.flops is not None, "weights alone have no letters"
    return {name: answer.amount(name) for name in QUANTITIES.names(Told.LETTERS)}


def _of_the_length(
    subject: Subject, letters: str | Mapping[str, str], request: Request, known: Sequence[Count]
) -> Letters:
    """Formulas of a target of fixed sizes: its curves, in the length alone."""
    if letters not in (AUTO, LENGTH):
        raise BadTarget(
            f"letters {shortened(letters)} were asked of {subject.name!r}, whose sizes are fixed; a Hugging Face "
            "configuration (hf:gpt2, config.json) or a name of the catalogue has sizes that can be set: ask auto for "
            "its functions of the length."
        )
    answer = known[0]
    if answer.flops is None:
        raise BadTarget(f"letters were asked of {subject.name!r}, weights alone; give the config.json of the model.")
    T, reasons = answer.sizes["T"], [row["reason"] for row in answer.uncounted if row.get("quantity") == "polynomials"]
    quantities = {}
    for name in QUANTITIES.names(Told.LETTERS):
        curve = answer.polynomials.get(name)
        if name not in QUANTITIES.names(Told.CURVE):
            curve = Curve.polynomial([answer.amount(name)])
        elif curve is None:
            curve = Curve.samples({T: answer.amount(name)}, reasons[0] if reasons else "one length was seen")
        if curve.exact:
            curve = replace(curve, ranges={LENGTH: (curve.valid_from, answer.seen_to or T)}, valid_from=1)
        else:
            curve = Curve((LENGTH,), refusing=(LENGTH,), reason=curve.reason)
        quantities[name] = curve
    return Letters(
        target=subject.name,
        phase=request.phase,
        batch=answer.sizes["B"],
        rung=answer.rung,
        settings={},
        own={},
        quantities=quantities,
        num_points=0,
        uncounted=tuple(sorted({row["operator"] for row in answer.uncounted if "operator" in row})),
    )


def _settings(letters: str | Mapping[str, str], model: Resizable, target: str) -> dict[str, str]:
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


def _pairs(letters: str | Mapping[str, str], model: Resizable, target: str) -> list[tuple[str, str]]:
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


def _known(letter: str, model: Resizable) -> str | None:
    """The setting that a letter stands for where nothing is said; None where there is none with a size."""
    names = (letter, *SETTINGS.get(letter, ()))
    return next((name for name in map(model.proper, names) if type(model.settings.get(name)) is int), None)


def _own_size(model: Resizable, setting: str, target: str) -> int:
    value = model.settings[setting]
    if type(value) is not int or value < 1:
        raise BadSize(
            f"{setting} = {value!r} of {target} is no size of at least 1; set it first (--set {setting}=SIZE) or leave "
            "its letter out."
        )
    return value
