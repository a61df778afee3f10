import io
import json
import resource
import sys
import zipfile

import pytest
import torch
from exported_models import Words, ids
from torch import nn
from torch.export import Dim

import seqcost
from seqcost.errors import BadSize, BadTarget, SeqcostError
from seqcost.programs.files.program_operators import WORDS, computes, found

SAME = ("flops", "pointwise", "params", "bytes_moved", "depth")


@pytest.fixture(scope="module")
def model():
    return Words().eval()


@pytest.fixture(scope="module")
def program(model):
    return torch.export.export(model, (ids(),), dynamic_shapes=({0: Dim("batch"), 1: Dim("T", min=2, max=256)},))


@pytest.fixture(scope="module")
def file(program, tmp_path_factory):
    path = tmp_path_factory.mktemp("programs") / "words.pt2"
    torch.export.save(program, path)
    return path


def altered(file, part, change, *, packed=False):
    """A copy of the file with one member changed."""
    path = file.with_name("altered.pt2")
    how = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(path, "w", how) as new:
        for info in old.infolist():
            content = old.read(info)
            new.writestr(info.filename, change(content) if part in info.filename else content)
    return path


def test_a_program_costs_what_its_model_costs(model, program, file):
    wanted = seqcost.count(model, inputs=(ids(3, 20),), length=20, batch=3).to_dict()
    for target in (program, str(file)):
        found = seqcost.count(target, length=20, batch=3)
        assert {name: found.to_dict()[name] for name in SAME} == {name: wanted[name] for name in SAME}
        assert {"mixer.qkv.addmm", "head.mm", "embedding.embedding"} <= {line["name"] for line in found.lines}
        assert found.polynomials["flops"].coefficients == (0, 3 * 2 * (16 * 64 + 16 * 40), 3 * 64)
        assert found.conventions["T"].startswith("axis 1 of ids")


def test_training(model, file):
    wanted = seqcost.count(model, inputs=(ids(),), length=16, batch=2, phase="train")
    assert seqcost.count(str(file), length=16, batch=2, phase="train").flops == wanted.flops


def test_lengths_outside_the_range(file):
    with pytest.raises(BadSize, match="at least 2 and at most 256"):
        seqcost.count(str(file), length=512)


def test_a_static_program_has_samples_at_its_own_length(model):
    program = torch.export.export(model, (ids(),))
    found = seqcost.count(program, length=16, batch=2)
    assert found.polynomials["flops"].to_dict()["samples"] == {"16": str(found.flops)}
    with pytest.raises(BadSize, match="exported for T = 16 alone"):
        seqcost.count(program, length=17, batch=2)
    with pytest.raises(BadSize, match="exported for B = 2 alone"):
        seqcost.count(program, length=16, batch=1)
    own = seqcost.count(program)
    assert (own.sizes["B"], own.sizes["T"], own.flops) == (2, 16, found.flops)


def test_the_type_of_a_program_is_its_own():
    program = torch.export.export(nn.Linear(4, 4).to(torch.bfloat16), (torch.zeros(1, 3, 4, dtype=torch.bfloat16),))
    assert seqcost.count(program, length=3).dtype == "bfloat16"
    with pytest.raises(BadTarget, match="a program that holds bfloat16"):
        seqcost.count(program, length=3, dtype="float16")


class Touched:
    def __reduce__(self):
        return (open, ("touched", "w"))


def pickled():
    out = io.BytesIO()
    torch.save(Touched(), out)
    return out.getvalue()


def with_members(file, members):
    path = file.with_name("more.pt2")
    path.write_bytes(file.read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def untouched(tmp_path, monkeypatch):
    """A folder in which whatever runs would leave a mark, and where importing would find something to run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "named_by_a_tree.py").write_text("open('touched', 'w')")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    yield tmp_path
    assert [path.name for path in tmp_path.iterdir()] == ["named_by_a_tree.py"]


def test_pytorch_opens_nothing(file, untouched, monkeypatch):
    """The weights, the example inputs and their pickles are not looked at, whatever their names' letters are."""
    monkeypatch.setattr(torch, "load", None)
    monkeypatch.setattr(torch.export, "load", None)
    wanted = seqcost.count(str(file), length=16).flops
    evil = altered(file, "sample_inputs/model.pt", lambda _: pickled())
    assert seqcost.count(str(evil), length=16).flops == wanted
    more = {f"words/{name}": pickled() for name in ("Data/sample_inputs/model.pt", "DATA/weights/weight_0", "extra/x")}
    assert seqcost.count(str(with_members(file, more)), length=16).flops == wanted


def test_a_member_in_other_letters_is_another_member(file, untouched):
    path = file.with_name("renamed.pt2")
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(path, "w") as new:
        for info in old.infolist():
            new.writestr(info.filename.replace("models/model.json", "Models/model.json"), old.read(info))
    with pytest.raises(BadTarget, match="holds no graph under models/"):
        seqcost.count(str(path), length=16)


def test_trees_are_not_read(file, untouched):
    """A tree of inputs may name a class in a module, which PyTorch imports."""

    def change(content):
        graph = json.loads(content)
        tree = [1, {"type": "named_by_a_tree.X", "context": '"named_by_a_tree.X"', "children_spec": []}]
        for entry in graph["graph_module"]["module_call_graph"]:
            entry["signature"] = {
                "in_spec": json.dumps(tree),
                "out_spec": json.dumps(tree),
                "inputs": [],
                "outputs": [],
            }
        graph["graph_module"]["treespec_namedtuple_fields"] = {"named_by_a_tree.X": {"fields": ["a"]}}
        return json.dumps(graph).encode()

    assert seqcost.count(str(altered(file, "models/model.json", change)), length=16).flops > 0


EXECUTED = "exec(\"open('touched','w')\")"


@pytest.mark.parametrize(
    "expression",
    [EXECUTED, f"Integer({EXECUTED})", f"Symbol('s23', x={EXECUTED})", "Symbol('__import__(1)')", "().__class__",
     "Pow(Integer(9), Integer(999999999))", "Integer(" + "9" * 19 + ")", "Add(" * 300 + "1" + ")" * 300,
     "1 if 1 else 2", "lambda: 1", "f'{1}'", "[x for x in (1,)]", "-" * 5000 + "1", "9" * 5000],
)  # fmt: skip
def test_the_size_of_an_axis_is_data(file, untouched, expression):
    def change(content):
        graph = json.loads(content)
        sizes = graph["graph_module"]["graph"]["tensor_values"]["ids"]["sizes"]
        sizes[1]["as_expr"]["expr_str"] = expression
        return json.dumps(graph).encode()

    evil = altered(file, "models/model.json", change)
    if expression.startswith("Symbol('s23'"):  # what is assumed of a name is not looked at
        assert seqcost.count(str(evil), length=16).flops > 0
        return
    with pytest.raises(SeqcostError) as raised:
        seqcost.count(str(evil), length=16)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


def test_sizes_that_nothing_reads_are_not_read(file, untouched):
    content = altered(
        file, "models/model.json", lambda old: old.replace(b"Symbol('s27'", EXECUTED.encode() + b" or Symbol('s27'")
    )
    with pytest.raises(SeqcostError):
        seqcost.count(str(content), length=16)


@pytest.mark.parametrize(
    "name",
    ["torch.ops.load_library", "torch.hub.load", "_operator.attrgetter", "torch.ops.aten.__class__.mro",
     "torch.ops.aten.embedding.__class__", "torch.ops.aten._print.default", "torch.ops.aten.save.default",
     "torch.ops.aten.from_file.default", "torch.ops.aten.set_.source_Storage", "torch.ops.aten.warn.default",
     "torch.ops.aten.record_stream.default", "torch.ops.aten.set_data.default", "torch.ops.aten._backward.default",
     "torch.ops.prim.Print.default", "torch.ops.image.read_file.default", "torch.ops.higher_order.call_torchbind",
     "torch.ops.higher_order.triton_kernel_wrapper_functional", "os.system", "builtins.exec", "torch.ops.aten"],
)  # fmt: skip
def test_what_does_not_compute_is_not_called(file, untouched, name):
    evil = altered(
        file, "models/model.json", lambda old: old.replace(b"torch.ops.aten.embedding.default", name.encode())
    )
    with pytest.raises(BadTarget, match="operators of torch and arithmetic are allowed"):
        seqcost.count(str(evil), length=16)


def test_what_computes_by_its_schema():
    """Over all of ATen: words only where they choose a way to compute; nothing without a result but assertions."""
    words, silent, allowed = set(), set(), 0
    for schema in torch._C._jit_get_all_schemas():
        if schema.name.startswith("aten::") and computes(schema):
            allowed += 1
            words |= {argument.name for argument in schema.arguments if "str" in str(argument.type)}
            silent |= set() if schema.returns else {schema.name}
            assert not any(part in schema.name for part in ("file", "save", "print", "warn", "load"))
    assert allowed > 2500
    assert words - {"assert_msg"} <= set(WORDS)
    assert all("assert" in name or "constrain" in name for name in silent)


def test_a_tensor_is_not_cut_into_more_pieces_than_are_taken_up(file):
    """`unbind` along a million places makes a million tensors before one is looked at."""

    def change(content):
        graph = json.loads(content)
        for node in graph["graph_module"]["graph"]["nodes"]:
            if "unbind" in node["target"]:
                node["inputs"][0]["arg"] = {"as_tensor": {"name": "wide"}}
        wide = json.loads(json.dumps(graph["graph_module"]["graph"]["nodes"][3]))
        wide["inputs"][0]["arg"] = {"as_int": 10**9}
        wide["outputs"] = [{"as_tensor": {"name": "wide"}}]
        graph["graph_module"]["graph"]["nodes"].insert(0, wide)
        return json.dumps(graph).encode()

    with pytest.raises(SeqcostError, match="cuts a tensor into 1,000,000,000 pieces"):
        seqcost.count(str(altered(file, "models/model.json", change)), length=16)


def test_sizes_that_are_computed_stay_sizes():
    for name in ("_operator.pow", "_operator.lshift"):
        assert found(name, "x")(2, 10) in (1024, 2048)
        with pytest.raises(BadTarget, match="over 128 bits"):
            found(name, "x")(9**9, 9**9)


def test_a_graph_that_unpacks_to_much_is_refused(file):
    """79 kB that took 6.4 GiB: zeros pack well, and every bracket is an object."""
    bomb = altered(file, "models/model.json", lambda _: b"[" + b"{}," * 10_000_000 + b"0]", packed=True)
    assert bomb.stat().st_size < 200_000
    before, others = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    with pytest.raises(BadTarget, match=r"is no program|reading .* (takes over|took)"):
        seqcost.count(str(bomb), length=16)
    longer = altered(file, "models/model.json", lambda _: b" " * (2**26 + 1), packed=True)
    with pytest.raises(BadTarget, match="a graph of over 67,108,864 bytes"):
        seqcost.count(str(longer), length=16)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # kB
    # A process begins with the most that its parent ever held on its account, which may be more than it takes itself.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= max(1_600_000, before + 400_000, others)


class Tied(nn.Module):
    """A head that is the embedding, and a layer that is called twice: 68,160 numbers."""

    def __init__(self):
        super().__init__()
        self.embedding, self.layer = nn.Embedding(1000, 64), nn.Linear(64, 64)
        self.again, self.head = self.layer, nn.Linear(64, 1000, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids):
        return self.head(self.again(self.layer(self.embedding(ids))))


def test_a_tied_weight_counts_once(tmp_path):
    program = torch.export.export(Tied(), (ids(),))
    torch.export.save(program, tmp_path / "tied.pt2")
    wanted = seqcost.count(Tied(), inputs=(ids(),), length=16, batch=2, phase="train")
    assert wanted.params == 64 * 1000 + 64 * 64 + 64 == 68_160
    for target in (program, str(tmp_path / "tied.pt2")):
        found = seqcost.count(target, length=16, batch=2, phase="train")
        assert (found.params, found.flops, found.depth) == (wanted.params, wanted.flops, wanted.depth)
        assert found.peak_bytes == wanted.peak_bytes
        assert found.memory["categories"]["parameters"] == 4 * 68_160


class Modes(nn.Module):
    """Parts under another mode are graphs of their own; sizes are computed; a list of tensors is taken apart."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x):
        with torch.no_grad():
            one, two, three = self.a(x).chunk(3, -1)
        with torch.autocast("cpu", torch.bfloat16):
            four = self.b(one)
        mask = torch.full((x.shape[1] * 2,), float("-inf"))[: x.shape[1]]
        values, places = (two * four + mask[None, :, None]).max(-1)
        return {"a": values, "b": [places, three]}


def test_graphs_inside_a_graph(tmp_path):
    x = torch.zeros(2, 16, 8)
    shapes = ({0: Dim("batch"), 1: Dim("T", min=2, max=256)},)
    program = torch.export.export(Modes(), (x,), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "modes.pt2")
    for phase in ("forward", "train"):
        wanted = seqcost.count(Modes(), inputs=(torch.zeros(3, 20, 8),), length=20, batch=3, phase=phase)
        found = seqcost.count(str(tmp_path / "modes.pt2"), length=20, batch=3, phase=phase)
        assert (found.flops, found.pointwise, found.params) == (wanted.flops, wanted.pointwise, wanted.params)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_program(tmp_path, content):
    (tmp_path / "m.pt2").write_bytes(content)
    with pytest.raises(SeqcostError, match=r"is no program of torch\.export") as raised:
        seqcost.count(str(tmp_path / "m.pt2"))
    assert "\n" not in str(raised.value)
