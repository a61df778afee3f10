"""A name of the catalogue: an architecture or a preset with some of its sizes set. It has a formula and a layer."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from seqcost.algebra.quantity import QUANTITIES, Told
from seqcost.errors import BadSize
from seqcost.formulas.catalogue import configure, entry
from seqcost.formulas.core.component import Component
from seqcost.formulas.core.foreign_names import FRIENDLY
from seqcost.questions.answers.count import Count
from seqcost.questions.answers.formula import Reading, letters_of
from seqcost.questions.answers.phases import by_formula
from seqcost.questions.asked.request import DEFAULT_LENGTH, Request
from seqcost.questions.targets.subject import Resizable, Subject

if TYPE_CHECKING:
    from seqcost.programs import Target


def resolve_sizes(name: str, sizes: Mapping[str, Any]) -> dict[str, Any]:
    """Friendly words to letters; a word for a size that the target lacks is refused by `configure`."""
    entry(name)
    out: dict[str, Any] = {}
    for word, value in sizes.items():
        letter = FRIENDLY.get(word, word)
        if letter in out:
            raise BadSize(f"{word} and {letter} were both given for {name}; give one.")
        out[letter] = value
    return out


class Named(Subject):
    """A name of the catalogue, with sizes by letter."""

    def __init__(self, name: str, sizes: Mapping[str, Any]) -> None:
        super().__init__(name)
        self.sizes = resolve_sizes(name, sizes)
        self._config = configure(name, **self.sizes)
        self._readings: dict[Request, Reading] = {}

    @property
    def family(self) -> str:  # type: ignore[override]  # each name has its own
        """As in the catalogue."""
        found = entry(self.name)
        return found.family or found.group

    @property
    def config(self) -> Component:
        """Its formula."""
        return self._config

    def counted(self, request: Request) -> Count:
        """By formula, or where a trace is asked for by following the working layer."""
        if request.S is not None and not self.config.takes_source:
            raise BadSize(f"source = {request.S:,} was given for {self.name}, which reads no source; leave it out.")
        if request.needs_trace:
            return super().counted(request)
        at_all = request.at(None)
        if at_all not in self._readings:
            self._readings[at_all] = Reading(self.name, self.config, at_all)
        return self._readings[at_all].at(DEFAULT_LENGTH if request.T is None else request.T)

    def letters(self) -> Mapping[str, Any]:
        """Sizes and choices of its config."""
        return letters_of(self.config)

    def setting(self, word: str) -> str | None:
        """A letter, or a friendly word for one."""
        letter = FRIENDLY.get(word, word)
        return letter if letter in entry(self.name).fields else None

    def settings(self) -> set[str]:
        """The fields of its config."""
        return set(entry(self.name).fields)

    def spec(self, source: int | None = None) -> dict[str, Any]:
        """Name and sizes."""
        found = {"kind": "catalogue", "name": self.name, "sizes": self.sizes}
        return found if source is None else found | {"source": source}

    def resized(self, setting: str, size: Any) -> "Named":
        """With another value of a letter."""
        return Named(self.name, self.sizes | {setting: size})

    def resizable(self, request: Request) -> Resizable:
        """At other sizes, by formula or traced."""
        return _Resized(self, request)


class _Resized:
    def __init__(self, named: Named, request: Request) -> None:
        self._named, self._request = named, request
        self.settings = named.config.sizes()

    @cached_property
    def _sampler(self) -> Any:
        from seqcost.programs import Target
        from seqcost.trace.letters import Sampler

        def target_at(at: Mapping[str, int]) -> "Target":
            return Target.of_spec(self._at(at).spec(self._request.S))

        return Sampler(target_at, phase=self._request.phase, B=self._request.B or 1, dtype=self._request.dtype)

    def _at(self, sizes: Mapping[str, int]) -> Named:
        return Named(self._named.name, self._named.sizes | dict(sizes))

    @property
    def uncounted(self) -> set[str]:
        found: set[str] = self._sampler.uncounted if self._request.needs_trace else set()
        return found

    def proper(self, name: str) -> str:
        return FRIENDLY.get(name, name)

    def follows(self, name: str, other: str) -> bool:
        larger = self._at({other: 2 * self.settings[other]}).config.sizes()
        return bool(larger[name] != self.settings[name])

    def cost(self, sizes: Mapping[str, int], T: int) -> Mapping[str, int]:
        if self._request.needs_trace:
            return dict(self._sampler(sizes, T))
        config = self._at(sizes).config
        bills = by_formula(config, self._request.workload(config, T), self._request.phase).bills
        totals = {row.name: bills.total(row) for row in QUANTITIES.told(Told.LETTERS)}
        return {name: total for name, total in totals.items() if total is not None}
