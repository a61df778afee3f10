"""Modules that could not be traced: they are, or one sentence says what to do."""

import copy
import sys
import threading

import pytest
import torch
from torch import nn

import seqcost
from seqcost.errors import BadTarget, TraceFailed

HERE = __name__
X = torch.randn(2, 5, 8)
LINEAR = 2 * 10 * 64


class Locked(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.lock = nn.Linear(8, 8), threading.Lock()

    def forward(self, x):
        with self.lock:
            return self.linear(x)


class Scripted(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.jit.script(nn.Sequential(nn.Linear(8, 8), nn.ReLU()))

    def forward(self, x):
        return self.inner(x)


class Towers(nn.Module):
    """The second tower is a copy of the first, made in the constructor."""

    def __init__(self):
        super().__init__()
        self.a = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
        self.b = copy.deepcopy(self.a)

    def forward(self, x, y):
        return self.a(x) + self.b(y)


def towers():
    return Towers(), (X, X)


def encoder():
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)


class Padded(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = encoder()

    def forward(self, x):
        mask = torch.zeros(x.shape[:2], dtype=torch.bool)
        mask[:, -1] = True
        return self.encoder(x, src_key_padding_mask=mask)


class Cell(nn.Module):
    """Its state is wider than its input."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(8, 16)

    def forward(self, x):
        h = None
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
        return h


class Sparse(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.register_buffer("graph", torch.eye(8).to_sparse())

    def forward(self, x):
        return self.linear(x) @ self.graph.to_dense()


@pytest.mark.parametrize("phase", ["forward", "train"])
def test_a_lock_is_shared_with_the_copy(phase):
    module = Locked()
    count = seqcost.count(module, inputs=(X,), phase=phase)
    assert count.flops == LINEAR * (1 if phase == "forward" else 2)
    assert not module.lock.locked()


def test_parameters_of_a_module_with_a_lock_are_copied():
    module = Locked()
    before = module.linear.weight.clone()
    seqcost.count(module, inputs=(X,), phase="train", optimizer="sgd:lr=1.0")
    assert torch.equal(module.linear.weight, before)
    assert module.linear.weight.grad is None


@pytest.mark.parametrize("phase", ["forward", "train"])
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("make", [Scripted, lambda: torch.jit.script(nn.Linear(8, 8))])
def test_scripted_modules(make, phase):
    assert seqcost.count(make(), inputs=(X,), phase=phase).flops == LINEAR * (1 if phase == "forward" else 2)


def test_layers_that_are_copied_in_a_constructor_stay_on_the_first_rung():
    found = seqcost.count(f"{HERE}:towers")
    assert (found.rung, found.flops, found.params) == ("fake tensors", 2 * LINEAR, 2 * 72)
    by_path, live = seqcost.count(f"{HERE}:encoder", length=64), seqcost.count(encoder(), length=64)
    assert by_path.rung == live.rung == "fake tensors"
    assert (by_path.flops, by_path.params) == (live.flops, live.params)
    assert "__deepcopy__" not in vars(sys.modules["torch._subclasses.fake_tensor"].FakeTensor)


@pytest.mark.parametrize("phase", ["forward", "train"])
def test_a_padded_encoder_computes_its_padding(phase):
    module = Padded()
    found, plain = (seqcost.count(m, length=33, phase=phase) for m in (module, encoder()))
    assert found.flops == plain.flops
    assert found.rung == "fake tensors"
    assert "computed as well" in found.conventions["padding"]
    assert module.encoder.use_nested_tensor


def test_a_cell_whose_state_is_wider_than_its_input():
    assert seqcost.count(Cell(), length=20).flops == 20 * 2 * (8 + 16) * 48
    with pytest.raises(TraceFailed, match=r"def make\(batch, length\): return module, inputs"):
        seqcost.count(nn.Sequential(nn.GRUCell(8, 16), nn.Linear(16, 4)))


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: seqcost.count(Towers()), r"inputs \[1, 17, 8\] were made up: .*def make\(batch, length\)"),
        (lambda: seqcost.count(Sparse()), r"sparse tensor \(graph\).*to_dense"),
        (
            lambda: seqcost.count(nn.Sequential(nn.Embedding(9, 8, sparse=True)), phase="train"),
            "embedding 0 has sparse=True.*set sparse=False",
        ),
        *[
            (
                lambda layout=layout: seqcost.count(
                    nn.Linear(8, 8), inputs=(torch.nested.nested_tensor([X[0], X[1, :3]], layout=layout),)
                ),
                "nested tensor.*of one length",
            )
            for layout in (torch.jagged, torch.strided)
        ],
    ],
    ids=["two inputs", "sparse buffer", "sparse embedding", "jagged", "strided"],
)
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_what_cannot_be_followed_says_what_to_do(ask, words):
    with pytest.raises((BadTarget, TraceFailed), match=words) as caught:
        ask()
    assert "\n" not in str(caught.value)


def test_a_sparse_embedding_may_be_looked_up():
    assert seqcost.count(nn.Embedding(9, 8, sparse=True), length=5).flops == 0
