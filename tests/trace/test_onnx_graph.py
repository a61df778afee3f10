import random
import warnings
from pathlib import Path

import pytest
import torch
from exported_models import Attention, Words, ids
from mutated_files import mutated_bytes
from torch.export import Dim

import seqcost
from seqcost.errors import BadTarget, MissingExtra, SeqcostError
from seqcost.trace import Target, trace

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

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
                trace(Target.of_spec({"kind": "onnx", "path": str(path)}), phase="forward", B=1, T=8, lengths=())
            answers += 1
        except SeqcostError as error:
            said = str(error)
        assert "\n" not in said, number
    assert 10 < answers < CASES - 10


def test_the_package_is_asked_for(tmp_path, monkeypatch):
    path = saved(tmp_path, [helper.make_node("Relu", ["x"], ["y"])])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'seqcost\[onnx\]'"):
        Target.of_spec({"kind": "onnx", "path": path})
