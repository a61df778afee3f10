"""Every operator beside the reference implementation of the onnx package: the same shapes and types, and values."""

import pytest
import torch

onnx = pytest.importorskip("onnx")
np = pytest.importorskip("numpy")

from onnx import helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from seqcost.files.onnx_model import read_model  # noqa: E402
from seqcost.programs.files.onnx.file import graph_from  # noqa: E402
from seqcost.programs.files.onnx.graph import OnnxGraph  # noqa: E402
from seqcost.programs.files.onnx.operators import OPERATORS  # noqa: E402

OPSET = 23


def array(*shape, kind="float32"):
    draw = np.random.default_rng(0)
    return (draw.random(shape) if kind == "float32" else draw.integers(0, 3, shape)).astype(kind)


def whole(*numbers):
    return np.array(numbers, "int64")


X, Y = array(2, 3, 4), array(2, 3, 4)
# Operator, inputs that are data, inputs whose values decide a shape (or None in a gap), attributes.
CASES = [
    *((name, [X], [], {}) for name in ("Abs", "Neg", "Sqrt", "Exp", "Log", "Erf", "Ceil", "Floor", "Sign", "Reciprocal",
                                       "Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Identity", "Cos", "Sin",
                                       "HardSwish", "Mish", "Elu", "Selu", "LeakyRelu", "Gelu",
                                       "Softmax", "LogSoftmax", "ArgMax", "ArgMin", "GlobalAveragePool", "Flatten")),
    *((name, [X, Y], [], {}) for name in ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean", "Equal",
                                          "Greater", "LessOrEqual")),
    *((f"Reduce{name}", [X], [whole(1, -1)], {"keepdims": keep}) for keep in (0, 1)
      for name in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSumExp", "SumSquare")),
    ("ReduceSum", [X], [], {}),
    ("ReduceMean", [X], [], {"noop_with_empty_axes": 1}),
    ("MatMul", [X, array(4, 5)], [], {}),
    ("Gemm", [array(3, 4), array(5, 4), array(5)], [], {"transB": 1, "alpha": 0.5}),
    ("Einsum", [X, array(4, 5)], [], {"equation": "bij,jk->bik"}),
    ("Div", [array(4, kind="int64"), whole(2, 3, 5, 7)], [], {}),
    ("Mod", [array(4, kind="int64"), whole(2, 3, 5, 7)], [], {}),
    ("Reshape", [X], [whole(0, -1)], {}),
    ("Expand", [array(3, 1)], [whole(2, 1, 4)], {}),
    ("Transpose", [X], [], {}),
    ("Transpose", [X], [], {"perm": [1, 0, 2]}),
    ("Squeeze", [array(1, 3, 1)], [whole(0)], {}),
    ("Squeeze", [array(1, 3, 1)], [], {}),
    ("Unsqueeze", [X], [whole(0, -1)], {}),
    ("Slice", [X], [whole(1, -3), whole(3, 2**62), whole(1, 2)], {}),
    ("Slice", [X], [whole(-1), whole(-(2**62)), whole(2), whole(-1)], {}),
    ("Concat", [X, Y], [], {"axis": -1}),
    ("Tile", [X], [whole(1, 2, 3)], {}),
    ("Pad", [X], [whole(0, 1, 2, 0, 3, 0)], {}),
    ("Pad", [X], [whole(0, 0, 2, 0, 0, 1)], {"mode": "reflect"}),
    ("Gather", [X, array(2, 2, kind="int64")], [], {"axis": 1}),
    ("Gather", [array(5, 4), array(2, 2, kind="int64")], [], {}),
    ("GatherElements", [X, array(2, 3, 1, kind="int64")], [], {"axis": 2}),
    ("GatherND", [X, whole(0, 2).reshape(1, 2)], [], {}),
    ("ScatterND", [X, whole(0, 2).reshape(1, 2), array(1, 4)], [], {}),
    ("ScatterElements", [X, np.zeros((1, 1, 1), "int64"), array(1, 1, 1)], [], {"axis": 1}),
    ("Where", [X > 0.5, X, Y], [], {}),
    ("Cast", [X], [], {"to": 7}),
    ("CastLike", [X, array(1, kind="int64")], [], {}),
    ("Clip", [X, np.float32(0.2).reshape(()), np.float32(0.7).reshape(())], [], {}),
    ("CumSum", [X], [np.array(1, "int64")], {}),
    ("Trilu", [X], [np.array(1, "int64")], {"upper": 0}),
    ("Range", [], [np.array(0, "int64"), np.array(9, "int64"), np.array(2, "int64")], {}),
    ("ConstantOfShape", [], [whole(2, 3)], {}),
    ("Conv", [array(2, 4, 9), array(6, 2, 3), array(6)], [], {"group": 2, "pads": [2, 0], "strides": [2]}),
    ("Conv", [array(2, 4, 9), array(4, 4, 3)], [], {"auto_pad": "SAME_UPPER"}),
    ("ConvTranspose", [array(2, 4, 9), array(4, 3, 3)], [], {"strides": [2], "pads": [1, 1]}),
    ("MaxPool", [array(2, 3, 8, 8)], [], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("AveragePool", [array(2, 3, 8)], [], {"kernel_shape": [2], "strides": [2]}),
    ("BatchNormalization", [X, *(array(3) for _ in range(4))], [], {}),
    ("LayerNormalization", [X, array(4), array(4)], [], {}),
    ("RMSNormalization", [X, array(4)], [], {}),
    ("GroupNormalization", [array(2, 4, 3), array(4), array(4)], [], {"num_groups": 2}),
    ("Attention", [array(2, 4, 5, 8), array(2, 2, 7, 8), array(2, 2, 7, 8)], [], {}),
    ("Attention", [array(2, 5, 16), array(2, 5, 16), array(2, 5, 16)], [],
     {"q_num_heads": 4, "kv_num_heads": 4, "is_causal": 1}),
    ("RotaryEmbedding", [array(2, 4, 5, 8), array(2, 5, 4), array(2, 5, 4)], [], {}),
    ("DequantizeLinear", [array(2, 3, kind="int8"), array(3)], [], {"axis": 1}),
]  # fmt: skip


def graph_of(tmp_path, kind, data, deciding, attributes, many=1):
    """A file with one operator, whose deciding inputs are constants."""
    inputs = [f"x{i}" for i in range(len(data))]
    inner = [f"c{i}" for i in range(len(deciding))]
    made = [f"y{i}" for i in range(many)]
    values = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in zip(inputs, data, strict=True)
    ]
    graph = helper.make_graph(
        [helper.make_node(kind, [*inputs, *inner], made, **attributes)],
        "one",
        values or [helper.make_tensor_value_info("unused", 1, [1, 1])],
        [helper.make_empty_tensor_value_info(name) for name in made],
        [numpy_helper.from_array(a, name) for name, a in zip(inner, deciding, strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    onnx.save(model, tmp_path / "one.onnx")
    return model, tmp_path / "one.onnx"


@pytest.mark.parametrize(("kind", "data", "deciding", "attributes"), CASES,
                         ids=[f"{i}-{case[0]}" for i, case in enumerate(CASES)])  # fmt: skip
def test_as_the_reference(tmp_path, kind, data, deciding, attributes):
    model, path = graph_of(tmp_path, kind, data, deciding, attributes)
    feeds = {f"x{i}": a for i, a in enumerate(data)}
    (wanted,) = ReferenceEvaluator(model).run(None, feeds or {"unused": array(1, 1)})
    replayed = OnnxGraph("one.onnx", graph_from(read_model(path, "one.onnx")))
    given = [torch.from_numpy(np.array(a)) for a in data] or [torch.zeros(1, 1)]
    with torch.no_grad():
        (found,) = replayed(*given)
    assert tuple(found.shape) == wanted.shape
    assert str(found.dtype).endswith(str(wanted.dtype))
    assert np.allclose(found.numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("bias", [False, True])
def test_recurrent_layers_have_the_shapes_of_the_reference(tmp_path, kind, gates, directions, bias):
    T, B, width, size = 5, 2, 3, 4
    data = [array(T, B, width), array(directions, gates * size, width), array(directions, gates * size, size)]
    data += [array(directions, 2 * gates * size)] if bias else []
    attributes = {"hidden_size": size} | ({"direction": "bidirectional"} if directions == 2 else {})
    _, path = graph_of(tmp_path, kind, data, [], attributes, many=3 if kind == "LSTM" else 2)
    replayed = OnnxGraph("one.onnx", graph_from(read_model(path, "one.onnx")))
    with torch.no_grad():
        found = replayed(*(torch.from_numpy(a) for a in data))
    states = [(directions, B, size)] * (2 if kind == "LSTM" else 1)
    assert [tuple(y.shape) for y in found] == [(T, directions, B, size), *states]


def test_the_table_is_covered():
    tested = {case[0] for case in CASES} | {"LSTM", "GRU", "RNN"}
    assert len(tested & set(OPERATORS)) > 0.6 * len(OPERATORS)
