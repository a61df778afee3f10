"""What a model of the transformers package carries from token to token: its own cache, whatever class that is of.

Dynamic, static, sliding-window, hybrid, Mamba's, RWKV's and XLNet's caches are all found in the model's output and
given back under the name that they have there. Bytes are those of every tensor in them but counters (tensors without
dimensions); of a view, such as the last W − 1 keys of a window, the part that is seen.
"""

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seqcost.errors import BadTarget
from seqcost.trace.cpu_kernels import Substituting

# As outputs name it; the most usual first.
NAMES = ("past_key_values", "cache_params", "state", "mems", "past_buckets_states")
_PACKAGE = "transformers."


@dataclass(frozen=True)
class Carried:
    """The tensors of a cache, and the argument of a call that is given it.

    Calls change a cache, so `argument()` copies all of it but the tensors' memory.
    """

    tensors: tuple[Tensor, ...]
    argument: Callable[[], dict[str, Any]]


def cache_bytes(cache: Any) -> int:
    """Bytes that a cache of the transformers package holds, in all layers and sequences."""
    return sum(tensor.numel() * tensor.element_size() for tensor in cache_tensors(cache))


def cache_tensors(cache: Any) -> Iterator[Tensor]:
    """The tensors of a cache, each once, counters left out."""
    met: set[int] = set()
    waiting = [cache]
    while waiting:
        value = waiting.pop()
        if id(value) in met:
            continue
        met.add(id(value))
        if isinstance(value, Tensor):
            if value.dim():
                yield value
        elif isinstance(value, Mapping):
            waiting += list(value.values())
        elif isinstance(value, tuple | list):
            waiting += list(value)
        elif _is_part(value):
            waiting += list(vars(value).values())


def call_with_cache(module: nn.Module, kwargs: Mapping[str, Any], carried: Carried | None) -> tuple[Any, Carried]:
    """One call that is given a cache (None: an empty one) and returns its output and the cache after it.

    Raises BadTarget for a model that returns none.
    """
    takes = inspect.signature(module.forward).parameters
    asked = {name: True for name in ("use_cache", "return_dict") if name in takes}
    output = module(**kwargs, **asked, **(carried.argument() if carried is not None else {}))
    return output, carried_in(output, module)


def carried_in(output: Any, module: nn.Module) -> Carried:
    """The cache in a model's output."""
    for name in NAMES:
        found = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if found is not None:
            return _carrying(name, found)
    raise BadTarget(
        f"{type(module).__name__} was asked to carry a cache and returns none ({', '.join(NAMES)}); a model that "
        "cannot be decoded from has the phases forward and train."
    )


def _carrying(name: str, cache: Any) -> Carried:
    return Carried(tuple(cache_tensors(cache)), lambda: {name: _copied(cache)})


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
    last = {words: ids[:, -1:].clone()}
    paired = words == "decoder_input_ids"
    if ids.shape[1] == 1 and not paired:
        return last, None
    # One word at least, so that the encoder runs: the step at the first word then finds a cache of one.
    before = dict(kwargs) | {words: ids[:, : max(1, ids.shape[1] - 1)]}
    with torch.no_grad(), Substituting():
        output, carried = call_with_cache(module, before, None)
    if paired:
        last["encoder_outputs"] = _encoded(output)
    return last, carried


def _encoded(output: Any) -> Any:
    from transformers.modeling_outputs import BaseModelOutput

    return BaseModelOutput(last_hidden_state=output.encoder_last_hidden_state)


def _is_part(value: Any) -> bool:
    return type(value).__module__.startswith(_PACKAGE) and hasattr(value, "__dict__") and not isinstance(value, type)


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value if value.dim() else value.clone()  # a counter is counted on in place
    if isinstance(value, dict) and not _is_part(value):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, tuple | list) and type(value) in (tuple, list):
        return type(value)(_copied(item) for item in value)
    if _is_part(value) and not hasattr(value, "to_dict"):  # a configuration is the same for all
        made = copy.copy(value)
        vars(made).update({name: _copied(item) for name, item in vars(value).items()})
        return made
    return value
