"""Targets, inputs and phases."""

import sys
import textwrap

import pytest
import torch
from torch import nn
from torch.nn import functional

from seqcost.algebra import Kind
from seqcost.errors import BadTarget, UnknownName
from seqcost.programs import Target, load
from seqcost.programs.inputs import Inputs, example_inputs
from seqcost.programs.program import prepare
from seqcost.trace import trace

U, D = 300, 8


class Counting(nn.Module):
    """A language model whose state is every past feature: it grows with each token."""

    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(U, D), nn.Linear(D, U)

    def example_inputs(self, B, T):
        return (torch.randint(0, U, (B, T)),)

    def init_state(self, batch):
        return (self.words.weight.new_zeros(batch, 0, D),)

    def extend(self, ids, state):
        past = torch.cat((state[0], self.words(ids)), 1)
        return self.head(past.cumsum(1)[:, -ids.shape[1] :]), (past,)

    def step(self, ids, state):
        y, state = self.extend(ids[:, None], state)
        return y[:, 0], state

    def forward(self, ids):
        return self.extend(ids, self.init_state(ids.shape[0]))[0]


TARGET = Target("counting", Counting)


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    def write(code):
        (tmp_path / "their_model.py").write_text("import torch\nfrom torch import nn\n" + textwrap.dedent(code))
        monkeypatch.chdir(tmp_path)
        monkeypatch.delitem(sys.modules, "their_model", raising=False)
        return {"kind": "callable", "path": "their_model:make"}

    yield write
    sys.modules.pop("their_model", None)
    if str(tmp_path) in sys.path:
        sys.path.remove(str(tmp_path))


def test_prefill_and_decode_carry_the_state():
    prefill = trace(TARGET, phase="prefill", B=2, T=50)
    decode = trace(TARGET, phase="decode", B=2, T=50)
    assert prefill.state_bytes == decode.state_bytes == 2 * 50 * D * 4
    assert prefill.flops.total(Kind.CONTRACTION) == 2 * 2 * 50 * D * U
    assert decode.flops.total(Kind.CONTRACTION) == 2 * 2 * D * U
    assert trace(TARGET, phase="forward", B=2, T=50).state_bytes is None


def test_lines_of_a_step_belong_to_modules():
    names = {line.name for line in trace(TARGET, phase="decode", B=2, T=50).flops}
    assert {name.split(".")[0] for name in names} == {"head", "cumsum"}


@pytest.mark.parametrize("T", [1, 2, 9])
def test_the_state_before_the_last_token_has_the_right_shape(T):
    program = prepare(Counting(), Inputs((torch.randint(0, U, (3, T)),)), phase="decode")
    assert program.state[0].shape == (3, T - 1, D)
    assert not program.state[0].requires_grad
    program.run()


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_modules_without_a_state_say_so(phase):
    with pytest.raises(BadTarget, match=f"{phase} was asked of Linear.*init_state"):
        trace(Target.of_module(nn.Linear(4, 4)), phase=phase, B=1, T=8)


def test_training_a_language_model_ends_in_cross_entropy():
    names = {line.name for line in trace(TARGET, phase="train", B=2, T=50).flops}
    assert "forward.loss._log_softmax" in names
    program = prepare(Counting(), Inputs((torch.arange(10).view(2, 5),)), phase="train")
    assert program.successors.tolist() == [[1, 2, 3, 4, 0], [6, 7, 8, 9, 5]]


def test_hidden_states_are_no_logits():
    names = {line.name for line in trace(Target.of_module(nn.Embedding(U, D)), phase="train", B=2, T=9).flops}
    assert "forward.loss.sum" in names
    assert "forward.loss._log_softmax" not in names


def test_gradients_are_dropped():
    module = nn.Linear(4, 4)
    program = prepare(module, example_inputs(module, 2, 3), phase="train")
    program.run()
    assert all(t.grad is None for t in (*module.parameters(), *program.args))


def test_nothing_to_train():
    with pytest.raises(BadTarget, match="nothing to train"):
        prepare(nn.Identity(), Inputs((torch.ones(2, dtype=torch.int64),)), phase="train").run()


def test_resident_tensors_are_parameters_inputs_and_state():
    program = prepare(Counting(), Inputs((torch.randint(0, U, (3, 5)),)), phase="decode")
    assert len(program.resident_tensors()) == 3 + 1 + 1


def test_training_mode_follows_the_phase_except_for_our_own():
    module = nn.Dropout()
    assert prepare(module, Inputs((torch.ones(2),)), phase="train").module.training
    assert not prepare(module, Inputs((torch.ones(2),)), phase="forward").module.training
    module.train()
    assert prepare(module, Inputs((torch.ones(2),)), phase="forward", own_mode=True).module.training


def test_a_text_becomes_tokens():
    inputs = example_inputs(Counting(), 2, 4, text=b"abc")
    assert inputs.args[0].tolist() == [[97, 98, 99, 97], [98, 99, 97, 98]]
    with pytest.raises(BadTarget, match="empty text"):
        example_inputs(Counting(), 2, 4, text=b"")


@pytest.mark.parametrize(
    ("module", "shapes"),
    [
        (nn.Embedding(9, 4), [(2, 5)]),
        (nn.Linear(4, 3), [(2, 5, 4)]),
        (nn.Sequential(nn.ReLU(), nn.LayerNorm(4)), [(2, 5, 4)]),
        (nn.LSTM(4, 3), [(5, 2, 4)]),
        (nn.GRU(4, 3, batch_first=True), [(2, 5, 4)]),
        (nn.MultiheadAttention(4, 2), [(5, 2, 4)] * 3),
        (nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), [(2, 5, 4)]),
        (nn.Transformer(4, 2, 1, 1, 8, batch_first=True), [(2, 5, 4)] * 2),
        (nn.Conv1d(4, 3, 2), [(2, 4, 5)]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_inputs_are_found_from_the_first_layer(module, shapes):
    inputs = example_inputs(module, 2, 5)
    assert [tuple(t.shape) for t in inputs.args] == shapes
    module(*inputs.args)


def test_no_inputs_to_be_found():
    with pytest.raises(BadTarget, match="return module, inputs"):
        trace(Target.of_module(nn.ReLU()), phase="forward", B=1, T=8)


def test_a_function_that_returns_a_module(user_module):
    spec = user_module("def make():\n    return nn.Linear(4, 6)")
    result = trace(Target.of_spec(spec), phase="forward", B=2, T=10)
    assert result.flops.total(Kind.CONTRACTION) == 2 * 2 * 10 * 4 * 6
    assert result.polynomials["flops"].degree == 1
    program = load(spec, phase="train", B=2, T=10, dtype="float64")
    assert program.args[0].dtype == torch.float64
    program.run()


def test_a_function_that_takes_the_sizes_is_called_for_every_length(user_module):
    spec = user_module("""
        def make(batch, length):
            return nn.Linear(length, 3), {"input": torch.randn(batch, length)}
    """)
    result = trace(Target.of_spec(spec), phase="forward", B=2, T=10)
    assert result.flops.total(Kind.CONTRACTION) == 2 * 2 * 10 * 3
    assert result.polynomials["flops"].degree == 1


def test_a_module_class_is_instantiated(user_module):
    spec = user_module("""
        class make(nn.Module):
            def __init__(self, length=3):
                super().__init__()
                self.linear = nn.Linear(length, length)

            def forward(self, x):
                return self.linear(x)
    """)
    assert trace(Target.of_spec(spec), phase="forward", B=1, T=10).params == 12


def test_a_constructor_that_asks_for_values_is_built_for_real(user_module):
    spec = user_module("""
        def make():
            return nn.Linear(4, int(torch.linspace(1, 6, 6)[-1].item()))
    """)
    result = trace(Target.of_spec(spec), phase="forward", B=2, T=10)
    assert result.rung == "fake tensors"
    assert result.flops.total(Kind.CONTRACTION) == 2 * 2 * 10 * 4 * 6


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("raise KeyError('gone')", "their_model could not be imported: KeyError: 'gone'"),
        ("made = 3", "their_model has no make"),
        ("make = 3", "is a int; a function or a torch.nn.Module is allowed"),
        ("def make():\n    return 3", "gave a int; a torch.nn.Module or a pair"),
        ("def make():\n    return nn.Linear(4, 4), 7", "inputs of type int"),
        ("def make():\n    raise OSError('no disk')", "their_model:make raised OSError: no disk"),
    ],
)
def test_targets_that_cannot_be_used_say_why_in_a_sentence(user_module, code, sentence):
    spec = user_module(code)
    with pytest.raises(BadTarget) as caught:
        trace(Target.of_spec(spec), phase="forward", B=1, T=8)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("path", ["nothing", "no.such.module:make", ":make"])
def test_paths_that_lead_nowhere(path):
    with pytest.raises(BadTarget):
        Target.of_spec({"kind": "callable", "path": path})


def test_kinds_that_do_not_exist():
    with pytest.raises(UnknownName, match="kind of target"):
        Target.of_spec({"kind": "file"})


def test_a_mask_or_dict_of_inputs():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(D, D)

        def forward(self, *, x, mask):
            return functional.scaled_dot_product_attention(*[self.linear(x)] * 3, attn_mask=mask)

    inputs = {"x": torch.randn(2, 4, 9, D), "mask": torch.ones(9, 9, dtype=torch.bool)}
    result = trace(Target.of_module(Masked(), inputs), phase="train", B=2, T=9)
    assert result.rung == "fake tensors"
    assert result.uncounted == ()


class Translating(Counting):
    """A decoder that reads a source into its state."""

    def example_inputs(self, B, T):
        return torch.randint(0, U, (B, T)), torch.randn(B, 7, D)

    def init_state(self, batch, source):
        assert source.shape[0] == batch
        return (self.words.weight.new_zeros(batch, 0, D), source * 2)

    def extend(self, ids, state):
        y, (past,) = super().extend(ids, state[:1])
        return y + self.head(state[1].sum(1, keepdim=True)), (past, state[1])


def test_a_source_is_read_in_prefill_and_carried_in_decode():
    target = Target("translating", Translating)
    prefill = trace(target, phase="prefill", B=2, T=50)
    decode = trace(target, phase="decode", B=2, T=50)
    assert prefill.state_bytes == decode.state_bytes == 2 * (50 + 7) * D * 4
    assert "mul" in {line.name.split(".")[-1] for line in prefill.flops}
    assert "mul" not in {line.name.split(".")[-1] for line in decode.flops}
