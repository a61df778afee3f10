"""The FLOPs of a contraction in letters and in numbers, worked out from the shapes of operands and results.

Letters: m, k, n of a product, b of a batch of them; of attention B batch, H heads, T queries, S keys, K and V widths.
Each function offers what it may be; what gives the number that was booked is shown (see `answer.wording`).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Shape = tuple[int, ...]
Letters = Callable[[list[Shape], list[Shape]], Iterator["Words"]]


@dataclass(frozen=True)
class Words:
    """An expression in letters, the same with sizes put in, and its value."""

    letters: str
    numbers: str
    value: int


def times_of(**factors: int) -> Words:
    """A product; a factor whose name begins with `_` is a plain number."""
    letters = "·".join(str(n) if name.startswith("_") else name for name, n in factors.items())
    return Words(letters, "·".join(map(str, factors.values())), math.prod(factors.values()))


def product(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    """[b,m,k] @ [b,k,n]: mm, bmm, mv."""
    a, *out = inputs[0], *outputs[0]
    names = {1: ("m",), 2: ("m", "n"), 3: ("b", "m", "n")}.get(len(out))
    if names is None:
        return
    sizes = dict(zip(names, out, strict=True))
    batch = {"b": sizes["b"]} if "b" in sizes else {}
    columns = {"n": sizes["n"]} if "n" in sizes else {}
    yield times_of(_2=2, **batch, m=sizes["m"], k=a[-1], **columns)


def added_product(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    """The same on top of a first operand: addmm, baddbmm, addmv."""
    yield from product(inputs[1:], outputs)


def grouped_products(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    """Rows in groups, a matrix each; or, where both sides are rows, one product per group, of its rows."""
    a, b, out = inputs[0], inputs[1], outputs[0]
    if len(a) == len(b) == 2:
        yield times_of(_2=2, m=a[0], k=a[1], n=b[1])
    elif len(out) == 3:
        yield times_of(_2=2, b=out[0], m=out[1], k=a[-1], n=out[2])
    else:
        yield times_of(_2=2, m=out[0], k=a[-1], n=out[1])


def summed_products(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    """Products [b,m,k] @ [b,k,n] summed over the batch: addbmm."""
    b, m, k = inputs[1]
    yield times_of(_2=2, b=b, m=m, k=k, n=outputs[0][-1])


def dot(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    """Two vectors."""
    yield times_of(_2=2, n=math.prod(inputs[0]))


def outer(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    """A column times a row."""
    yield times_of(_2=2, m=outputs[0][0], n=outputs[0][1])


def convolution(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    """Every weight of an output's channel meets every element of the result (transposed: of the input)."""
    weights = inputs[1][1:]
    for name, shape in (("y", outputs[0]), ("x", inputs[0])):
        yield _of_tensors(2, name, shape, weights)


def convolution_backward(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    """The same for dx, for dW or for both."""
    weights = inputs[2][1:]
    for wanted in (2, 1):  # dx and dW, or one of them
        for name, shape in (("y", inputs[0]), ("x", inputs[1])):
            yield _of_tensors(2 * wanted, name, shape, weights)


def _of_tensors(factor: int, name: str, shape: Shape, weights: Shape) -> Words:
    letters = f"{factor}·elements of {name}·weights of a channel"
    return Words(
        letters, f"{factor}·{dims_of(shape)}·{dims_of(weights)}", factor * math.prod(shape) * math.prod(weights)
    )


def attention(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    """q kᵀ and scores v."""
    q, k, v = inputs[:3]
    yield from _of_scores(q, k, v, keys=1, values=1)


def attention_backward(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    """q kᵀ again, dv, da, dq, dk."""
    _, q, k, v = inputs[:4]
    yield from _of_scores(q, k, v, keys=3, values=2)


def _of_scores(q: Shape, k: Shape, v: Shape, *, keys: int, values: int) -> Iterator[Words]:
    """Products with keys and with values for every pair of a query and a key."""
    if len(q) != 4:
        return

    def times(n: int, width: str) -> str:
        return width if n == 1 else f"{n}·{width}"

    scores = times_of(_2=2, B=q[0], H=q[1], T=q[2], S=k[2])
    letters = f"{scores.letters}·({times(keys, 'K')} + {times(values, 'V')})"
    numbers = f"{scores.numbers}·({times(keys, str(q[3]))} + {times(values, str(v[3]))})"
    yield Words(letters, numbers, scores.value * (keys * q[3] + values * v[3]))


def lstm(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    """x W and h U at each step."""
    yield _of_lstm(2, *inputs[:3])


def lstm_backward(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    """Dx and dh, dW and dU."""
    yield _of_lstm(4, *inputs[:3])


def _of_lstm(factor: int, x: Shape, w_input: Shape, w_state: Shape) -> Words:
    value = factor * x[0] * x[1] * (math.prod(w_input) + math.prod(w_state))
    return Words(
        f"{factor}·T·B·(W + U)", f"{factor}·{x[0]}·{x[1]}·({dims_of(w_input)} + {dims_of(w_state)})", value
    )  # fmt: skip


def transform(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    """5·n·log₂ n a complex transform, half of it a real one, along any one axis; rounded."""
    for shape in (*inputs[:1], *outputs[:1]):
        for n in sorted(set(shape) - {0, 1}, reverse=True):
            rows = math.prod(shape) // n
            exact = 5 * n * rows * math.log2(n)
            yield Words("5·n·log₂ n·rows", f"5·{n}·log₂ {n}·{rows}", round(exact))
            yield Words("5/2·n·log₂ n·rows", f"5/2·{n}·log₂ {n}·{rows}", round(exact / 2))


def triangular(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    """n² for each right side."""
    n = inputs[0][-1]
    yield times_of(n=n, **{"elements of the result": math.prod(outputs[0])})


def distances(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    """Every pair of two sets of points."""
    yield times_of(_2=2, pairs=math.prod(outputs[0]), k=inputs[0][-1])


def distances_by_product(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    """The points have two columns more: their squares, and ones."""
    pairs, k = math.prod(outputs[0]), inputs[0][-1]
    yield Words("2·pairs·(k + 2)", f"2·{pairs}·({k} + 2)", 2 * pairs * (k + 2))


def dims_of(shape: Shape, weight: int = 1) -> str:
    """Sizes with points between them, those of 1 left out."""
    sizes = [n for n in shape if n != 1] or [1]
    return "·".join(map(str, sizes if weight == 1 else [weight, *sizes]))
