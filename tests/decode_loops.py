"""A decoding loop written out by hand around a model of the transformers package, on real tensors, and what it took.

The model is called on all words but two, on the last but one, and on the last, each time with the cache that the call
before returned and with nothing else kept: the third call is a step as it is anywhere in a long text. Its peak is the
profiler's, which saw every allocation of the whole loop; its FLOPs are counted by a mode of its own.
"""

import gc
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils._python_dispatch import TorchDispatchMode

CACHES = ("cache", "past_key_values", "cache_params", "state")
STEP = "the step"
aten = torch.ops.aten


@dataclass(frozen=True)
class Step:
    """What the last call of the loop took; the peak includes the weights."""

    peak_bytes: int
    flops: int
    cache_bytes: int


def decoded(model, ids):
    """A step of the model at the last of the words `ids`."""
    with torch.no_grad():
        _step(model, *_before_last(model, ids), ids)  # what is made only once is made here
        counting = Contractions()
        name, cache, more = _before_last(model, ids)
        with counting:
            cache = _step(model, name, cache, more, ids)
        held = sum(t.numel() * t.element_size() for t in _tensors(cache))
        del name, cache, more  # what was there before and goes during the loop would be taken from its peak
        gc.collect()
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            name, cache, more = _before_last(model, ids)
            held_by_the_loop = {name: cache}  # as a variable of the loop holds it
            del cache
            with record_function(STEP):
                model(**_words(model, ids[:, -1:].clone()), **more, **held_by_the_loop, use_cache=True)
    storages = [tensor.untyped_storage() for tensor in (*model.parameters(), *model.buffers())]
    weights = {storage.data_ptr(): storage.nbytes() for storage in storages}
    return Step(_highest(profiled) + sum(weights.values()), counting.flops, held)


def _words(model, ids):
    return {"decoder_input_ids" if model.config.is_encoder_decoder else "input_ids": ids}


def _before_last(model, ids):
    more = {}
    if model.config.is_encoder_decoder:
        more["encoder_outputs"] = model.get_encoder()(input_ids=ids)
    output = model(**_words(model, ids[:, :-2]), **more, use_cache=True)
    name = next(name for name in CACHES if name in output)
    cache = output[name]
    del output
    return name, _step(model, name, cache, more, ids[:, :-1]), more


def _step(model, name, cache, more, ids):
    return model(**_words(model, ids[:, -1:]), **more, **{name: cache}, use_cache=True)[name]


def _tensors(cache):
    parts = [cache]
    if hasattr(cache, "self_attention_cache"):
        parts = [cache.self_attention_cache, cache.cross_attention_cache]
    layers = [value for part in parts for layer in part.layers for value in vars(layer).values()]
    found = [item for value in layers for item in (value if isinstance(value, list) else
                                                   value.values() if isinstance(value, dict) else [value])]  # fmt: skip
    return [item for item in found if isinstance(item, torch.Tensor) and item.dim()]


def _highest(profiled):
    """Highest running total of the allocator since the step began, less what it was before the loop."""
    waiting, found = list(profiled.profiler.kineto_results.experimental_event_tree()), []
    while waiting:
        event = waiting.pop()
        found.append(event)
        waiting += event.children
    start = next(event.start_time_ns for event in found if event.name == STEP)
    memory = sorted((e for e in found if hasattr(e.extra_fields, "total_allocated")), key=lambda e: e.start_time_ns)
    totals = [(e.start_time_ns, e.extra_fields.total_allocated) for e in memory]
    before = totals[0][1] - memory[0].extra_fields.alloc_size
    at_start = [total for time, total in totals if time < start][-1]
    return max([at_start, *(total for time, total in totals if time >= start)]) - before


class Contractions(TorchDispatchMode):
    """FLOPs of products, convolutions and attention, from the shapes of real tensors."""

    def __init__(self):
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func in (aten.mm.default, aten.bmm.default):
            self.flops += 2 * out.numel() * args[0].shape[-1]
        elif func in (aten.addmm.default, aten.baddbmm.default):
            self.flops += 2 * out.numel() * args[1].shape[-1]  # a bias is pointwise
        elif func is aten.convolution.default:
            self.flops += 2 * out.numel() * args[1][0].numel()
        elif func is aten._scaled_dot_product_flash_attention_for_cpu.default:
            q, k, v = args[:3]
            self.flops += 2 * q[..., 0].numel() * k.shape[-2] * (k.shape[-1] + v.shape[-1])
        elif func is aten._grouped_mm.default:
            self.flops += 2 * out.numel() * args[0].shape[-1]
        return out
