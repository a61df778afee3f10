"""One image and one sound for each sequence, where a model of the transformers package reads them among its words.

An image stands for some tokens of the sequence: T of them is what the language model sees, as the package's processors
write it. How many is read off the model's own `get_image_features` or `get_audio_features`, and the whole is run once
on a short text before it is used, so that a model whose images are of another kind is counted without one, and says so.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from seqcost.errors import FOREIGN_ERRORS, TraceFailed, with_type
from seqcost.fakes.cpu_kernels import Substituting
from seqcost.fakes.trees import tensors_in
from seqcost.fakes.values import values_known
from seqcost.programs.hugging_face.images import Arguments, Way, image_ways
from seqcost.programs.hugging_face.runs import counted_as_they_should, on_plain_torch
from seqcost.programs.hugging_face.sounds import sound_ways

_WORDS = 3  # at least, beside an image: two before a step of decoding, and the step's own


@dataclass(frozen=True)
class _Kind:
    """What may stand among words: how a configuration and a model name it."""

    name: str
    plural: str
    tokens: tuple[str, ...]  # settings: the token that stands for it
    around: tuple[tuple[str, ...], tuple[str, ...]]  # and those before and after it
    arguments: tuple[str, ...]
    features: str
    mark: int  # among the kinds of tokens
    ways: Callable[[Any], Iterator[Way]]


_KINDS = (
    _Kind(
        "image", "images", ("image_token_id", "image_token_index", "im_patch_token_id"),
        (("vision_start_token_id",), ("vision_end_token_id",)), ("pixel_values",), "get_image_features", 1, image_ways,
    ),
    _Kind(
        "sound", "sounds", ("audio_token_id", "audio_token_index", "sound_token_id"),
        (("audio_start_token_id",), ("audio_end_token_id",)), ("input_features",), "get_audio_features", 3, sound_ways,
    ),
)  # fmt: skip
_TYPES = ("mm_token_type_ids", "moe_mm_token_type_ids")


@dataclass(frozen=True)
class Sense:
    """What a call is given for an image or a sound a sequence, and the tokens that it takes of each."""

    kind: _Kind
    tokens: int
    token_id: int
    before: int | None
    after: int | None
    arguments: Arguments
    size: str

    @property
    def marks(self) -> int:
        """Words before and after it."""
        return (self.before is not None) + (self.after is not None)


@dataclass(frozen=True)
class Senses:
    """All that a model is given among its words; `missing` are the reasons, by kind, why something is not."""

    given: tuple[Sense, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)
    types: tuple[str, ...] = ()  # arguments that tell what each token is of

    @property
    def tokens(self) -> int:
        """Of a sequence that are no words."""
        return sum(sense.tokens for sense in self.given)

    @property
    def words(self) -> int:
        """The fewest words beside them."""
        return max(_WORDS, 1 + sum(sense.marks for sense in self.given))

    def fits(self, T: int) -> bool:
        """Whether there is anything, and T tokens have room for it and a few words."""
        return bool(self.given) and self.tokens + self.words <= T

    def among(self, ids: Tensor) -> dict[str, Tensor]:
        """These words with an image, and a sound, before the rest."""
        B, T = ids.shape
        taken = {n for s in self.given for n in (s.token_id, s.before, s.after)}
        word = next(n for n in range(len(taken) + 1) if n not in taken)
        if isinstance(ids, FakeTensor):  # any word will do; a model may look at all of them to find its images
            ids = torch.full((B, T), word, device=ids.device)
        else:
            ids = ids.clone()
            for token in taken - {None}:
                ids[ids == token] = word
        types = torch.zeros((B, T), dtype=torch.int64, device=ids.device)
        found: dict[str, Tensor] = {}
        place = 0
        for sense in self.given:
            if sense.before is not None:
                ids[:, place] = sense.before
                place += 1
            ids[:, place : place + sense.tokens] = sense.token_id
            types[:, place : place + sense.tokens] = sense.kind.mark
            place += sense.tokens
            if sense.after is not None:
                ids[:, place] = sense.after
                place += 1
            found |= sense.arguments(B, T)
        return {"input_ids": ids} | {name: types.clone() for name in self.types} | found


_KNOWN: WeakKeyDictionary[nn.Module, Senses] = WeakKeyDictionary()


def senses_of(module: nn.Module) -> Senses:
    """What a model of the package can be given among its words."""
    if module not in _KNOWN:
        with values_known():
            _KNOWN[module] = _look_for(module)
    return _KNOWN[module]


def said_of_senses(module: nn.Module, T: int) -> dict[str, str]:
    """What an answer at T tokens says of images and sounds; nothing of a model that reads none."""
    senses, name = senses_of(module), type(module).__name__
    plurals = {kind.name: kind.plural for kind in _KINDS}
    found = {
        kind: f"none was given, though {name} reads {plurals[kind]}: {reason}"
        for kind, reason in senses.missing.items()
    }
    for sense in senses.given:
        kind, tokens = sense.kind.name, f"{sense.tokens:,}"
        if senses.fits(T):
            found[kind] = f"one of {sense.size} a sequence, which stands for {tokens} of its T tokens"
        else:
            found[kind] = (
                f"none was given: one stands for {tokens} tokens, and T = {T:,} has no room for them beside "
                f"{senses.words + senses.tokens - sense.tokens} words"
            )
    return found


def _look_for(module: Any) -> Senses:
    takes = inspect.signature(module.forward).parameters
    if "input_ids" not in takes or getattr(module, "main_input_name", "") != "input_ids":
        return Senses()
    types = tuple(name for name in _TYPES if name in takes)
    given: list[Sense] = []
    missing = {}
    for kind in _KINDS:
        token = _setting(module.config, kind.tokens)
        if not any(name in takes for name in kind.arguments) or _is_pair(module):
            continue
        if token is None:
            missing[kind.name] = f"its configuration names no token that stands for one ({', '.join(kind.tokens)})"
            continue
        found = _first_that_runs(module, kind, token, types)
        if isinstance(found, str):
            missing[kind.name] = found
            continue
        given.append(found)
        if len(given) > 1 and (failed := _fails(module, Senses(tuple(given), {}, types))):
            given.pop()
            missing[kind.name] = f"together with an image it fails ({failed})"
    return Senses(tuple(given), missing, types)


def _is_pair(module: Any) -> bool:
    """Whether a model reads an image beside its words and not among them, as CLIP does."""
    alone = _setting(module.config, tuple(name for kind in _KINDS for name in kind.tokens)) is None
    return alone and type(module).__name__.endswith("Model")


def _setting(config: Any, names: tuple[str, ...]) -> int | None:
    found = (getattr(config, name, None) for name in names)
    return next((token for token in found if isinstance(token, int)), None)


def _first_that_runs(module: Any, kind: _Kind, token: int, types: tuple[str, ...]) -> "Sense | str":
    """The first way of giving one that the model runs with, else why there is none."""
    before, after = (_setting(module.config, names) for names in kind.around)
    reasons = []
    for size, arguments in kind.ways(module):
        try:
            with _tried(module):
                tokens = _tokens(module, kind, arguments(1, 1))
        except FOREIGN_ERRORS as error:  # a model's own code, given what it may not take
            reasons.append(f"with one of {size} it fails ({with_type(error, most=120)})")
            continue
        sense = Sense(kind, tokens, token, before, after, arguments, size)
        failed = _fails(module, Senses((sense,), {}, types))
        if not failed:
            return sense
        reasons.append(f"with one of {size} it fails ({failed})")
    return reasons[0] if reasons else "it tells of no way to make one up"


def _fails(module: Any, senses: Senses) -> str:
    """How a short text with them fails, if it does."""
    words = torch.ones(1, senses.tokens + senses.words, dtype=torch.int64, device=module.device)
    try:
        with _tried(module):
            module(**senses.among(words))
    except FOREIGN_ERRORS as error:
        return with_type(error, most=120)
    return ""


@contextmanager
def _tried(module: nn.Module) -> Iterator[None]:
    """Run a model only to see whether it does; tensors that it remembers of that are forgotten."""
    before = [(part, _remembered(part)) for part in module.modules()]
    training = module.training
    module.eval()
    try:
        with torch.no_grad(), on_plain_torch(), counted_as_they_should(module), Substituting():
            yield
    finally:
        module.train(training)
        for part, tensors in before:
            for name in _remembered(part).keys() - tensors.keys():
                setattr(part, name, None)
            vars(part).update(tensors)


def _remembered(part: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in vars(part).items() if isinstance(value, Tensor)}


def _tokens(module: Any, kind: _Kind, arguments: dict[str, Tensor]) -> int:
    if "cross_attention_mask" in arguments:
        return 1  # it is seen from the side; a word stands for its place
    owners = [part for part in (module, getattr(module, "model", None)) if part is not None]
    features_of = next((getattr(part, kind.features) for part in owners if hasattr(part, kind.features)), None)
    if features_of is None:
        return _length_told(owners, kind, arguments)
    takes = inspect.signature(features_of).parameters
    other = any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes.values())
    output = features_of(**{name: value for name, value in arguments.items() if other or name in takes})
    features = getattr(output, "pooler_output", None)
    return sum(t.numel() // t.shape[-1] for t in tensors_in(output if features is None else features))


def _length_told(owners: list[Any], kind: _Kind, arguments: dict[str, Tensor]) -> int:
    """Tokens of a sound as its encoder tells them from its frames, where the model does not hand the features out."""
    towers = (getattr(part, "audio_tower", None) for part in owners)
    told = next((getattr(tower, "_get_feat_extract_output_lengths", None) for tower in towers if tower), None)
    frames = next((mask.shape[1] for name, mask in arguments.items() if name.endswith("mask")), None)
    if told is None or frames is None:
        raise TraceFailed(f"it has no {kind.features} that tells how many tokens one takes")
    return int(told(frames)[-1])
