import random
import resource
import sys
import warnings
from functools import partial
from pathlib import Path

import pytest
import torch
from exported_models import Attention, Words, ids
from mutated_files import mutated_bytes
from torch.export import Dim

import seqcost
from seqcost.errors import BadTarget, MissingExtra, SeqcostError
from seqcost.programs import Target
from seqcost.trace import trace

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from seqcost.files.onnx_model import read_model  # noqa: E402
from seqcost.programs.files.onnx.file import graph_from  # noqa: E402
from seqcost.programs.files.onnx.graph import OnnxGraph  # noqa: E402

CASES, SEED = 200, 20261121


@pytest.fixture(scope="module", params=[None, "LSTM"])
def pair(request, tmp_path_factory):
    """A model and the file that torch makes of it."""
    model = Words(request.param).eval()
    path = tmp_path_factory.mktemp("graphs") / "words.onnx"
    axes = ({0: Dim("batch"), 1: Dim("sequence", min=2, max=500)},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.onnx.export(model, (ids(),), dynamo=True, dynamic_shapes=axes, verbose=False).save(path)
    return model, path


def test_a_graph_costs_what_its_model_costs(pair):
    model, path = pair
    wanted = seqcost.count(model, inputs=(ids(3, 20),), length=20, batch=3)
    found = seqcost.count(str(path), length=20, batch=3)
    assert found.flops == wanted.flops
    assert found.params == wanted.params
    assert not [row for row in found.uncounted if "operator" in row]
    assert found.polynomials["flops"](20) == found.flops
    assert found.conventions["T"] == "axis 1 of ids, called sequence"
    assert found.conventions["B"] == "axis 0 of ids, called batch"
    assert any(line["name"].startswith("head.") for line in found.lines)


def test_training_a_graph(pair):
    model, path = pair
    wanted = seqcost.count(model, inputs=(ids(),), length=16, batch=2, phase="train").flops
    if isinstance(model.mixer, Attention):
        wanted -= 2 * 2 * 16 * 16 * 16  # the fused kernel makes the scores again; the exporter has taken it apart
    assert seqcost.count(str(path), length=16, batch=2, phase="train").flops == wanted


def test_weights_beside_the_graph_are_not_needed(pair):
    _, path = pair
    away = path.with_name("away.onnx")
    onnx.save(onnx.load(path), away, save_as_external_data=True, location="away.bin", size_threshold=64)
    away.with_name("away.bin").unlink()
    assert seqcost.count(str(away), length=20).flops == seqcost.count(str(path), length=20).flops


def saved(tmp_path, nodes, *, inputs=None, initializers=(), outputs=("y",), opset=23, domain=""):
    inputs = {"x": ["batch", "sequence", 4]} if inputs is None else inputs
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in inputs.items()],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(a, n) for n, a in dict(initializers).items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets), tmp_path / "m.onnx")
    return str(tmp_path / "m.onnx")


def test_names_of_older_exporters_are_paths(tmp_path):
    weight = torch.zeros(4, 6).numpy()
    node = helper.make_node("MatMul", ["x", "h.0.up.weight"], ["y"], name="/h.0/up/MatMul")
    found = seqcost.count(saved(tmp_path, [node], initializers={"h.0.up.weight": weight}), length=8, batch=2)
    assert [(line["name"], line["amount"]) for line in found.lines if line["kind"] == "contraction"] == [
        ("h.0.up.mm", 2 * 2 * 8 * 4 * 6)
    ]
    assert found.params == 24


def test_a_branch_that_a_shape_decides(tmp_path):
    numpy = pytest.importorskip("numpy")
    branches = {
        f"{name}_branch": helper.make_graph([helper.make_node(kind, ["x"], [name])], name, [],
                                            [helper.make_empty_tensor_value_info(name)])
        for name, kind in (("then", "Exp"), ("else", "Identity"))
    }  # fmt: skip
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "one"], ["t"]),
        helper.make_node("Greater", ["t", "ten"], ["long"]),
        helper.make_node("If", ["long"], ["y"], **branches),
    ]
    constants = {"one": numpy.array(1), "ten": numpy.array(10)}
    path = saved(tmp_path, nodes, initializers=constants)
    assert [seqcost.count(path, length=n).pointwise for n in (10, 11)] == [0, 11 * 4]


@pytest.mark.parametrize(
    ("nodes", "says"),
    [
        ([helper.make_node("Loop", ["x"], ["y"], name="again")], "has the operator Loop (again)"),
        ([helper.make_node("FastGelu", ["x"], ["y"], domain="com.microsoft")], "operator com.microsoft.FastGelu"),
        ([helper.make_node("Reshape", ["x", "x"], ["y"])], "needs the values of x, which depend on data"),
        ([helper.make_node("Relu", ["nothing"], ["y"])], "nothing is read before anything makes it"),
        ([helper.make_node("MatMul", ["x", "x"], ["y"], name="mm")], "MatMul mm does not run"),
        ([], "has no operators"),
    ],
)  # fmt: skip
def test_what_cannot_be_followed(tmp_path, nodes, says):
    with pytest.raises(SeqcostError) as raised:
        seqcost.count(saved(tmp_path, nodes), length=8)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"not a graph at all", b"\x08\x07", bytes(100)])
def test_what_is_no_graph(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(BadTarget) as raised:
        seqcost.count(str(tmp_path / "m.onnx"))
    assert "\n" not in str(raised.value)


def test_spoilt_files_are_answered_or_refused_in_one_sentence(tmp_path):
    """Two hundred files, asked at one length."""
    weights = {"w": torch.zeros(4, 6).numpy(), "shape": torch.tensor([0, -1]).numpy()}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="/up/MatMul"),
        helper.make_node("Shape", ["a"], ["s"]),
        helper.make_node("Reshape", ["a", "shape"], ["b"]),
        helper.make_node("Softmax", ["b"], ["y"], axis=-1),
    ]
    sound = Path(saved(tmp_path, nodes, initializers=weights)).read_bytes()
    path, answers = tmp_path / "spoilt.onnx", 0
    for number in range(CASES):
        path.write_bytes(mutated_bytes(sound, random.Random(f"{SEED}/{number}")))
        said = ""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                graph = graph_from(read_model(path, str(path)))  # what the reading process does
                target = Target("spoilt", partial(OnnxGraph, "spoilt", graph), own_mode=True, shapes_only=True)
                trace(target, phase="forward", B=1, T=8, lengths=())
            answers += 1
        except SeqcostError as error:
            said = str(error)
        assert "\n" not in said, number
    assert 10 < answers < CASES - 10


def test_the_package_is_asked_for(tmp_path, monkeypatch):
    path = saved(tmp_path, [helper.make_node("Relu", ["x"], ["y"])])
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r"pip install 'seqcost\[onnx\]'"):
        Target.of_spec({"kind": "onnx", "path": path})


def functions(depth, width):
    """A function that calls another so often, and that one the next."""
    made = []
    for level in range(depth):
        inner = [helper.make_node("Relu", ["a"], ["b"])] if level == depth - 1 else [
            helper.make_node(f"f{level + 1}", ["a"], [f"t{n}" if n < width - 1 else "b"], domain="own")
            for n in range(width)
        ]  # fmt: skip
        opsets = [helper.make_opsetid("", 23), helper.make_opsetid("own", 1)]
        made.append(helper.make_function("own", f"f{level}", ["a"], ["b"], inner, opsets))
    return made


def with_functions(tmp_path, made):
    path = tmp_path / "m.onnx"
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "sequence", 4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("f0", ["x"], ["y"], domain="own")], "g", [x], [y])
    opsets = [helper.make_opsetid("", 23), helper.make_opsetid("own", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, functions=made), path)
    return path


def held_kb():
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def test_functions_are_counted_before_they_are_put_in_their_places(tmp_path):
    """1.7 kB took 5.3 GiB: eight functions that call each other ten times are a hundred million operators."""
    path, before = with_functions(tmp_path, functions(9, 10)), held_kb()
    assert path.stat().st_size < 10_000
    with pytest.raises(BadTarget, match=r"has over 100,000 operators; export a smaller graph"):
        seqcost.count(str(path), length=8)
    assert held_kb() - before < 300_000
    assert seqcost.count(str(with_functions(tmp_path, functions(3, 2))), length=8).pointwise == 4 * 8 * 4
    endless = functions(2, 1)
    endless[1].node[0].CopyFrom(helper.make_node("f0", ["a"], ["b"], domain="own"))
    with pytest.raises(BadTarget, match="which calls itself"):
        seqcost.count(str(with_functions(tmp_path, endless)), length=8)


GROWING = {
    "joined": [helper.make_node("Concat", [f"v{n}"] * 2, [f"v{n + 1}"], axis=0) for n in range(30)],
    "tiled": [helper.make_node("Tile", [f"v{n}", "reps"], [f"v{n + 1}"]) for n in range(30)],
    "multiplied": [made for n in range(30) for made in (
        helper.make_node("Unsqueeze", [f"v{n}", "zero"], [f"row{n}"]),
        helper.make_node("Unsqueeze", [f"v{n}", "one"], [f"col{n}"]),
        helper.make_node("Add", [f"row{n}", f"col{n}"], [f"sum{n}"]),
        helper.make_node("Reshape", [f"sum{n}", "flat"], [f"v{n + 1}"]))],
    "gathered": [helper.make_node("Gather", [f"v{n}", "many"], [f"v{n + 1}"], axis=0) for n in range(30)],
}  # fmt: skip


@pytest.mark.parametrize("kind", GROWING)
def test_values_that_decide_a_shape_do_not_grow_without_end(tmp_path, kind):
    """Thirty `Concat(x, x)` took 8.6 GiB."""
    numpy = pytest.importorskip("numpy")
    nodes = [*GROWING[kind], helper.make_node("Reshape", ["x", "v30"], ["y"])]
    constants = {
        "v0": numpy.ones(4, "int64"), "reps": numpy.array([16]), "zero": numpy.array([0]), "one": numpy.array([1]),
        "flat": numpy.array([-1]), "many": numpy.zeros((4096,), "int64"),
    }  # fmt: skip
    if kind == "gathered":
        nodes = [helper.make_node("Gather", [f"v{n}", f"v{n}"], [f"v{n + 1}"], axis=0) for n in range(30)] + nodes[-1:]
        constants["v0"] = numpy.zeros((4096, 1), "int64")
    path, before = saved(tmp_path, nodes, initializers=constants), held_kb()
    with pytest.raises(SeqcostError, match=r"makes over 20,000,000 values that decide shapes|does not run"):
        seqcost.count(path, length=8)
    assert held_kb() - before < 700_000


def outside(tensor):
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../etc/passwd"
    return tensor


@pytest.mark.parametrize("kind", ["Constant", "ConstantOfShape"])
def test_no_other_file_is_read_for_an_attribute(tmp_path, kind):
    tensor = outside(helper.make_tensor("t", TensorProto.INT64, [1], [1]))
    tensor.ClearField("int64_data")
    nodes = [helper.make_node(kind, ["x"] if kind != "Constant" else [], ["s"], value=tensor),
             helper.make_node("Reshape", ["x", "s"], ["y"])]  # fmt: skip
    with pytest.raises(BadTarget, match="an attribute whose values lie in another file"):
        seqcost.count(saved(tmp_path, nodes), length=8)


def test_an_operator_that_is_not_known_to_stay_small_is_not_computed(tmp_path):
    nodes = [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("BlackmanWindow", ["s"], ["w"]),
             helper.make_node("Reshape", ["x", "w"], ["y"])]  # fmt: skip
    with pytest.raises(SeqcostError, match="BlackmanWindow"):
        seqcost.count(saved(tmp_path, nodes), length=8)


@pytest.mark.parametrize("kind", ["SplitToSequence", "GatherND", "GRU"])
def test_a_tensor_is_not_taken_apart_without_end(tmp_path, kind):
    numpy = pytest.importorskip("numpy")
    weights = {
        "w": numpy.zeros((1, 6, 4), "float32"),
        "r": numpy.zeros((1, 6, 2), "float32"),
        "to": numpy.array([10**9, 1, 4]),
    }
    nodes = [helper.make_node("Expand", ["one", "to"], ["wide"])]
    weights["one"] = numpy.zeros((1, 1, 4), "float32")
    if kind == "GRU":
        nodes.append(helper.make_node("GRU", ["wide", "w", "r"], ["y"], hidden_size=2))
    elif kind == "GatherND":
        weights["many"] = numpy.array([10**9])
        nodes += [helper.make_node("ConstantOfShape", ["many"], ["index"], value=helper.make_tensor("t", 7, [1], [0])),
                  helper.make_node("GatherND", ["x", "index_"], ["y"])]  # fmt: skip
        nodes.insert(-1, helper.make_node("Expand", ["index0", "many"], ["index_"]))
        weights["index0"] = numpy.zeros((1,), "int64")
        nodes = [nodes[0], *nodes[-2:]]
    else:
        nodes.append(helper.make_node("SplitToSequence", ["wide"], ["parts"], axis=0))
        nodes.append(helper.make_node("ConcatFromSequence", ["parts"], ["y"], axis=0))
    with pytest.raises(SeqcostError, match=r"at most 2 and 1,000,000|over 100,000 pieces|indices into 3 axes"):
        seqcost.count(saved(tmp_path, nodes, initializers=weights), length=8)
