"""The largest size of a setup that fits: which sizes there are, how a setup is had at one, and few looks."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from seqcost.errors import BadSize, SeqcostError
from seqcost.formulas.core.foreign_names import settings_for
from seqcost.formulas.core.rounding import block_sizes
from seqcost.plan import Largest, largest
from seqcost.questions.answers.formula import longest_text
from seqcost.questions.asked.request import DEFAULT_LENGTH
from seqcost.questions.fitting.setup import Look, Setup
from seqcost.questions.targets.subject import Subject

if TYPE_CHECKING:
    from seqcost.questions.fitting.traced import Traced

FINDS = {"length": "T", "batch": "B", "D": "D", "L": "L"}
_STEPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)  # of a width that must divide
_MOST_LAYERS = 10_000
_MOST_WIDTH = 2**24


def setting_of(subject: Subject, letter: str) -> str | None:
    """What a target calls a letter; None where it has none."""
    own = subject.setting(letter)
    names = settings_for(letter, lambda name: subject.setting(name) is not None)
    return own or next((subject.setting(name) for name in names), None)


class Solver:
    """A setup along one of its sizes."""

    def __init__(self, setup: Setup, find: str, *, quick: bool | None = None, near: int | None = None) -> None:
        self.setup, self.find = setup, find
        self._quick, self._near = quick, near
        self._looks: dict[int, Look] = {}

    @cached_property
    def traced(self) -> "Traced | None":
        """What looks where there is no formula."""
        if self.setup.formula is not None:
            return None
        from seqcost.questions.fitting.traced import Traced

        return Traced(self.setup, quick=self._quick)

    @property
    def longest(self) -> int | None:
        """The most tokens that the model takes; None where nothing limits them."""
        config = self.setup.subject.config
        if config is not None:
            return longest_text(config)
        return None if self.traced is None or self._near is not None else self.traced.longest

    def at(self, size: int) -> Setup:
        """The setup at a size."""
        if self.find == "length":
            return self.setup.with_request(T=size)
        at_length = self.setup.with_request(T=self.setup.request.T or DEFAULT_LENGTH)
        if self.find == "batch":
            return at_length.with_request(B=size)
        return replace(at_length, subject=self.setup.subject.resized(self._setting, size))

    @cached_property
    def _setting(self) -> str:
        found = setting_of(self.setup.subject, self.find)
        if found is None:
            named = f"{self.find} was asked for of {self.setup.subject.name}, which has no such setting"
            raise BadSize(f"{named}; choose length or batch.")
        return found

    def look(self, size: int) -> Look:
        """The look at a size; each is made once."""
        if size not in self._looks:
            setup = self.at(size)
            self._looks[size] = setup.look() if self.traced is None else self.traced.look(setup)
        return self._looks[size]

    def brief(self, size: int) -> Look:
        """The look at a size, without the tensors at its peak where a formula can leave them out."""
        if size in self._looks or self.traced is not None:
            return self.look(size)
        return self.at(size).look(apart=False)

    def peak_bytes(self, size: int) -> int:
        """The peak at a size."""
        return self.at(size).peak_bytes() if self.traced is None else self.look(size).peak_bytes

    def is_quick(self, size: int) -> bool:
        """Whether a trace at a long length takes no more operators than one at a short length."""
        if self.traced is not None and self.setup.subject.config is None:
            return self.traced.is_quick(self.at(size))
        own = replace(self.at(size), changes={}, states="")
        own = own.with_request(optimizer=None, accumulate=1, trace=False)
        longer = own.with_request(T=2 * (own.request.T or DEFAULT_LENGTH))
        return longer.look(apart=False).launches == own.look(apart=False).launches

    def largest(self, limit: int) -> Largest:
        """The largest size whose peak is within a limit of bytes."""
        guess = self._guess(limit)
        known = {size: look.peak_bytes for size, look in self._looks.items()}
        return largest(
            self.peak_bytes, limit, step=self.step, last=self._last, guess=guess, known=known, beyond=self._beyond
        )

    def _guess(self, limit: int) -> int | None:
        """Where a trace would find the answer."""
        if self.traced is None:
            return None
        if self._near is None:
            return self.traced.guess(limit) if self.find == "length" else None
        second = self._near
        first = max(self.step, second // 2 // self.step * self.step)
        if first == second:
            return None
        rise = self.peak_bytes(second) - self.peak_bytes(first)
        if rise <= 0:
            return second
        return max(1, second + (limit - self.peak_bytes(second)) * (second - first) // rise)

    @property
    def _last(self) -> int | None:
        if self.find == "length":
            return self.longest
        return {"L": _MOST_LAYERS, "D": _MOST_WIDTH}.get(self.find)

    @cached_property
    def step(self) -> int:
        """What the size must be a multiple of: of heads, of mixers that take turns."""
        if self.find in ("length", "batch"):
            return 1
        refused: SeqcostError | None = None
        for step in _STEPS:
            try:
                for size in (step, 3 * step, 5 * step):
                    self.peak_bytes(size)
            except SeqcostError as error:
                refused = refused or error
                continue
            return step
        assert refused is not None
        raise refused

    def _beyond(self, size: int) -> Iterator[int]:
        """Where the peak might fall again: at whole blocks, and twice as far."""
        if self.find != "length" or self.traced is not None:
            return
        config = self.setup.formula
        for block in block_sizes(config, products=False) if config is not None else ():
            yield -(-(size + 2) // block) * block
        yield size + 2
        yield 2 * size
