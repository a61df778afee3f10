"""Where elements lie, axes of one element included: strides on the tape are those that PyTorch's own tensors have."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tape_and_torch import B, D, T, check_the_same
from torch._prims_common import is_non_overlapping_and_dense_or_false

from seqcost.formulas.core.layout import is_dense, strides_of
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE
from seqcost.formulas.core.workload import Workload


def transposed(t, draw, value, tensor):
    order = draw(st.permutations(range(tensor.dim())))
    return t.transpose(value, *order), tensor.permute(order)


def sliced(t, draw, value, tensor):
    axis = draw(st.integers(0, tensor.dim() - 1))
    length = draw(st.integers(1, tensor.shape[axis]))
    shape = [*value.shape]
    shape[axis] = length
    return t.part(value, *shape), tensor.narrow(axis, 0, length)


def selected(t, draw, value, tensor):
    if tensor.dim() == 1:
        return value, tensor
    axis = draw(st.integers(0, tensor.dim() - 1))
    return t.select(value, axis), tensor.select(axis, 0)


def viewed(t, draw, value, tensor):
    left, shape = tensor.numel(), []
    while left > 1:
        shape.append(draw(st.sampled_from([n for n in range(1, left + 1) if left % n == 0])))
        left //= shape[-1]
    shape += [1] * draw(st.integers(0 if shape else 1, 2))
    return t.view(value, *shape), tensor.reshape(shape)


def with_a_new_axis(t, draw, value, tensor):
    n = draw(st.integers(1, 3))
    return t.expand("wide", value, n, *value.shape), tensor.expand(n, *tensor.shape)


def widened(t, draw, value, tensor):
    axis, n = draw(st.integers(0, tensor.dim())), draw(st.integers(1, 3))
    narrow, wide = [*value.shape], [*value.shape]
    narrow.insert(axis, ONE)
    wide.insert(axis, n)
    return t.expand("wide", t.view(value, *narrow), *wide), tensor.reshape(narrow).expand(wide)


def negated(t, draw, value, tensor):
    return t.unary("neg", value, "neg"), -tensor


def scaled(t, draw, value, tensor):
    return t.unary("scale", value, "scale"), tensor * 0.5


def turned_round(t, draw, value, tensor):
    return t.flip("flip", value), tensor.flip(0)


def added(t, draw, value, tensor):
    other, real = draw(st.sampled_from(MOVES[:1] + ALONE))(t, draw, value, tensor)
    if real.shape != tensor.shape:
        other, real = value, tensor
    return t.add("add", value, other), tensor + real


def with_a_row(t, draw, value, tensor):
    axis = draw(st.integers(0, tensor.dim() - 1))
    row, real = t.sum("sum", value, axis, keep=True), tensor.sum(axis, keepdim=True)
    if draw(st.booleans()):
        return t.add("add", value, row), tensor + real
    return t.add("add", row, value), real + tensor


def beside_itself(t, draw, value, tensor):
    axis = draw(st.integers(0, tensor.dim() - 1))
    shape = [2 * n if i == axis else n for i, n in enumerate(tensor.shape)]
    return t.cat("cat", [value, value], *shape), torch.cat([tensor, tensor], dim=axis)


ALONE = [negated, scaled, turned_round]
MOVES = [transposed, sliced, selected, viewed, with_a_new_axis, widened, added, with_a_row, beside_itself, *ALONE]


@settings(max_examples=200)
@given(data=st.data(), shape=st.lists(st.integers(1, 3), min_size=2, max_size=5))
def test_strides_are_those_of_real_tensors(data, shape):
    t, tensor = Tape(Workload(B=1, T=1), recording=False), torch.zeros(shape)
    value = t.given(shape, gradient=False)
    done = []
    for move in data.draw(st.lists(st.sampled_from(MOVES), min_size=1, max_size=6)):
        if tensor.dim() > 5 or tensor.numel() > 200:
            break
        done.append(move.__name__)
        value, tensor = move(t, data.draw, value, tensor)
        assert tuple(value.shape) == tuple(tensor.shape)
        assert strides_of(value) == tensor.stride(), done
        assert value.in_one_piece == tensor.is_contiguous(), done
        assert is_dense(value) == is_non_overlapping_and_dense_or_false(tensor), done
        assert value.numel == math.prod(tensor.shape)


LONG = T * D // 2


def halves_turned(t, x):
    first, second = t.parts(t.view(x, B, LONG, 1, 2), *2 * [(B, LONG, 1, 1)])

    def half(part):
        return t.unary("half", part, "scale")

    def difference():
        return t.subtract("sums", half(first), half(second))

    y = t.cat("join", [difference(), t.add("sums", half(second), half(first))], B, LONG, 1, 2)
    return t.unary("exp", t.copy("turned", t.transpose(y, 0, 2, 3, 1)), "exp")


def halves_turned_in_torch(x):
    first, second = x.view(B, LONG, 1, 2).chunk(2, dim=-1)
    y = torch.cat([first * 0.5 - second * 0.5, second * 0.5 + first * 0.5], dim=-1)
    return y.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format).exp()


def test_gradients_of_halves_of_one_feature_are_put_together_as_images():
    # [B,T,1,1] is taken for "channels last" by the strides of the axes of one, so that the whole lies unlike x.
    check_the_same(halves_turned, halves_turned_in_torch)
