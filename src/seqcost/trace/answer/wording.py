"""How one call's amount comes out of its shapes, in letters and in numbers: `2·m·k·n`, `2·1024·768·2304`.

The words are made afterwards, for whoever asks, and never take part in counting. Each is worked out anew and shown only
where it gives the number that was booked; where none does (an operator of the user's own) there are no words.

Letters: m, k, n of a product, b of a batch of them; of attention B batch, H heads, T queries, S keys, K and V widths.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from seqcost.trace.answer.result import Alike

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Words:
    """An expression in letters, the same with sizes put in, and its value."""

    letters: str
    numbers: str
    value: int


NO_WORDS = Words("", "", 0)


def words_for(operator: str, column: str, alike: Alike) -> Words:
    """How the amount of one of these calls is made up; empty where nobody can say.

    Parameters
    ----------
    operator
        Its qualified name, `aten::mm`.
    column
        contraction, pointwise or moved_bytes.
    alike
        Calls of the same shapes.

    """
    amount = getattr(alike, column)
    if amount % alike.calls:  # alike in shapes, not in cost
        return NO_WORDS
    inputs, outputs = [shape for shape, _ in alike.operands], [shape for shape, _ in alike.results]
    found: Iterator[Words]
    if column == "moved_bytes":
        found = _bytes(alike)
    elif column == "contraction":
        tried = _CONTRACTIONS.get(operator)
        found = iter(()) if tried is None else tried(inputs, outputs)
    else:
        found = _pointwise(operator, amount // alike.calls, inputs, outputs)
    return next((words for words in found if words.value * alike.calls == amount), NO_WORDS)


def shapes_text(alike: Alike) -> str:
    """`[1024,768] [768,2304] → [1024,2304]`."""

    def side(tensors: tuple[tuple[Shape, int], ...]) -> str:
        return " ".join(f"[{','.join(map(str, shape))}]" for shape, _ in tensors)

    return f"{side(alike.operands)} → {side(alike.results)}".strip()


def _times(**factors: int) -> Words:
    """A product; a factor whose name begins with `_` is a plain number."""
    letters = "·".join(str(n) if name.startswith("_") else name for name, n in factors.items())
    return Words(letters, "·".join(map(str, factors.values())), math.prod(factors.values()))


def _product(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    """[b,m,k] @ [b,k,n]: mm, bmm, mv."""
    a, *out = inputs[0], *outputs[0]
    names = {1: ("m",), 2: ("m", "n"), 3: ("b", "m", "n")}.get(len(out))
    if names is None:
        return
    sizes = dict(zip(names, out, strict=True))
    batch = {"b": sizes["b"]} if "b" in sizes else {}
    columns = {"n": sizes["n"]} if "n" in sizes else {}
    yield _times(_2=2, **batch, m=sizes["m"], k=a[-1], **columns)


def _added_product(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    """The same on top of a first operand: addmm, baddbmm, addmv."""
    yield from _product(inputs[1:], outputs)


def _grouped_products(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    """Rows in groups, a matrix each; or, where both sides are rows, a product of a group's rows a group."""
    a, b, out = inputs[0], inputs[1], outputs[0]
    if len(a) == len(b) == 2:
        yield _times(_2=2, m=a[0], k=a[1], n=b[1])
    elif len(out) == 3:
        yield _times(_2=2, b=out[0], m=out[1], k=a[-1], n=out[2])
    else:
        yield _times(_2=2, m=out[0], k=a[-1], n=out[1])


def _summed_products(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    b, m, k = inputs[1]
    yield _times(_2=2, b=b, m=m, k=k, n=outputs[0][-1])


def _dot(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    yield _times(_2=2, n=math.prod(inputs[0]))


def _outer(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    yield _times(_2=2, m=outputs[0][0], n=outputs[0][1])


def _convolution(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    """Every weight of an output's channel meets every element of the result (transposed: of the input)."""
    weights = inputs[1][1:]
    for name, shape in (("y", outputs[0]), ("x", inputs[0])):
        yield _of_tensors(2, name, shape, weights)


def _convolution_backward(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    weights = inputs[2][1:]
    for wanted in (2, 1):  # dx and dW, or one of them
        for name, shape in (("y", inputs[0]), ("x", inputs[1])):
            yield _of_tensors(2 * wanted, name, shape, weights)


def _of_tensors(factor: int, name: str, shape: Shape, weights: Shape) -> Words:
    letters = f"{factor}·elements of {name}·weights of a channel"
    return Words(letters, f"{factor}·{_dims(shape)}·{_dims(weights)}", factor * math.prod(shape) * math.prod(weights))


def _attention(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    q, k, v = inputs[:3]
    yield from _of_scores(q, k, v, keys=1, values=1)


def _attention_backward(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    _, q, k, v = inputs[:4]
    yield from _of_scores(q, k, v, keys=3, values=2)


def _of_scores(q: Shape, k: Shape, v: Shape, *, keys: int, values: int) -> Iterator[Words]:
    """Products with keys and with values for every pair of a query and a key."""
    if len(q) != 4:
        return

    def times(n: int, width: str) -> str:
        return width if n == 1 else f"{n}·{width}"

    scores = _times(_2=2, B=q[0], H=q[1], T=q[2], S=k[2])
    letters = f"{scores.letters}·({times(keys, 'K')} + {times(values, 'V')})"
    numbers = f"{scores.numbers}·({times(keys, str(q[3]))} + {times(values, str(v[3]))})"
    yield Words(letters, numbers, scores.value * (keys * q[3] + values * v[3]))


def _lstm(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    yield _of_lstm(2, *inputs[:3])


def _lstm_backward(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    yield _of_lstm(4, *inputs[:3])


def _of_lstm(factor: int, x: Shape, w_input: Shape, w_state: Shape) -> Words:
    value = factor * x[0] * x[1] * (math.prod(w_input) + math.prod(w_state))
    return Words(
        f"{factor}·T·B·(W + U)", f"{factor}·{x[0]}·{x[1]}·({_dims(w_input)} + {_dims(w_state)})", value
    )  # fmt: skip


def _transform(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    """5·n·log₂ n a complex transform, half of it a real one, along any one axis; rounded."""
    for shape in (*inputs[:1], *outputs[:1]):
        for n in sorted(set(shape) - {0, 1}, reverse=True):
            rows = math.prod(shape) // n
            exact = 5 * n * rows * math.log2(n)
            yield Words("5·n·log₂ n·rows", f"5·{n}·log₂ {n}·{rows}", round(exact))
            yield Words("5/2·n·log₂ n·rows", f"5/2·{n}·log₂ {n}·{rows}", round(exact / 2))


def _triangular(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    n = inputs[0][-1]
    yield _times(n=n, **{"elements of the result": math.prod(outputs[0])})


def _distances(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    yield _times(_2=2, pairs=math.prod(outputs[0]), k=inputs[0][-1])


def _distances_by_product(inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    """The points have two columns more: their squares, and ones."""
    pairs, k = math.prod(outputs[0]), inputs[0][-1]
    yield Words("2·pairs·(k + 2)", f"2·{pairs}·({k} + 2)", 2 * pairs * (k + 2))


def _pointwise(operator: str, amount: int, inputs: list[Shape], outputs: list[Shape]) -> Iterator[Words]:
    """So many operations for each score of attention, or for each element of the largest tensor that fits."""
    if "scaled_dot_product" in operator:
        q, k = inputs[1:3] if operator.endswith("_backward") else inputs[:2]
        scores = math.prod(q[:-1]) * k[-2]
        if scores and len(q) == 4 and amount % scores == 0:
            yield _times(_w=amount // scores, B=q[0], H=q[1], T=q[2], S=k[2])
    for shape in sorted((*outputs, *inputs), key=math.prod, reverse=True):
        elements = math.prod(shape)
        if elements and amount and amount % elements == 0:
            weight = amount // elements
            once = weight == 1
            yield Words("elements" if once else f"{weight}·elements", _dims(shape, 1 if once else weight), amount)


def _bytes(alike: Alike) -> Iterator[Words]:
    """Operands read and results written, each once; look-ups read as much as they write."""
    reads, writes = alike.operands, alike.results
    distinct = tuple(dict.fromkeys(reads))
    for letters, tensors in (
        ("operands + results", (*reads, *writes)),
        ("distinct operands + results", (*distinct, *writes)),
        ("results written", writes),
        ("rows read + indices + results", (*writes[:1], *reads[1:], *writes)),
        ("operands but the first + results", (*reads[1:], *writes)),
    ):
        sizes: dict[int, Counter[Shape]] = {}
        for shape, itemsize in tensors:
            sizes.setdefault(itemsize, Counter())[shape] += 1
        numbers = " + ".join(
            f"{size}·({' + '.join(_dims(shape, times) for shape, times in shapes.items())})"
            for size, shapes in sizes.items()
        )
        yield Words(letters, numbers, sum(math.prod(shape) * itemsize for shape, itemsize in tensors))


def _dims(shape: Shape, weight: int = 1) -> str:
    sizes = [n for n in shape if n != 1] or [1]
    return "·".join(map(str, sizes if weight == 1 else [weight, *sizes]))


_CONTRACTIONS: Mapping[str, Callable[[list[Shape], list[Shape]], Iterator[Words]]] = (
    dict.fromkeys(("aten::mm", "aten::bmm", "aten::mv"), _product)
    | dict.fromkeys(("aten::addmm", "aten::_addmm_activation", "aten::baddbmm", "aten::addmv"), _added_product)
    | dict.fromkeys(("aten::_grouped_mm", "aten::_scaled_grouped_mm"), _grouped_products)
    | {"aten::addbmm": _summed_products, "aten::dot": _dot, "aten::vdot": _dot, "aten::addr": _outer}
    | {"aten::convolution": _convolution, "aten::_convolution": _convolution}
    | {"aten::convolution_backward": _convolution_backward}
    | {"aten::mkldnn_rnn_layer": _lstm, "aten::mkldnn_rnn_layer_backward": _lstm_backward}
    | dict.fromkeys(("aten::_fft_r2c", "aten::_fft_c2r", "aten::_fft_c2c"), _transform)
    | {"aten::linalg_solve_triangular": _triangular, "aten::_cdist_forward": _distances}
    | {"aten::_euclidean_dist": _distances_by_product}
    | {
        f"aten::_scaled_dot_product_{kind}{way}": words
        for kind in (
            "flash_attention_for_cpu",
            "flash_attention",
            "efficient_attention",
            "cudnn_attention",
            "fused_attention_overrideable",
        )
        for way, words in (("", _attention), ("_backward", _attention_backward))
    }
)
