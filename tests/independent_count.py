"""A count of the tests' own, on real tensors that compute: what the traced count must equal.

FLOPs of contractions by the definition of each product (a multiply-add is two, of complex numbers eight). Bytes by
kernel: each distinct operand read once (an expanded axis once), each result written once; what is changed in place is
read and written, what is only overwritten is written; a look-up reads the rows that it takes. Kept bytes are those of
the distinct storages that the graph holds when the call has returned.
"""

import math
import weakref
from collections import Counter

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# Rows are taken from the first operand: as much of it is read as is written.
TAKES_ROWS = {"embedding", "index", "_unsafe_index", "index_select", "gather", "take"}
# One element of each row of the first operand is read, which the second names.
PICKS = {"nll_loss_forward", "nll_loss2d_forward"}
# Rows of the changed operand are touched: as many as the last operand has.
PUTS_ROWS = {"index_put", "_index_put_impl", "index_add", "index_copy", "scatter", "scatter_add"}
FILLS = PUTS_ROWS | {"index_fill", "masked_scatter", "put"}
# The first operand gives its shape and is not read.
SHAPE_ONLY = {"ones_like", "zeros_like", "full_like", "rand_like", "randn_like", "new_ones", "new_zeros", "new_full"}
OVERWRITES = {"copy", "fill", "zero", "normal", "uniform", "bernoulli", "random", "exponential"}
NOT_WRITTEN = {
    "empty",
    "empty_like",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
    "empty_permuted",
    "resize",
    "set",
}
DUNDERS = ("__and__", "__or__", "__xor__")


def _name(func):
    name = func._schema.name.split("::")[1]
    return name if name in DUNDERS else name.rstrip("_")


def _seen(tensor):
    """Bytes of the distinct elements that a tensor shows."""
    sizes = [n for n, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride or not n]
    return math.prod(sizes) * tensor.element_size()


def _same_elements(a, b):
    return a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride() and a.dtype == b.dtype


def _tensors(tree):
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _product(args, out):
    """Rows times columns: every number of the result is a sum over the last axis of the left side."""
    left = next(a for a in args if isinstance(a, Tensor) and a.dim() >= 2 and a.shape[-2:-1] == out.shape[-2:-1])
    return 2 * out.numel() * left.shape[-1] * (4 if out.is_complex() else 1)


def _convolution(x, weight, transposed, out):
    """Each element of the result (transposed: of the input) meets one filter."""
    return 2 * (x if transposed else out).numel() * weight[0].numel()


def _transform(x, out, dims, *, real):
    """Five n log₂ n a complex transform, half of it a real one."""
    whole = x if out.is_complex() and not x.is_complex() else out
    n = math.prod(whole.shape[d] for d in dims)
    flops = 5 * whole.numel() * math.log2(n) if n > 1 else 0
    return round(flops / 2) if real else round(flops)


def _cubes(a, thirds):
    return math.prod(a.shape[:-2]) * round(thirds * a.shape[-1] ** 3 / 3)


RULES = {
    "mm": lambda args, out: _product(args, out),
    "bmm": lambda args, out: _product(args, out),
    "mv": lambda args, out: 2 * args[0].numel(),
    "dot": lambda args, out: 2 * args[0].numel(),
    "vdot": lambda args, out: 2 * args[0].numel(),
    "addmm": lambda args, out: _product(args[1:], out),
    "baddbmm": lambda args, out: _product(args[1:], out),
    "addmv": lambda args, out: 2 * args[1].numel(),
    "addbmm": lambda args, out: 2 * args[1].numel() * args[2].shape[-1],
    "addr": lambda args, out: 2 * out.numel(),
    "convolution": lambda args, out: _convolution(args[0], args[1], args[6], out),
    "convolution_backward": lambda args, out: (
        sum(args[10][:2]) * _convolution(args[1], args[2], args[7], args[0])  # once for dx, once for dW
    ),
    "_scaled_dot_product_flash_attention_for_cpu": lambda args, out: (
        2 * args[0][..., 0].numel() * args[1].shape[-2] * (args[0].shape[-1] + args[2].shape[-1])
    ),
    "_scaled_dot_product_flash_attention_for_cpu_backward": lambda args, out: (
        # q kᵀ again, dq and dk over K; dv and da over V
        2 * args[1][..., 0].numel() * args[2].shape[-2] * (3 * args[1].shape[-1] + 2 * args[3].shape[-1])
    ),
    "_fft_r2c": lambda args, out: _transform(args[0], out, args[1], real=True),
    "_fft_c2r": lambda args, out: _transform(args[0], out, args[1], real=True),
    "_fft_c2c": lambda args, out: _transform(args[0], out, args[1], real=False),
    "_trilinear": lambda args, out: 3 * out.numel() * args[0].shape[-1] * args[2].shape[-1],
    # [−2a, |a|², 1] times [b, 1, |b|²]
    "_euclidean_dist": lambda args, out: 2 * out.numel() * (args[0].shape[-1] + 2),
    "_cdist_forward": lambda args, out: 2 * out.numel() * args[0].shape[-1],
    "_cdist_backward": lambda args, out: 2 * args[0].numel() * args[1].shape[-1],
    "linalg_inv_ex": lambda args, out: _cubes(args[0], 6),
    "linalg_cholesky_ex": lambda args, out: _cubes(args[0], 1),
    "linalg_lu": lambda args, out: _cubes(args[0], 2),
    "affine_grid_generator": lambda args, out: 2 * out.numel() * 3,  # (x, y, 1) times a matrix [3,2]
    "linalg_lu_factor_ex": lambda args, out: _cubes(args[0], 2),
    "_linalg_det": lambda args, out: _cubes(args[0], 2),
    "_linalg_slogdet": lambda args, out: _cubes(args[0], 2),
    "_linalg_solve_ex": lambda args, out: _cubes(args[0], 2) + 2 * args[1].numel() * args[0].shape[-1],
    "linalg_lu_solve": lambda args, out: 2 * out.numel() * args[0].shape[-1],
    "linalg_solve_triangular": lambda args, out: out.numel() * args[0].shape[-1],
    "linalg_qr": lambda args, out: 2 * (2 * args[0].shape[-1] ** 3 - round(2 * args[0].shape[-1] ** 3 / 3)),
}  # fmt: skip


class Counting(TorchDispatchMode):
    """FLOPs, bytes, names of the kernels that run inside; and of each name the bytes of results that are new memory.

    Under any mode autograd fills zeros by operators that make a new tensor; without one, in place. `in_place` has the
    names of those that the profiler, which changes nothing, saw in place alone.
    """

    def __init__(self, in_place=frozenset()):
        super().__init__()
        self._in_place = in_place
        self.flops, self.bytes, self.fresh, self.kernels = 0, 0, Counter(), Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        operands, results = _tensors((args, kwargs)), _tensors(out)
        given = {t.untyped_storage()._cdata for t in operands}
        made = [t for t in results if t.untyped_storage()._cdata not in given]
        changed = [
            tensor
            for place, argument in enumerate(func._schema.arguments)
            if argument.alias_info is not None and argument.alias_info.is_write
            for tensor in _tensors(kwargs.get(argument.name) if argument.kwarg_only else args[place : place + 1])
        ]
        name = _name(func)
        if name in self._in_place and not changed:
            made, changed = [], operands[:1]
        if (not made and not changed) or torch.Tag.inplace_view in func.tags:
            return out
        self.kernels[name] += 1
        self.fresh[name] += sum({t.untyped_storage()._cdata: t.nbytes for t in made}.values())
        if name in RULES:
            self.flops += RULES[name](args, results[0])
        if name not in NOT_WRITTEN:
            self.bytes += _moved(name, operands, made, changed)
        return out


def _moved(name, operands, made, changed):
    if name in PUTS_ROWS and changed:
        return sum(_seen(t) for t in operands if t is not changed[0]) + 2 * _seen(operands[-1])
    read = []
    for tensor in operands[name in SHAPE_ONLY :]:
        overwritten = name in OVERWRITES and any(tensor is t for t in changed)
        if not overwritten and not any(_same_elements(tensor, t) for t in read):
            read.append(tensor)
    moved = sum(map(_seen, read)) + sum(map(_seen, [*made, *changed]))
    if name in TAKES_ROWS:
        moved += _seen(made[0]) - _seen(operands[0])
    if name in PICKS:
        moved += operands[1].numel() * operands[0].element_size() - _seen(operands[0])
    return moved


class _Held:
    def __init__(self, tensor):
        self.tensor = tensor.detach()


def kept_bytes(function, inputs):
    """What the graph holds when the call has returned."""
    packed = []

    def pack(tensor):
        held = _Held(tensor)
        packed.append(weakref.ref(held))
        return held

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda held: held.tensor):
        result = function(*_fresh(inputs))
    storages = [held.tensor.untyped_storage() for reference in packed if (held := reference()) is not None]
    del result
    return sum({s._cdata: s.nbytes() for s in storages}.values())


def _fresh(inputs):
    return [t.detach().requires_grad_(t.is_floating_point()) for t in inputs]


def counted(function, inputs, phase):
    """The kernels of a forward pass without gradients, or of forward, sum and backward."""
    if phase == "forward":
        with torch.no_grad(), Counting() as mode:
            function(*inputs)
        return mode
    with Counting() as mode:
        _train(function, _fresh(inputs))
    if not FILLS & mode.kernels.keys():
        return mode
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        _train(function, _fresh(inputs))
    names = {event.name.removeprefix("aten::") for event in seen.events()}
    names |= {"index_put_"} & {name.replace("_index_put_impl", "index_put") for name in names}
    with Counting({name for name in FILLS if f"{name}_" in names and name not in names}) as mode:
        _train(function, _fresh(inputs))
    return mode


def _train(function, inputs):
    results = [t for t in _tensors(function(*inputs)) if t.is_floating_point() and t.requires_grad]
    loss = results[0].sum()
    for result in results[1:]:
        loss = loss + result.sum()
    del results
    loss.backward()


def trains(function, inputs):
    """Whether a result depends on an input in a way that has a gradient."""
    return any(t.is_floating_point() and t.requires_grad for t in _tensors(function(*_fresh(inputs))))
