"""What a model of the transformers package carries from token to token: its own cache, whatever class that is of.

Dynamic, static, sliding-window, hybrid, Mamba's, RWKV's and XLNet's caches are all found in the model's output and
given back under the name that they have there, which must be an argument of the model: releases name it differently.
Bytes are those of every tensor in them but counters (tensors without dimensions); of a view, such as the last W − 1
keys of a window, the part that is seen.
"""

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seqcost.errors import BadTarget
from seqcost.fakes.cpu_kernels import Substituting

# As outputs name what is no object of the package's class Cache, such as a list of tensors; that class needs no name.
NAMES = ("past_key_values", "cache_params", "cache", "state", "mems", "past_buckets_states")
_SEEN = ("cross_attention_mask",)  # one row per word, of what it sees of an image from the side: a step has its own
_TOLD = ("mm_token_type_ids", "moe_mm_token_type_ids", *_SEEN)  # of each word
_PACKAGE = "transformers."


@dataclass(frozen=True)
class Carried:
    """The tensors of a cache, and the argument of a call that is given it.

    Calls change a cache. `argument()` copies all of it but the tensors' memory, `own()` the memory as well. `given()`
    gives the cache itself away, once, as a decoding loop does: a model that replaces its keys by longer ones releases
    the old ones layer by layer, and nothing here keeps them.
    """

    tensors: list[Tensor]
    counters: Callable[[], list[Tensor]]  # memory too, but no state: a few bytes per layer
    argument: Callable[[], dict[str, Any]]
    own: Callable[[], dict[str, Any]]
    given: Callable[[], dict[str, Any]]


def cache_tensors(cache: Any) -> Iterator[Tensor]:
    """The tensors of a cache, each once, counters left out."""
    return (tensor for tensor in _all_tensors(cache) if tensor.dim())


def _all_tensors(cache: Any) -> Iterator[Tensor]:
    met: set[int] = set()
    waiting = [cache]
    while waiting:
        value = waiting.pop()
        if id(value) in met:
            continue
        met.add(id(value))
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, Mapping):
            waiting += list(value.values())
        elif isinstance(value, tuple | list):
            waiting += list(value)
        elif _is_part(value):
            waiting += list(vars(value).values())


def call_with_cache(
    module: nn.Module, kwargs: Mapping[str, Any], carried: Mapping[str, Any] | None
) -> tuple[Any, Carried]:
    """One call that is given a cache as its argument (None: an empty one) and returns its output and the cache after.

    Raises BadTarget for a model that returns none, or that did not go on from the one it was given.
    """
    takes = inspect.signature(module.forward).parameters
    asked = {name: True for name in ("use_cache", "return_dict") if name in takes}
    output = module(**kwargs, **asked, **(carried or {}))
    name = cache_name(module, output)
    cache = output[name]
    for before in (carried or {}).values():
        if _is_cache(before) and before is not cache:
            raise BadTarget(
                f"{type(module).__name__} was given a cache as {', '.join(carried or {})} and went on from another; "
                "its step cannot be told from a first token: choose the phases forward, train or prefill."
            )
    return output, _carrying(name, cache)


def cache_name(module: nn.Module, output: Any) -> str:
    """Under which name a model returns its cache and takes it: the package's class tells it, else one of NAMES.

    Raises BadTarget for a model that returns none, or takes none under that name.
    """
    found = dict(output) if isinstance(output, Mapping) else {}
    named = [name for name, value in found.items() if _is_cache(value)]
    named += [name for name in NAMES if found.get(name) is not None and name not in named]
    if not named:
        raise BadTarget(
            f"{type(module).__name__} was asked to carry a cache and returns none; a model that cannot be decoded from "
            "has the phases forward and train."
        )
    takes = inspect.signature(module.forward).parameters
    name = next((name for name in named if name in takes), None)
    if name is not None:
        return name
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes.values()) and _is_cache(found[named[0]]):
        return named[0]  # handed on to a part of it; whether it arrived is seen by what comes back
    raise BadTarget(
        f"{type(module).__name__} returns a cache as {', '.join(named)} and takes none of that name; it cannot be "
        "decoded from, and has the phases forward and train."
    )


def _is_cache(value: Any) -> bool:
    """Whether a value is of the package's class Cache, which calls change in place (asked without importing it)."""
    return any(c.__name__ in ("Cache", "EncoderDecoderCache") and _is_theirs(c) for c in type(value).__mro__)


def _carrying(name: str, cache: Any) -> Carried:
    tensors, held = list(cache_tensors(cache)), [cache]

    def given() -> dict[str, Any]:
        tensors.clear()
        return {name: held.pop()}

    def counters() -> list[Tensor]:
        return [tensor for tensor in _all_tensors(held) if not tensor.dim()]

    return Carried(
        tensors,
        counters=counters,
        argument=lambda: {name: _copied(held[0])},
        own=lambda: {name: _copied(held[0], memory={})},
        given=given,
    )


def step_arguments(module: nn.Module, kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], Carried | None]:
    """The arguments of the step at the last of T tokens, and the cache of the T − 1 before it.

    A decoder beside an encoder steps through its own words; the encoder has run.
    """
    words = "decoder_input_ids" if "decoder_input_ids" in kwargs else "input_ids"
    if words not in kwargs:
        raise BadTarget(
            f"the phase decode was asked of {type(module).__name__}, which reads {', '.join(kwargs)} and not words; "
            "it has the phases forward and train."
        )
    ids = kwargs[words]
    last = {words: ids[:, -1:].clone()} | {name: kwargs[name][:, -1:].clone() for name in _SEEN if name in kwargs}
    paired = words == "decoder_input_ids"
    if ids.shape[1] == 1 and not paired:
        return last, None
    # One word at least, so that the encoder runs: the step at the first word then finds a cache of one.
    num_before = max(1, ids.shape[1] - 1)
    with torch.no_grad(), Substituting():
        output, carried = call_with_cache(module, _first(kwargs, words, num_before), None)
        if paired:
            last["encoder_outputs"] = _encoded(output)
        if num_before > 1 and any(map(_holds_more, carried.tensors)):
            # A window that was cut out of the whole text still holds all of it; every step but the first finds one
            # that the step before has made.
            carried = call_with_cache(module, _first(kwargs, words, num_before - 1), None)[1]
            step = last | {words: ids[:, num_before - 1 : num_before].clone()}
            carried = call_with_cache(module, step, carried.given())[1]
    return last, carried


def _first(kwargs: Mapping[str, Any], words: str, number: int) -> dict[str, Any]:
    """The arguments of a call on the first words, with what is told of each of them."""
    return {name: value[:, :number] if name in (words, *_TOLD) else value for name, value in kwargs.items()}


def _holds_more(tensor: Tensor) -> bool:
    return tensor.untyped_storage().nbytes() > tensor.numel() * tensor.element_size()


def _encoded(output: Any) -> Any:
    from transformers.modeling_outputs import BaseModelOutput

    return BaseModelOutput(last_hidden_state=output.encoder_last_hidden_state)


def _is_theirs(kind: type) -> bool:
    return kind.__module__.startswith(_PACKAGE)


def _is_part(value: Any) -> bool:
    return _is_theirs(type(value)) and hasattr(value, "__dict__") and not isinstance(value, type)


def _copied(value: Any, memory: dict[int, Tensor] | None = None) -> Any:
    """A cache of its own; with `memory`, the copies of storages made so far, of its own memory too."""
    if isinstance(value, Tensor):
        return value.clone() if not value.dim() else value if memory is None else _remade(value, memory)
    if isinstance(value, dict) and not _is_part(value):
        return {key: _copied(item, memory) for key, item in value.items()}
    if isinstance(value, tuple | list) and type(value) in (tuple, list):
        return type(value)(_copied(item, memory) for item in value)
    if _is_part(value) and not hasattr(value, "to_dict"):  # a configuration is the same for all
        made = copy.copy(value)
        vars(made).update({name: _copied(item, memory) for name, item in vars(value).items()})
        return made
    return value  # a counter in Python is a value


def _remade(tensor: Tensor, memory: dict[int, Tensor]) -> Tensor:
    """The same view of a copy of all that lies in the tensor's storage."""
    storage = tensor.untyped_storage()
    if storage._cdata not in memory:
        memory[storage._cdata] = tensor.as_strided((storage.nbytes() // tensor.element_size(),), (1,), 0).clone()
    return memory[storage._cdata].view(tensor.dtype).as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
