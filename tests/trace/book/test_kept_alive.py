"""Looking keeps nothing alive: peaks of training steps to the byte, and nothing that a run made outlives it.

A tensor that the book holds is one that autograd copies where a real run takes it over, and one that counts as memory
longer than it is. The right value is a real run, recorded by PyTorch's profiler.
"""

import gc

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import seqcost
from seqcost.fakes.in_place import InPlace
from seqcost.programs import Target
from seqcost.programs.inputs import Inputs
from seqcost.programs.program import load, prepare
from seqcost.trace import trace
from seqcost.trace.book.keeper import Keeper
from seqcost.trace.book.ledger import Ledger
from seqcost.trace.rungs import fake_rung, real_rung

B, T, D = 2, 16, 32


class Of(nn.Module):
    """A function of x and a few weights."""

    def __init__(self, function, *shapes, dtype=torch.float32):
        super().__init__()
        self.weights = nn.ParameterList(torch.randn(shape, dtype=dtype) for shape in shapes)
        self.function = function

    def forward(self, x):
        return self.function(x, *self.weights)


def twice_used(x, w, v):
    """Two gradients meet at h, and three at w."""
    h = x @ w
    return torch.tanh(h) * torch.sigmoid(h @ v) + (h.transpose(0, 1) @ w).transpose(0, 1)


class Experts(nn.Module):
    """Tokens are sent where the router says, in a loop: only real tensors can tell."""

    def __init__(self):
        super().__init__()
        self.router = nn.Linear(D, 4)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(D, 2 * D), nn.GELU(), nn.Linear(2 * D, D)) for _ in range(4)
        )

    def forward(self, x):
        tokens = x.reshape(-1, D)
        weights, chosen = self.router(tokens).softmax(-1).topk(2, -1)
        out = torch.zeros_like(tokens)
        for index, expert in enumerate(self.experts):
            rows, slots = (chosen == index).nonzero(as_tuple=True)
            out.index_add_(0, rows, expert(tokens[rows]) * weights[rows, slots, None])
        return out.view_as(x)


class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(D, D, batch_first=True)

    def forward(self, x):
        packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([T, T // 2]), batch_first=True)
        return nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0]


class Branching(nn.Module):
    """Asks for a value; what it is computed from is dropped at once, with the results that its nodes keep."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(D, D), nn.LayerNorm(D), nn.Linear(D, D)

    def forward(self, x):
        h = self.first(x)
        if h.abs().softmax(-1).max().item() > 2:
            return h
        return self.norm(x + self.second(torch.relu(h))) * torch.sigmoid(h)


def features(width=D):
    return torch.randn(B, T, width, requires_grad=True)


def words():
    return torch.randint(0, 100, (B, T))


CASES = {
    "embedding": (lambda: nn.Sequential(nn.Embedding(3200, D), nn.Linear(D, 2)), words),
    "linear": (lambda: nn.Linear(D, D), features),
    "linear, time first": (lambda: Of(lambda x, w, b: nn.functional.linear(x.mT, w, b), (D, T), (D,)), features),
    "add after product": (lambda: Of(lambda x, w, b: torch.add(x @ w, b), (D, D), (D,)), features),
    "add to itself": (lambda: Of(lambda x, w, b: torch.add(torch.add(x.mT @ w, b), b), (T, D), (D,)), features),
    "used twice": (lambda: Of(twice_used, (D, D), (D, D)), features),
    "expanded": (lambda: Of(lambda x, w: x * w.expand_as(x) + w.expand_as(x), (D,)), features),
    "tensordot": (lambda: Of(lambda x, w: torch.tensordot(x, w, dims=([2], [0])), (D, D)), features),
    "multi_dot": (lambda: Of(lambda x, *w: torch.linalg.multi_dot([x[0], *w]), (D, 96), (96, 8), (8, D)), features),
    "vmap": (lambda: Of(lambda x, w: torch.vmap(lambda row: torch.tanh(row @ w))(x), (D, D)), features),
    "index": (lambda: Of(lambda x, w: w[(x[..., 0] > 0).long()] * x, (7, D)), features),
    "index_select": (lambda: Of(lambda x, w: w.index_select(0, torch.arange(T) % 5) * x, (7, D)), features),
    "gather": (lambda: Of(lambda x, w: w.expand(B, -1, -1).gather(1, (x > 0).long()) * x, (7, D)), features),
    "take": (lambda: Of(lambda x, w: w.take((x > 0).long()) * x, (7, D)), features),
    "bidirectional": (lambda: nn.LSTM(D, D, bidirectional=True, batch_first=True), features),
    "gru": (lambda: nn.GRU(D, D, batch_first=True), features),
    "attention": (lambda: nn.TransformerEncoderLayer(D, 4, 2 * D, batch_first=True), features),
}  # fmt: skip
NEED_VALUES = {"experts": (Experts, features), "packed": (Packed, features), "branching": (Branching, features)}
RUNGS = {"fake": fake_rung, "real": lambda target, **asked: real_rung(target, **asked, longest=T)}


def look(module, inputs, rung="fake"):
    return RUNGS[rung](Target.of_module(module, inputs), phase="train", B=B, dtype="float32").look(T)


def made(make, inputs):
    torch.manual_seed(0)
    return make(), inputs()


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("name", CASES)
def test_the_peak_of_a_training_step_is_the_profilers(name, rung, measured_peak):
    module, x = made(*CASES[name])
    traced = look(module, x, rung).peak_bytes
    assert traced == measured_peak(prepare(module, Inputs.of(x), phase="train"))


@pytest.mark.parametrize("name", NEED_VALUES)
def test_gradients_are_summed_in_place_on_real_tensors_too(name, measured_peak):
    module, x = made(*NEED_VALUES[name])
    traced = trace(Target.of_module(module, x), phase="train", B=B, T=T)
    assert traced.rung == "real tensors"
    assert traced.peak_bytes == measured_peak(prepare(module, Inputs.of(x), phase="train"))


def keeping_results(kept, monkeypatch):
    plain = InPlace.note
    monkeypatch.setattr(InPlace, "note", lambda self, func, out: (kept.append(out), plain(self, func, out))[1])


def keeping_the_last_result(kept, monkeypatch):
    plain = InPlace.note

    def note(self, func, out):
        kept[:] = [out]
        plain(self, func, out)

    monkeypatch.setattr(InPlace, "note", note)


def keeping_operands(kept, monkeypatch):
    plain = Ledger._book
    monkeypatch.setattr(
        Ledger, "_book", lambda self, func, args, *more: (kept.append(args), plain(self, func, args, *more))[1]
    )


def keeping_what_is_saved(kept, monkeypatch):
    plain = Keeper._keep
    monkeypatch.setattr(Keeper, "_keep", lambda self, tensor: (kept.append(tensor), plain(self, tensor))[1])


def keeping_the_node_of_what_is_saved(kept, monkeypatch):
    monkeypatch.setattr("seqcost.trace.book.keeper.without_its_node", lambda tensor: tensor)


@pytest.mark.parametrize(
    ("keeping", "name"),
    [(keeping_results, "linear"), (keeping_the_last_result, "embedding"), (keeping_operands, "attention"),
     (keeping_what_is_saved, "attention"), (keeping_the_node_of_what_is_saved, "branching")],
)  # fmt: skip
def test_a_tracer_that_keeps_anything_alive_is_found_out(keeping, name, monkeypatch, measured_peak):
    module, x = made(*(CASES | NEED_VALUES)[name])
    rung = "real" if name in NEED_VALUES else "fake"
    real = measured_peak(prepare(module, Inputs.of(x), phase="train"))
    assert look(module, x, rung).peak_bytes == real
    keeping([], monkeypatch)
    assert look(module, x, rung).peak_bytes > real


def num_tensors():
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("phase", ["forward", "train"])
def test_no_tensor_is_left_behind(phase, rung):
    """Reference counts alone free everything: nothing waits for the collector of cycles."""
    module, x = made(*CASES["attention"])
    opened = RUNGS[rung](Target.of_module(module, x), phase=phase, B=B, dtype="float32")
    opened.look(T)
    gc.collect()
    gc.disable()
    try:
        before = num_tensors()
        for _ in range(3):
            opened.look(T)
        assert num_tensors() == before
    finally:
        gc.enable()


class Chain(TorchDispatchMode):
    """The longest chain of operators and the copies, on real tensors, followed by memory."""

    def __init__(self, *inputs):
        super().__init__()
        self.longest, self.clones = 0, 0
        self.at = {tensor.untyped_storage().data_ptr(): 0 for tensor in inputs}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        given = [self.at.get(t.untyped_storage().data_ptr()) for t in args if isinstance(t, torch.Tensor)]
        results = [t for t in (out if isinstance(out, tuple) else (out,)) if isinstance(t, torch.Tensor)]
        known = [depth for depth in given if depth is not None]
        views = all(t._is_view() or "empty" in str(func) or func.is_view for t in results)
        self.clones += func is torch.ops.aten.clone.default
        for result in results:
            if known and not views:
                self.at[result.untyped_storage().data_ptr()] = max(known) + 1
                self.longest = max(self.longest, max(known) + 1)
        return out


def test_a_gradient_is_taken_over_and_not_copied(measured_peak):
    """Of 64 words among 32,000: the table and its gradient are the peak, and no copy is on the longest chain."""
    torch.manual_seed(0)
    module, ids = nn.Sequential(nn.Embedding(32000, 128), nn.Linear(128, 2)), torch.randint(0, 32000, (1, 64))
    found = trace(Target.of_module(module, ids), phase="train", B=1, T=64)
    with Chain(ids) as chain:
        module(ids).sum().backward()
    assert chain.clones == 0
    assert found.depth == chain.longest
    assert not [line.name for line in found.traffic if line.name.endswith("clone")]
    assert found.peak_bytes == measured_peak(prepare(module, Inputs.of(ids), phase="train")) == 32_803_864


def test_a_transformer_takes_every_gradient_over(measured_peak):
    spec = {
        "kind": "hugging-face", "name": "llama", "config": {"model_type": "llama"},
        "sizes": {"num_hidden_layers": 1, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4,
                  "num_key_value_heads": 4, "head_dim": 16, "vocab_size": 1000},
    }  # fmt: skip
    found = trace(Target.of_spec(spec), phase="train", B=1, T=T, lengths=())
    program = load(spec, phase="train", B=1, T=T)
    with Chain() as chain:
        program.run()
    assert sum(row.launches for row in found.rows if row.name == "aten::clone") == chain.clones
    assert found.peak_bytes == measured_peak(program)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_somebody_else_holds_is_not_written_into():
    """A scripted function runs many operators from one instruction; its product is read again after the sum."""

    @torch.jit.script
    def scripted(x, w, b):
        product = torch.matmul(x, w)
        return torch.add(product, b) * product

    x, w, b = torch.randn(B, T, D), torch.randn(D, D), torch.randn(D)
    with seqcost.watch():
        watched = scripted(x, w, b)
    assert torch.equal(watched, scripted(x, w, b))
