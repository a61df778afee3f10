"""Which operators the graph of a program's file may call, and how they are found: by name, in PyTorch's own tables.

What may be called computes tensors or numbers from tensors and numbers. An operator of ATen is one if the dispatcher
knows it, if it gives something back (an assertion need not) and if the words among its arguments are names of ways to
compute (`approximate`, `reduce`): then it can neither print nor write nor read a file. Operators of others are found
where their library is imported, if a formula was registered for them or PyTorch says that they work element by
element.
"""

import math
import operator
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from seqcost.errors import BadTarget
from seqcost.fakes.schemas import base_name, is_pointwise

_LIBRARIES = ("aten", "quantized_decomposed", "torchvision", "seqcost")
TAUGHT: set[str] = set()  # operators of other libraries that the user gave a formula (`register_operator`)
# The arguments of ATen that are words; `filename`, `s` (of _print) and their kind are none of these.
WORDS = ("activation", "algorithm", "approximate", "driver", "equation", "indexing", "interpolation", "mode", "norm",
         "ord", "p", "pad_mode", "padding", "padding_side", "reduce", "rounding_mode", "side", "UPLO")  # fmt: skip
_ASSERTIONS = ("aten::_assert_scalar", "aten::_assert_async", "aten::_assert_tensor_metadata",
               "aten::_functional_assert_scalar", "aten::_functional_assert_async", "aten::sym_constrain_range",
               "aten::sym_constrain_range_for_size")  # fmt: skip
_REFUSED_TYPES = ("Storage", "Stream", "__torch__")
_NOT_COMPUTING = ("aten::from_file", "aten::set_", "aten::_pin_memory", "aten::pin_memory")
MOST_PIECES = 100_000
MOST_STEPS = 1_000_000  # of a recurrence, each of which may be operators of its own
_RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")
_PIECES = ("unbind", "split", "chunk", "unsafe_split", "unsafe_chunk", "tensor_split", "hsplit", "vsplit", "dsplit",
           "unbind_copy", "split_copy")  # fmt: skip
_MOST_BITS = 128


def _small(function: Callable[[Any, Any], Any], bits: Callable[[int, int], int]) -> Callable[[Any, Any], Any]:
    """The function, where its result is no longer than any size can be."""

    def run(a: Any, b: Any) -> Any:
        if isinstance(a, int) and isinstance(b, int) and bits(a, b) > _MOST_BITS:
            raise BadTarget(f"the program computes a size of over {_MOST_BITS} bits; export it anew.")
        return function(a, b)

    return run


SIZES: dict[str, Callable[..., Any]] = {
    **{f"_operator.{name}": getattr(operator, name) for name in (
        "add", "sub", "mul", "floordiv", "truediv", "mod", "neg", "pos", "eq", "ne", "lt", "le", "gt", "ge", "and_",
        "or_", "not_", "getitem", "rshift")},
    "_operator.pow": _small(operator.pow, lambda a, b: a.bit_length() * max(b, 0)),
    "_operator.lshift": _small(operator.lshift, lambda a, b: a.bit_length() + b),
    **{f"math.{name}": getattr(math, name) for name in ("ceil", "floor", "sqrt", "trunc")},
    **{f"torch.sym_{name}": getattr(torch, f"sym_{name}") for name in (
        "not", "int", "float", "ite", "max", "min", "sqrt") if hasattr(torch, f"sym_{name}")},
    "torch._sym_sqrt": math.sqrt,
}  # fmt: skip


def _with_grad(enabled: bool, run: Callable[..., Any], *args: Any) -> Any:
    with torch.set_grad_enabled(enabled):
        return run(*args)


def _with_autocast(device: str, dtype: Any, enabled: bool, cached: bool, run: Callable[..., Any], *args: Any) -> Any:
    with torch.autocast("cpu", dtype=dtype, enabled=enabled, cache_enabled=cached):
        return run(*args)


# Operators that take graphs. The two that only set a mode are entered here; PyTorch follows the others.
_OF_GRAPHS = ("cond", "while_loop", "scan", "associative_scan", "map_impl", "flex_attention")
MODES: dict[str, Callable[..., Any]] = {
    "wrap_with_set_grad_enabled": _with_grad,
    "wrap_with_autocast": _with_autocast,
}


@cache
def found(target: str, program: str) -> Callable[..., Any]:
    """What a graph's name of an operator stands for; raises BadTarget for what is none that computes."""
    if target in SIZES:
        return SIZES[target]
    head, _, rest = target.partition("torch.ops.")
    parts = rest.split(".")
    if not head and len(parts) == 2 and parts[0] == "higher_order":
        if parts[1] in MODES:
            return MODES[parts[1]]
        if parts[1] in _OF_GRAPHS:
            return getattr(torch.ops.higher_order, parts[1])
    if not head and len(parts) == 3 and (operator := _registered(*parts)) is not None:
        return operator
    raise BadTarget(f"{program} calls {target[:80]!r}; operators of torch and arithmetic are allowed.")


def _registered(library: str, name: str, overload: str) -> Any:
    qualified = f"{library}::{name}"
    wanted = "" if overload == "default" else overload
    try:
        torch._C._dispatch_find_schema_or_throw(qualified, wanted)
    except RuntimeError:  # the dispatcher has none of that name: TorchScript's own (aten::save) are not there
        return None
    operator = getattr(getattr(getattr(torch.ops, library), name), overload)
    if library not in _LIBRARIES and base_name(operator) not in TAUGHT and not is_pointwise(operator):
        return None
    return operator if computes(operator._schema) else None


def computes(schema: Any) -> bool:
    """Whether an operator with this schema does nothing but compute."""
    if schema.name in _NOT_COMPUTING or schema.name.startswith("aten::_test_"):
        return False
    if schema.name in _ASSERTIONS:
        return True
    kinds = [str(argument.type) for argument in (*schema.arguments, *schema.returns)]
    if any(refused in kind for kind in kinds for refused in _REFUSED_TYPES):
        return False
    return bool(schema.returns) and all(
        argument.name in WORDS for argument in schema.arguments if "str" in str(argument.type)
    )


def check_pieces(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], receivers: Any, program: str) -> None:
    """Refuse more steps, or pieces of a tensor than the graph takes up: they would all be made first."""
    name = operator._schema.name.partition("::")[2] if isinstance(operator, torch._ops.OpOverload) else ""
    if name in _RECURRENT and isinstance(args[0], torch.Tensor) and max(args[0].shape, default=0) > MOST_STEPS:
        raise BadTarget(
            f"{program} has a recurrence over {max(args[0].shape):,} steps; at most {MOST_STEPS:,} are followed."
        )
    if name not in _PIECES:
        return
    taken = len(receivers) if isinstance(receivers, list) else 0
    cut = next((value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)), None)
    longest = max(cut.shape, default=0) if cut is not None else 0
    numbers = [value for value in (*args[1:], *kwargs.values()) if isinstance(value, int)]
    dim = kwargs.get("dim", numbers[-1] if name.startswith("unbind") and numbers else 0)
    if name.startswith("unbind") and cut is not None and cut.dim():
        pieces = cut.shape[dim]
        fits = pieces == taken
    elif name in ("split", "unsafe_split", "split_copy") and numbers:
        pieces = -(-longest // max(numbers[0], 1))
        fits = pieces <= MOST_PIECES
    else:
        pieces = min(max(numbers, default=0), longest) if "split" not in name else max(numbers, default=0)
        fits = pieces <= MOST_PIECES
    if not fits:
        raise BadTarget(f"{program} cuts a tensor into {pieces:,} pieces and takes up {taken:,}; export it anew.")
