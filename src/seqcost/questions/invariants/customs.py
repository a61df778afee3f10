"""The customs of others: Hugging Face's cache among the keyword arguments, and a state given and returned.

What a signature says is not what a module does (a name may hide among **kwargs, an encoder takes a cache and gives
none), so each is asked by a call.
"""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seqcost.errors import FOREIGN_ERRORS
from seqcost.programs.hugging_face.caches import NAMES, cache_tensors
from seqcost.questions.invariants.carriers import Carrier, Stateless, first_output
from seqcost.questions.invariants.direction import says_causal
from seqcost.questions.invariants.ids import padding_id

# Names under which modules take what they carry, and words for it in the names of wishes to have it back.
STATES = ("state", "states", "hx", "hidden", "hidden_state", "cache", "carry", "prev_hidden", "memory_state", "mems")
_WORDS = ("cache", "state", "hidden", "intermediates", "mems")
_CLOSE = 1e-3
_MOST_INNER = 64


class HuggingFace(Carrier):
    """A cache among the keyword arguments, filled in place."""

    def __init__(self, module: nn.Module, x: Tensor) -> None:
        super().__init__(module, "no state", carries=False, functional=False)
        takes = inspect.signature(module.forward).parameters
        self._names = set(takes)
        self._cache: str | None = None
        self._origin = 0
        self._loose = any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes.values())
        if "use_cache" in takes or (self._loose and any(name in takes for name in NAMES)):
            self._ask_for_a_cache(x)
        if self.takes_mask and "position_ids" in takes:
            self._origin = self._first_position(x)

    def _ask_for_a_cache(self, x: Tensor) -> None:
        takes_one = next((name for name in NAMES if name in self._names), None)
        try:
            out = self.module(**self._inputs(x, 0, None), use_cache=True)
        except FOREIGN_ERRORS:
            # What goes wrong is told by the rows; where the wish is not even a parameter, it was not understood.
            self._cache = takes_one if "use_cache" in self._names else None
        else:
            given = [name for name in NAMES if getattr(out, name, None) is not None]
            self._cache = next((name for name in given if name in self._names or self._loose), None)
        self.hidden = "use_cache" in self._names and self._cache is None and self._generates()
        self.carries = self.hidden or self._cache is not None
        if self.carries:
            self.custom = f"{self._cache}=" if self._cache else "a state inside the module"

    def _generates(self) -> bool:
        """Whether it is made to be decoded from, so that what it does not give back must be inside (RecurrentGemma)."""
        can = getattr(self.module, "can_generate", None)
        return callable(can) and bool(can()) and says_causal(self.module) is not False

    def _first_position(self, x: Tensor) -> int:
        """The number that it gives to the first token by itself: 0, or the one after the padding id's (RoBERTa)."""
        pad, y = padding_id(self.module), self.whole(x)
        keep = torch.ones(x.shape[:2], dtype=torch.bool)
        for self._origin in (0,) if pad is None else (0, pad + 1):
            try:
                if torch.allclose(self.whole(x, keep=keep), y, rtol=1e-4, atol=1e-4 * float(y.abs().max())):
                    return self._origin
            except FOREIGN_ERRORS:
                continue
        return 0

    @property
    def takes_mask(self) -> bool:
        return "attention_mask" in self._names

    @property
    def steps_take_mask(self) -> bool:
        return self.takes_mask

    def whole(self, x: Tensor, *, keep: Tensor | None = None) -> Tensor:
        given = {"use_cache": False} if "use_cache" in self._names else {}
        return first_output(self.module(**self._inputs(x, 0, keep), **given))

    def go_on(self, x: Tensor, at: int, state: Any, *, keep: Tensor | None = None) -> tuple[Tensor, Any]:
        given = {"use_cache": True} | ({self._cache: state} if self._cache and state is not None else {})
        out = self.module(**self._inputs(x, at, keep), **given)
        return first_output(out), getattr(out, self._cache, None) if self._cache else None

    def tensors(self, state: Any) -> Iterator[Tensor]:
        return cache_tensors(state)

    def _inputs(self, x: Tensor, at: int, keep: Tensor | None) -> dict[str, Any]:
        x = self.new(x, at)
        given: dict[str, Any] = {"inputs_embeds" if x.is_floating_point() else "input_ids": x}
        if keep is not None and self.takes_mask:
            given["attention_mask"] = keep.long()
            if "position_ids" in self._names:  # padding has no position of its own
                given["position_ids"] = (keep.long().cumsum(1) - 1).clamp_min(0)[:, at:] + self._origin
        return given


@dataclass(frozen=True)
class _Call:
    """How a state is asked for and given back: `m(x, name=state, wish=True) → (y, state)`."""

    name: str
    wish: str | None
    so_far: bool = False  # x is all tokens so far, of which only the new ones are worked on
    tokens: int = 2  # two stand for any number

    def __call__(self, module: nn.Module, x: Tensor, at: int, state: Any, time_axis: int) -> Any:
        seen = x if self.so_far else x.narrow(time_axis, at, x.shape[time_axis] - at)
        return module(seen, **{self.name: state}, **({self.wish: True} if self.wish else {}))


class Recurrence(Carrier):
    """`m(x, state) → (y, state)`, the state None at the start: torch.nn.LSTM and its kin."""

    def __init__(self, module: nn.Module, call: _Call, time_axis: int) -> None:
        asked = f", {call.wish}=True" if call.wish else ""
        custom = f"m(x, {call.name}{asked})" + (", x all tokens so far" if call.so_far else "")
        super().__init__(module, custom, pieces=call.tokens > 1, time_axis=time_axis)
        self._call = call

    def whole(self, x: Tensor, *, keep: Tensor | None = None) -> Tensor:
        return first_output(self.module(x))

    def go_on(self, x: Tensor, at: int, state: Any, *, keep: Tensor | None = None) -> tuple[Tensor, Any]:
        for _ in range(_MOST_INNER):
            y, *_, state = self._call(self.module, x, at, state, self.time_axis)
            if y is not None:  # else the call was one of the module's inner tokens, such as Titans' memories
                break
        return first_output(y), state


def recurrence(module: nn.Module, name: str, x: Tensor, axis: int) -> Carrier:
    """A module that takes a state of that name, as it can be carried on; without a state where it gives none back."""
    half = x.shape[axis] // 2
    wishes = [wish for wish in _wishes(module, name) if _gives_state(module, _Call(name, wish), x, half, axis)]
    if not wishes:
        return Stateless(module, f" ({name}= is taken, none given back)", time_axis=axis)
    y = first_output(module(x))
    for tokens in (2, 1):
        calls = [_Call(name, wishes[0], so_far, tokens) for so_far in (False, True)]
        gaps = [(gap > _CLOSE, call) for call in calls if (gap := _gap(module, call, x, y, half, axis)) is not None]
        if gaps:  # the one that agrees with the whole, else the first
            return Recurrence(module, min(gaps, key=lambda found: found[0])[1], axis)
    if says_causal(module) is False:
        return Stateless(module, f" (it sees both ways and refuses {name}=)", time_axis=axis)
    return Recurrence(module, _Call(name, wishes[0]), axis)


def _wishes(module: nn.Module, name: str) -> list[str | None]:
    """Switches by which a state can be asked for, the likeliest first; None: it comes unasked."""
    parameters = inspect.signature(module.forward).parameters
    switches = [p.name for p in parameters.values() if p.default is False and p.name.startswith("return_")]
    asked: list[str | None] = [switch for word in (name, *_WORDS) for switch in switches if word in switch]
    return [*dict.fromkeys(asked), None]


def _gives_state(module: nn.Module, call: _Call, x: Tensor, half: int, axis: int) -> bool:
    try:
        out = call(module, x.narrow(axis, 0, half), 0, None, axis)
    except FOREIGN_ERRORS:
        return False
    return isinstance(out, tuple) and len(out) > 1


def _gap(module: nn.Module, call: _Call, x: Tensor, y: Tensor, half: int, axis: int) -> float | None:
    """How far the tokens after the first half are off the whole's; None where the call is not understood."""
    stop = half + call.tokens
    try:
        _, state = call(module, x.narrow(axis, 0, half), 0, None, axis)[-2:]
        found = first_output(call(module, x.narrow(axis, 0, stop), half, state, axis)[0])
    except FOREIGN_ERRORS:
        return None
    wanted = y.narrow(axis, half, call.tokens)
    return float((found - wanted).abs().max() / y.abs().max()) if found.shape == wanted.shape else None
