"""What a question is asked of. Each kind of target is a class that says itself what it can answer, and how."""

from abc import ABC
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from seqcost.algebra.work import Beside
from seqcost.errors import BadTarget, SeqcostError
from seqcost.extras import installed, need
from seqcost.formulas.core.component import Component
from seqcost.questions.answers.count import Count
from seqcost.questions.asked.request import Request

if TYPE_CHECKING:
    from seqcost.programs import Target

SHORT = 32  # tokens of a run that tells how many views and calls there are for each launch


class Resizable(Protocol):
    """A target that can be had at other sizes and lengths than its own."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Its settings by name, with their values."""

    @property
    def uncounted(self) -> set[str]:
        """Operators without a formula that were met."""

    def proper(self, name: str) -> str:
        """The name under which it keeps a setting."""

    def follows(self, name: str, other: str) -> bool:
        """Whether a setting changes with another one, so that it is no size of its own."""

    def cost(self, sizes: Mapping[str, int], T: int) -> Mapping[str, int]:
        """The quantities that are told in letters."""


class Subject(ABC):
    """A target, resolved once."""

    family: ClassVar[str]  # what it stands among in a comparison of many
    no_sizes: ClassVar[str] = ""  # why no size of it can be set
    takes_inputs: ClassVar[bool] = False
    runs: ClassVar[bool] = True  # whether it can be followed at all
    changeable: ClassVar[bool] = True  # whether it is a module, in which parts can be changed
    reader: ClassVar[tuple[str, str] | None] = None  # the package that reads it, and who needs it

    def __init__(self, name: str) -> None:
        self.name = name
        self._recipes: dict[int | None, Target] = {}
        self._beside: dict[tuple[object, ...], Beside | None] = {}

    @property
    def config(self) -> Component | None:
        """Its formula; None where it has none."""
        return None

    @property
    def reads_source(self) -> bool:
        """Whether a second sequence may be asked for."""
        return self.config is None or self.config.takes_source

    def counted(self, request: Request) -> Count:
        """What it costs. Raises BadTarget or BadSize for a request that it has no answer to."""
        self.need_reader()
        from seqcost.questions.targets.traced import followed

        return followed(self.recipe(request.S), self.letters(), request)

    def beside(self, counted: Count) -> Beside | None:
        """What the caller does beside the launches of what was counted.

        A formula does not tell; then one short run of the layer is followed. None where that cannot be.
        """
        if counted.origin is None or counted.origin.beside is not None:
            return None if counted.origin is None else counted.origin.beside
        sizes = counted.sizes
        run = (counted.phase, sizes["B"], min(sizes["T"], SHORT), sizes.get("S"))
        if run not in self._beside:
            self._beside[run] = self._followed_beside(*run) if installed("torch") else None
        return self._beside[run]

    def _followed_beside(self, phase: str, B: int, T: int, S: int | None) -> Beside | None:
        from seqcost.trace import trace

        try:
            return trace(self.recipe(S), phase=phase, B=B, T=T, lengths=()).beside
        except SeqcostError:  # a layer that cannot be followed is one whose host time is that of any other
            return None

    def need_reader(self) -> None:
        """Nothing where the package that reads it is installed; asked before PyTorch is, whose extra lacks it.

        Raises MissingExtra, which names the `pip install` line.
        """
        if self.reader is not None:
            need(*self.reader)

    def letters(self) -> Mapping[str, Any]:
        """Its own letters and choices."""
        return {}

    def setting(self, word: str) -> str | None:
        """The name of the setting that a word stands for; None where it has no such setting."""
        return None

    def settings(self) -> set[str]:
        """Names of what can be set."""
        return set()

    def recipe(self, source: int | None = None) -> "Target":
        """How a trace makes it; `source` is the length of a second sequence."""
        from seqcost.programs import Target

        if source not in self._recipes:
            self._recipes[source] = Target.of_spec(self.spec(source))
        return self._recipes[source]

    def spec(self, source: int | None = None) -> dict[str, Any]:
        """The target as plain data, for a started process."""
        if source is not None:
            raise BadTarget(f"a source was given for {self.name!r}, which makes its own inputs; set its length there.")
        return self._spec()

    def _spec(self) -> dict[str, Any]:
        raise NotImplementedError

    def runnable(self) -> dict[str, Any]:
        """The same for a real run. Raises BadTarget for what only a trace can follow."""
        return self.spec()

    def resized(self, setting: str, size: Any) -> "Subject":
        """The same target with another value of one of its settings.

        Raises BadTarget where it has none.
        """
        raise BadTarget(f"{self.name} was asked for at {setting} = {size}; its sizes are its own: ask for T or B.")

    def resizable(self, request: Request) -> Resizable | None:
        """The target at other sizes; None where they are fixed."""
        return None
