"""A training step of an exported program costs what that of its module costs, whatever is frozen.

The module is the oracle: its own parameters say which of them want gradients, and PyTorch's autograd runs it.
"""

import json
import zipfile

import pytest
import torch
from exported_models import ids
from torch import nn

import seqcost
from seqcost.errors import BadTarget

SAME = ("flops", "pointwise", "params", "trainable_params", "bytes_moved", "saved_bytes", "peak_bytes", "depth")
D = 32


class LoRA(nn.Module):
    """x W + x A B: W [D, D] is frozen, the narrow A [D, 4] and B [4, D] are trained."""

    def __init__(self):
        super().__init__()
        self.whole, self.down, self.up = (nn.Linear(a, b, bias=False) for a, b in ((D, D), (D, 4), (4, D)))
        self.whole.requires_grad_(False)

    def forward(self, x):
        return self.whole(x) + self.up(self.down(x))


class Adapted(nn.Module):
    """Frozen words, a block of which norms, biases and an adapter are trained, a head that is tied to the words."""

    def __init__(self):
        super().__init__()
        self.words, self.norm, self.mix = nn.Embedding(40, D), nn.LayerNorm(D), nn.Linear(D, D)
        self.lora, self.head = LoRA(), nn.Linear(D, 40, bias=False)
        self.mix.weight.requires_grad_(False)
        self.words.requires_grad_(False)
        self.head.weight = self.words.weight
        self.register_buffer("scale", torch.ones(D))

    def forward(self, ids):
        # No name holds a tensor that autograd lets go: a program's graph has none.
        return self.head(self.lora(torch.tanh(self.mix(self.norm(self.words(ids)) * self.scale))))


class Normed(nn.Module):
    """A norm over the batch, whose running means change, half of it frozen; a frozen table of positions."""

    def __init__(self):
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(D, D), nn.BatchNorm1d(D), nn.Linear(D, D)
        self.positions = nn.Parameter(torch.zeros(16, D), requires_grad=False)
        self.norm.weight.requires_grad_(False)
        self.b.bias.requires_grad_(False)

    def forward(self, x):
        return self.b(self.norm((self.a(x) + self.positions).transpose(1, 2)).transpose(1, 2))


class HalfTied(nn.Module):
    """One memory under two names: frozen as a table of words, trained as a head (and the other way round)."""

    def __init__(self, frozen):
        super().__init__()
        self.words, self.mix, self.head = nn.Embedding(40, D), nn.Linear(D, D), nn.Linear(D, 40, bias=False)
        self.head.weight = nn.Parameter(self.words.weight.data, requires_grad=frozen == "words")
        self.words.weight.requires_grad_(frozen == "head")

    def forward(self, ids):
        return self.head(self.mix(self.words(ids)))


class Packed(nn.Module):
    """A frozen weight of whole numbers, unpacked as it is used."""

    def __init__(self):
        super().__init__()
        self.packed = nn.Parameter(torch.zeros(D, D, dtype=torch.int8), requires_grad=False)
        self.scale = nn.Parameter(torch.ones(D))

    def forward(self, x):
        return x @ (self.packed.to(x.dtype) * self.scale)


def frozen(module):
    return module.requires_grad_(False)


def features():
    return torch.zeros(2, 16, D)


CASES = {
    "lora": (LoRA, features),
    "adapted": (Adapted, ids),
    "normed": (Normed, features),
    "words": (lambda: HalfTied("words"), ids),
    "head": (lambda: HalfTied("head"), ids),
    "packed": (Packed, features),
    "all-frozen": (lambda: frozen(LoRA()), features),
    "nothing-frozen": (lambda: LoRA().requires_grad_(True), features),
}


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """By case: the module, its inputs, and the program of it, live and in a file."""
    folder, made = tmp_path_factory.mktemp("programs"), {}

    def make(case):
        if case not in made:
            build, inputs = CASES[case]
            module, path = build(), folder / f"{case}.pt2"
            program = torch.export.export(module, (inputs(),))
            torch.export.save(program, path)
            made[case] = module, inputs(), program, str(path)
        return made[case]

    return make


def step(target, **more):
    return seqcost.count(target, phase="train", **more)


@pytest.mark.parametrize("optimizer", [None, "adamw", "sgd:momentum=0.9"])
@pytest.mark.parametrize("case", CASES)
def test_a_step_costs_what_the_modules_own_costs(programs, case, optimizer):
    module, x, program, path = programs(case)
    if case == "all-frozen" and optimizer is not None:
        for target in (module, program, path):
            with pytest.raises(BadTarget, match="has no trainable parameter"):
                step(target, optimizer=optimizer)
        return
    # Features want gradients of a layer inside a model, the inputs of programs do so too.
    x = x.requires_grad_() if x.is_floating_point() else x
    wanted = step(module, inputs=(x,), optimizer=optimizer)
    for target in (program, path):
        found = step(target, optimizer=optimizer)
        assert {name: getattr(found, name) for name in SAME} == {name: getattr(wanted, name) for name in SAME}
        assert found.memory["categories"] == wanted.memory["categories"]


def test_a_language_model_without_a_trained_parameter_has_nothing_to_train(tmp_path):
    module = frozen(Adapted())
    program = torch.export.export(module, (ids(),))
    torch.export.save(program, tmp_path / "frozen.pt2")
    for target, inputs in ((module, (ids(),)), (program, None), (str(tmp_path / "frozen.pt2"), None)):
        with pytest.raises(BadTarget, match=r"every parameter of .* is frozen") as raised:
            step(target, inputs=inputs)
        assert "\n" not in str(raised.value)
        assert "Exported " not in str(raised.value)


def altered(path, part, change):
    """A copy of the file with the JSON of one member changed, or left out where the change gives nothing."""
    other = path.replace(".pt2", "-altered.pt2")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w") as new:
        for info in old.infolist():
            content = old.read(info)
            if part in info.filename:
                told = change(json.loads(content))
                content = None if told is None else json.dumps(told)
            if content is not None:
                new.writestr(info.filename, content)
    return other


def test_without_its_weights_the_graph_says_what_is_trained(programs):
    _, _, _, path = programs("adapted")
    other = altered(path, "weights_config", lambda _: None)
    assert seqcost.count(other).trainable_params == seqcost.count(path).trainable_params == 2 * D + D + 2 * 4 * D


def test_the_weights_go_before_the_graph(tmp_path):
    """A flag that is set after the export lies with the weights alone; PyTorch goes by it when it opens the file."""
    program = torch.export.export(LoRA(), (features(),))
    program.state_dict["whole.weight"].requires_grad_(True)
    torch.export.save(program, tmp_path / "freed.pt2")
    opened = torch.export.load(tmp_path / "freed.pt2").state_dict.values()
    wanted = sum(weight.numel() for weight in opened if weight.requires_grad)
    for target in (program, str(tmp_path / "freed.pt2")):
        assert seqcost.count(target).trainable_params == wanted == D * D + 2 * 4 * D


@pytest.mark.parametrize("told", [1, "true", None])
def test_a_flag_is_a_flag(programs, told):
    def change(config):
        config["config"]["down.weight"]["tensor_meta"]["requires_grad"] = told
        return config

    with pytest.raises(BadTarget, match="is no program"):
        seqcost.count(altered(programs("lora")[3], "weights_config", change))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_ways_around_the_program(programs):
    """Loaded again by PyTorch, taken apart into plainer operators, or made a module again."""
    module, x, program, path = programs("adapted")
    wanted = step(module, inputs=(x,), optimizer="adamw")
    again, module_again = torch.export.load(path), program.module()
    for found in (
        step(again, optimizer="adamw"),
        step(module_again, inputs=(x,), optimizer="adamw"),
        step(program.run_decompositions(), optimizer="adamw"),
    ):
        assert (found.params, found.trainable_params) == (wanted.params, wanted.trainable_params)
        assert found.flops == wanted.flops
        assert found.memory["categories"]["optimizer_state"] == wanted.memory["categories"]["optimizer_state"]
