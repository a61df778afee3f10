"""Fake tensors that know their values, where values are few and decide shapes: the grid of an image, masks, positions.

A model that reads images among its words asks for such values (`grid.tolist()`, `x[mask]`). They follow from what it is
given and from nothing that it computes, so they are worked out beside the shapes: an operator all of whose tensors are
known gives known ones. Whole numbers that a model makes itself (`arange`, `zeros`) are known as well; parameters and
whatever is computed with them never are. What is written to with unknown values is known no more.

PyTorch's fake tensors hold such a value themselves (`FakeTensor.constant`), of single numbers; here it is tables too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, in_kernel_invocation_manager
from torch.utils._mode_utils import no_dispatch
from torch.utils._pytree import tree_flatten, tree_unflatten

from seqcost.fakes.compiler import settings_alone
from seqcost.fakes.threads import replaced
from seqcost.fakes.trees import tensors_in

MOST_VALUES = 2**24  # of a table of whole numbers; a mask of T × T numbers is soon beyond, and never asked for
_MOST_FLOATS = 2**16
_ATEN = torch.ops.aten
_MAKERS = (_ATEN.arange, _ATEN.zeros, _ATEN.ones, _ATEN.full, _ATEN.scalar_tensor, _ATEN.linspace, _ATEN.eye)
_MAKERS_LIKE = (_ATEN.zeros_like, _ATEN.ones_like, _ATEN.full_like, _ATEN.new_zeros, _ATEN.new_ones, _ATEN.new_full)
_UNWRITTEN = (_ATEN.empty, _ATEN.empty_like, _ATEN.new_empty)  # tables that a model fills in afterwards
_DEVICE = torch.ops.prim.device.default
_FILLING: dict[Any, Callable[..., bool]] = {  # whether they take such numbers
    _ATEN.uniform_.default: lambda low=0.0, high=1.0: low <= high,
    _ATEN.normal_.default: lambda mean=0.0, std=1.0: std >= 0.0,
    _ATEN.fill_.Scalar: lambda value: True,
    _ATEN.zero_.default: lambda: True,
}
_BY_VALUE = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)


class ValuedMode(FakeTensorMode):
    """A mode of fake tensors which, while `knowing`, works out values that follow from known ones."""

    knowing = False
    supports_higher_order_operators = True

    def __init__(self, **options: Any) -> None:
        with settings_alone():
            super().__init__(**options)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # as of the book: nothing is compiled in here

    _asked: Any = None  # the operator of higher order whose rule is under way

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """An operator; one of higher order by the rule of fake tensors, which PyTorch looks up by the class alone."""
        if func is _DEVICE:  # asked of every tensor that autograd meets
            return args[0].fake_device if isinstance(args[0], FakeTensor) else args[0].device
        if func in _FILLING and self._need_not_fill(func, *args):
            return args[0]
        rules = func.python_key_table if isinstance(func, torch._ops.HigherOrderOperator) else {}
        if FakeTensorMode not in rules or func is self._asked:  # a rule may come back for what the mode itself knows
            return super().__torch_dispatch__(func, types, args, kwargs)
        before, self._asked = self._asked, func
        try:
            return rules[FakeTensorMode](self, *args, **(kwargs or {}))
        finally:
            self._asked = before

    def dispatch(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        """An operator on fake tensors."""
        kwargs = kwargs or {}
        if not self.knowing or not isinstance(func, torch._ops.OpOverload):
            return super().dispatch(func, types, args, kwargs)
        flat, spec = tree_flatten((args, kwargs))
        tensors = [value for value in flat if isinstance(value, Tensor)]
        fakes = [value for value in tensors if isinstance(value, FakeTensor)]
        packet = func.overloadpacket
        if len(fakes) < len(tensors) or torch.Tag.nondeterministic_seeded in func.tags:
            return super().dispatch(func, types, args, kwargs)
        if (packet in _MAKERS and not tensors) or packet in (*_MAKERS_LIKE, *_UNWRITTEN):
            return self._made(func, types, args, kwargs)
        if fakes and all(value.constant is not None for value in fakes):
            real = tree_unflatten([v.constant if isinstance(v, FakeTensor) else v for v in flat], spec)
            return self._of_known(func, types, args, kwargs, fakes, real)
        if func is _ATEN.index.Tensor:
            args = (args[0], [place for index in args[1] for place in self._places(index)])
        elif func is _ATEN.masked_select.default and args[1].constant is not None:
            mask = args[1].expand(args[0].shape)
            return _ATEN.index.Tensor(args[0], list(self._places(mask)))
        return super().dispatch(func, types, args, kwargs)

    def _need_not_fill(self, func: Any, tensor: Any, *numbers: Any) -> bool:
        """Whether a tensor of weights is filled that has no memory for them, with numbers that a CPU would take."""
        fake = isinstance(tensor, FakeTensor) and tensor.fake_mode is self and tensor.constant is None
        return fake and not self.knowing and tensor.is_floating_point() and _FILLING[func](*numbers)

    def may_turn_const(self, t: Tensor) -> bool:
        """Whether the tensor that `torch.tensor` was given is remembered."""
        few = type(t) is Tensor and t.device.type == "cpu" and t.layout is torch.strided
        return (self.knowing and few and t.numel() <= _most_of(t)) or super().may_turn_const(t)

    def known(self, fake: FakeTensor, values: Tensor) -> None:
        """Remember what a fake tensor holds."""
        fake.constant = values
        self.fake_tensor_converter.add_constant_storage_mapping(fake)

    def _made(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        out: Any = super().dispatch(func, types, args, kwargs)
        wanted = func.overloadpacket not in _UNWRITTEN or not out.is_floating_point()
        if wanted and out.numel() <= _most_of(out) and out.device.type == "cpu":
            flat, spec = tree_flatten((args, kwargs))
            like = [torch.empty(v.shape, dtype=v.dtype) if isinstance(v, Tensor) else v for v in flat]
            real_args, real_kwargs = tree_unflatten(like, spec)
            self.known(out, _really(func, real_args, real_kwargs))
        return out

    def _of_known(self, func: Any, types: Any, args: Any, kwargs: Any, fakes: list[FakeTensor], real: Any) -> Any:
        places = func is _ATEN.index.Tensor and not any(t.dtype == torch.bool for t in tensors_in(real[0][1]))
        if any(tag in func.tags for tag in _BY_VALUE) and not places:  # places give as many rows as there are of them
            if func is _ATEN.repeat_interleave.Tensor and int(real[0][0].sum()) > MOST_VALUES:
                return super().dispatch(func, types, args, kwargs)  # which refuses it
            return self._as_known(_really(func, *real))
        held = [(value, value.constant) for value in fakes]
        for value in fakes:
            value.constant = None  # by the rule for shapes alone, so that views stay views
        try:
            out = super().dispatch(func, types, args, kwargs)
        finally:
            for value, constant in held:
                value.constant = constant
        made = [value for value in tensors_in(out) if isinstance(value, FakeTensor)]
        values = self._values(func, real, made)
        if values is None:
            self.invalidate_written_to_constants(func, fakes, args, kwargs)
            return out
        given = {id(value) for value in fakes}
        for fake, found in zip(made, values, strict=True):
            if id(fake) not in given:  # else written in place, and so was what it knows
                self.known(fake, found)
        return out

    def _values(self, func: Any, real: Any, made: list[FakeTensor]) -> list[Tensor] | None:
        if func.is_view or all(value.numel() <= MOST_VALUES for value in made):
            return list(tensors_in(_really(func, *real)))
        # One value all over, as of an image of which only its size matters, takes no memory.
        flat, spec = tree_flatten(real)
        if torch.Tag.pointwise not in func.tags or func._schema.is_mutable or not all(map(_is_uniform, flat)):
            return None
        args, kwargs = tree_unflatten([v.as_strided((), ()) if isinstance(v, Tensor) else v for v in flat], spec)
        return [v.expand(m.shape) for v, m in zip(tensors_in(_really(func, args, kwargs)), made, strict=True)]

    def _as_known(self, value: Any) -> Any:
        flat, spec = tree_flatten(value)
        return tree_unflatten([self._fake_of(v) if isinstance(v, Tensor) else v for v in flat], spec)

    def _fake_of(self, values: Tensor) -> FakeTensor:
        made = self.from_tensor(values)
        self.known(made, values)
        return made

    def _places(self, index: Any) -> list[Any]:
        """A mask as so many places as it is true at, if that is known."""
        if not isinstance(index, FakeTensor) or index.dtype != torch.bool or index.constant is None:
            return [index]
        count = int(_really(_ATEN.sum.default, (index.constant,), {}))
        with in_kernel_invocation_manager(self):
            places = [torch.empty(count, dtype=torch.int64, device="meta") for _ in range(index.dim())]
        return [FakeTensor(self, place, index.fake_device) for place in places]


def known_uniform(value: float, shape: Sequence[int], like: Tensor) -> Tensor:
    """A tensor of one value; where values are known, of this one, without memory."""
    made = torch.full(tuple(shape), value, dtype=like.dtype, device=like.device)
    mode = _mode()
    if mode is not None and isinstance(made, FakeTensor) and made.constant is None:
        with no_dispatch():
            values = torch.full((), value, dtype=like.dtype).expand(tuple(shape))
        mode.known(made, values)
    return made


@contextmanager
def values_known() -> Iterator[None]:
    """Within a ValuedMode, know values; anywhere else, nothing."""
    mode = _mode()
    if mode is None or mode.knowing:
        yield
        return
    mode.knowing = True
    try:
        with replaced(torch, "tensor", _of_numbers), replaced(FakeTensor, "tolist", _at_once):
            yield
    finally:
        mode.knowing = False


def _of_numbers(plain: Any) -> Any:
    """`torch.tensor` of a list in which tensors stand for numbers: it reads their memory, and here there is none."""

    def number(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return type(value)(map(number, value))
        return value.item() if isinstance(value, FakeTensor) and not value.dim() else value

    def tensor(data: Any, *args: Any, **kwargs: Any) -> Any:
        return plain(number(data) if isinstance(data, list | tuple) else data, *args, **kwargs)

    return tensor


def _at_once(plain: Any) -> Any:
    """`tolist` of a whole table, in which a CPU calls no operator either."""

    def tolist(self: FakeTensor) -> Any:
        if self.constant is None:
            return plain(self)
        with no_dispatch():
            return self.constant.tolist()

    return tolist


def _mode() -> ValuedMode | None:
    mode = torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE)
    return mode if isinstance(mode, ValuedMode) else None


def _really(func: Any, args: Any, kwargs: Any) -> Any:
    with no_dispatch(), torch.no_grad():
        return func(*args, **kwargs)


def _is_uniform(value: Any) -> bool:
    return not isinstance(value, Tensor) or not any(value.stride()) or value.numel() == 1


def _most_of(value: Tensor) -> int:
    return _MOST_FLOATS if value.is_floating_point() or value.is_complex() else MOST_VALUES
