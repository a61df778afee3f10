import io
import json
import zipfile

import pytest
import torch
from exported_models import Words, ids
from torch import nn
from torch.export import Dim

import seqcost
from seqcost.errors import BadSize, BadTarget, SeqcostError
from seqcost.trace.exported import program_at

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


def altered(file, part, change):
    """A copy of the file with one member changed."""
    path = file.with_name("altered.pt2")
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(path, "w") as new:
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
        seqcost.count(program, length=16)


def test_the_type_of_a_program_is_its_own():
    program = torch.export.export(nn.Linear(4, 4).to(torch.bfloat16), (torch.zeros(1, 3, 4, dtype=torch.bfloat16),))
    assert seqcost.count(program, length=3).dtype == "bfloat16"
    with pytest.raises(BadTarget, match="a program that holds bfloat16"):
        seqcost.count(program, length=3, dtype="float16")


def test_no_memory_for_weights(tmp_path):
    program = torch.export.export(nn.Linear(64, 64), (torch.zeros(1, 3, 64),))
    torch.export.save(program, tmp_path / "m.pt2")
    loaded = program_at(tmp_path / "m.pt2")
    assert all(tensor.is_meta for tensor in loaded.state_dict.values())


class Touched:
    def __reduce__(self):
        return (open, ("touched", "w"))


def test_nothing_in_a_file_is_run(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickled = io.BytesIO()
    torch.save(Touched(), pickled)
    with pytest.raises(BadTarget):
        program_at(altered(file, "sample_inputs/model.pt", lambda _: pickled.getvalue()))
    pickled_weight = json.dumps({"config": {"w": {"path_name": "weight_0", "use_pickle": True}}}).encode()
    with pytest.raises(BadTarget, match="a pickled object; plain tensors are allowed"):
        program_at(altered(file, "weights_config.json", lambda _: pickled_weight))
    for old, new in (
        (b"torch.ops.aten.embedding.default", b"torch.ops.load_library"),
        (b"torch.ops.aten.embedding.default", b"torch.hub.load"),
        (b"torch.ops.aten.embedding.default", b"_operator.attrgetter"),
        (b"torch.ops.aten.embedding.default", b"torch.ops.aten.__class__.mro"),
    ):
        with pytest.raises(BadTarget, match=r"operators of torch and arithmetic are allowed"):
            program_at(altered(file, "models/model.json", lambda content, o=old, n=new: content.replace(o, n)))
    spoilt = (b"Symbol(", b"open('touched', 'w') or Symbol(")
    with pytest.raises(BadTarget, match="arithmetic on names is allowed"):
        program_at(altered(file, "models/model.json", lambda content: content.replace(*spoilt)))
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_program(tmp_path, content):
    (tmp_path / "m.pt2").write_bytes(content)
    with pytest.raises(SeqcostError, match=r"is no program of torch\.export") as raised:
        seqcost.count(str(tmp_path / "m.pt2"))
    assert "\n" not in str(raised.value)
