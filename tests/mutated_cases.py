"""One odd case at a time, asked as a user asks: what became of it, and what it did that it may not do.

A case is answered (exit code 0), refused (one sentence, exit code 2), or wrong: raised, a network looked up, a file
made, another count than that of the test's own mode. The process that asks stays; nothing of a case may.
"""

import contextlib
import io
import json
import os
import sys
import traceback
import warnings
from pathlib import Path

import torch
from exported_models import Words, ids
from mutated_commands import FAMILIES, mutated_command
from mutated_configs import as_json, mutated
from mutated_files import mutated_graph, mutated_header, mutated_program
from random_modules import B, D, T, counted, random_module

import seqcost
from seqcost.cli.main import main
from seqcost.errors import SeqcostError
from seqcost.files import child

# Cases of ten thousand.
SHARES = {
    "lengths": 2000,
    "settings": 1500,
    "options": 1500,
    "configurations": 1000,
    "safetensors": 1500,
    "onnx": 1000,
    "programs": 1000,
    "modules": 500,
}
assert sum(SHARES.values()) == 10_000
GOOD = ("answered", "refused")
WHOLE = 10  # every so many files are read in a process of their own, the others in this one
_LOOKED_UP = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.sendto")
_READERS = ("seqcost.files.safetensors_header", "seqcost.questions.targets.weights",
            "seqcost.questions.targets.hugging_face",
            "seqcost.programs.files.exported", "seqcost.programs.files.onnx.file")  # fmt: skip
_seen: list[tuple[str, str]] = []


def family_of(number):
    """The family of a case and its number in it: families take turns by their shares."""
    at = number % 20
    step = sum(SHARES.values()) // 20
    names = [name for name, share in SHARES.items() for _ in range(share // step)]
    return names[at], number // 20 * names.count(names[at]) + names[:at].count(names[at])


def sound_program():
    """The bytes of a .pt2."""
    out, axes = io.BytesIO(), ({0: torch.export.Dim("batch"), 1: torch.export.Dim("T", min=2, max=256)},)
    torch.export.save(torch.export.export(Words().eval(), (ids(),), dynamic_shapes=axes), out)
    return out.getvalue()


def sound_graph():
    """The bytes of an .onnx."""
    import numpy
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="/up/MatMul"),
        helper.make_node("Shape", ["a"], ["s"]),
        helper.make_node("Concat", ["s", "one"], ["longer"], axis=0),
        helper.make_node("Slice", ["longer", "zero", "three"], ["shape"]),
        helper.make_node("Reshape", ["a", "shape"], ["b"]),
        helper.make_node("Softmax", ["b"], ["y"], axis=-1),
    ]
    constants = {"w": numpy.zeros((4, 6), "float32")} | {
        name: numpy.array([n]) for name, n in (("zero", 0), ("one", 1), ("three", 3))
    }
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "sequence", 4])
    made = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", [x], [helper.make_empty_tensor_value_info("y")], made)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)]).SerializeToString()


def watch():
    """Note look-ups of a network, which are refused, and files that are opened to be written; once a process."""

    def note(event, arguments):
        if event in _LOOKED_UP:
            _seen.append(("network", f"{event} {arguments[1:]}"))
            raise PermissionError("no case may look up a network")
        if event == "open" and isinstance(arguments[0], str | os.PathLike):
            _, mode, flags = arguments
            writes = any(letter in mode for letter in "wax+") if isinstance(mode, str) else flags & os.O_CREAT
            if writes:
                _seen.append(("file", os.fspath(arguments[0])))
        elif event == "os.mkdir":
            _seen.append(("file", os.fspath(arguments[0])))

    sys.addaudithook(note)


def ask(number, seed, folder, sound):
    """What was done, what became of it, and what was said; `sound` has the files that are spoilt."""
    family, own = family_of(number)
    file = Path(folder) / {"configurations": "config.json", "safetensors": "m.safetensors", "onnx": "m.onnx",
                           "programs": "m.pt2"}.get(family, "none")  # fmt: skip
    words = ["count", str(file), "--length", "8"]
    said = family
    if family in FAMILIES:
        words = mutated_command(family, seed, own)
        said = " ".join(words)[:120]
    elif family == "configurations":
        said, config = mutated(seed, own)
        file.write_text(as_json(config), "utf-8")
    elif family == "safetensors":
        file.write_bytes(mutated_header(seed, own))
        words = words[:2]
    elif family == "onnx":
        file.write_bytes(mutated_graph(sound["onnx"], seed, own))
    elif family == "programs":
        file.write_bytes(mutated_program(sound["programs"], seed, own))
    elif family == "modules":
        return (*_ask_module(seed, own),)
    _seen.clear()
    before = set(Path(folder).iterdir())
    with _reading_here(whole=own % WHOLE == 0):
        outcome, text = run(words)
    made = [path for kind, path in _seen if kind == "file" and Path(path).is_file() and Path(path) != file]
    made += [str(path) for path in set(Path(folder).iterdir()) - before]
    looked_up = [what for kind, what in _seen if kind == "network"]
    if looked_up:
        outcome, text = "looked up", looked_up[0]
    elif made:
        outcome, text = "wrote", made[0]
    return said, outcome, text


def run(words):
    """A command in this process: its outcome and what it said."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    argv, code, raised = sys.argv, None, ""
    sys.argv = ["seqcost", *words]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns of empty tensors, transformers of odd values
            main()
    except SystemExit as end:
        code = end.code
    except BaseException as error:  # noqa: BLE001 - what this is about
        frames = traceback.extract_tb(error.__traceback__)
        raised = f"{type(error).__name__} in {Path(frames[-1].filename).name}:{frames[-1].lineno}: {error}"
    finally:
        sys.argv = argv
    shown, complaint = (stream.buffer.getvalue().decode("utf-8", "replace") for stream in (out, err))
    if raised or "Traceback" in complaint:
        return "raised", (raised or complaint)[:400]
    if any(sign in shown + complaint for sign in "\x1b\x9b\u202e\x00"):
        return "raised", "what steers a terminal was shown"
    if code in (0, None):
        return "answered", ""
    if code == 2 and complaint.startswith("seqcost: ") and complaint.count("\n") == 1 and not shown:
        return "refused", complaint[9:].strip()[:400]
    return "raised", f"exit code {code}: {complaint[:300]}"


def _ask_module(seed, number):
    names, module = random_module(seed, number)
    x = torch.randn(B, T, D)
    for phase in ("forward", "train"):
        try:
            found = seqcost.count(module, inputs=(x,), length=T, batch=B, phase=phase).flops
        except SeqcostError as error:
            return names, "refused", str(error)
        except Exception as error:  # noqa: BLE001 - what this is about
            return names, "raised", f"{type(error).__name__}: {error}"
        wanted = counted(module, train=phase == "train")
        if found != wanted:
            return names, "wrong", f"{phase}: {found:,} for {wanted:,}"
    return names, "answered", ""


@contextlib.contextmanager
def _reading_here(*, whole):
    """The readers called in this process, unless the whole way is to be gone."""
    if whole:
        yield
        return

    def read(kind, path):
        module, _, name = child.READERS[kind].partition(":")
        reader = getattr(__import__(module, fromlist=[name]), name)
        return json.loads(json.dumps(reader(path, str(path))))

    modules = [__import__(name, fromlist=["read"]) for name in _READERS]
    before = [module.read for module in modules]
    for module in modules:
        module.read = read
    try:
        yield
    finally:
        for module, old in zip(modules, before, strict=True):
            module.read = old
