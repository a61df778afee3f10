"""The step of an optimizer, and accumulation: what is booked, and the peak against the allocator's."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from seqcost.algebra import Kind
from seqcost.algebra.peak import CATEGORIES
from seqcost.errors import BadSize, BadTarget, SeqcostError, UnknownName
from seqcost.programs import Target, load
from seqcost.programs.inputs import example_inputs
from seqcost.programs.program import prepare
from seqcost.programs.training import OPTIMIZERS
from seqcost.trace import trace

D, U = 32, 61


class Block(nn.Module):
    def __init__(self, *, recompute=False, autocast=False):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(D), nn.Linear(D, 4 * D), nn.Linear(4 * D, D)
        self.recompute, self.autocast = recompute, autocast

    def forward(self, x):
        if self.recompute:
            return x + checkpoint(self.inner, x, use_reentrant=False)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
            return x + self.inner(x)

    def inner(self, x):
        return self.down(functional.gelu(self.up(self.norm(x))))


class Model(nn.Module):
    def __init__(self, L=2, U=U, **kwargs):
        super().__init__()
        self.words = nn.Embedding(U, D)
        self.blocks = nn.Sequential(*(Block(**kwargs) for _ in range(L)))
        self.head = nn.Linear(D, U)

    def forward(self, ids):
        return self.head(self.blocks(self.words(ids)))


class Wide(nn.Module):
    """A model whose peak lies in the optimizer's step: many weights, few tokens."""

    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(D, 40 * D), nn.Linear(40 * D, D)

    def forward(self, x):
        return self.down(functional.relu(self.up(x)))

    def example_inputs(self, B, T):
        return (torch.randn(B, T, D),)


MODELS = {
    "language-model": Model,
    "wide": Wide,
    "lstm": lambda: nn.LSTM(D, D, batch_first=True),
    "attention": lambda: nn.TransformerEncoderLayer(D, 4, 4 * D, batch_first=True),
}
STEPS = [("sgd", 1), ("sgd:momentum=0.9", 3), ("adamw", 1), ("adamw", 2), ("adamw", 4), (None, 2)]


def bytes_of(tensors):
    return sum(t.numel() * t.element_size() for t in tensors)


def step(module, optimizer="adamw", accumulate=1, T=64, **kwargs):
    return trace(
        Target.of_module(module), phase="train", B=2, T=T, lengths=(), optimizer=optimizer, accumulate=accumulate,
        **kwargs,
    )  # fmt: skip


def measured(module, peak_of, optimizer, accumulate, T=64):
    return peak_of(
        prepare(module, example_inputs(module, 2, T), phase="train", optimizer=optimizer, accumulate=accumulate)
    )


@pytest.mark.parametrize(("optimizer", "accumulate"), STEPS)
@pytest.mark.parametrize("name", MODELS)
def test_the_peak_of_a_step_is_the_allocators(name, optimizer, accumulate, measured_peak):
    module = MODELS[name]()
    traced = step(module, optimizer, accumulate)
    assert traced.rung == "fake tensors"
    assert traced.uncounted == ()
    real = measured(module, measured_peak, optimizer, accumulate)
    assert traced.peak_bytes == pytest.approx(real, rel=0.005), traced.peak_bytes - real


@pytest.mark.parametrize(
    "optimizer",
    ["adam", "nadam", "radam", "adamax", "adadelta", "rmsprop", "rprop", "asgd", "adagrad", "adamw:foreach=true",
     "sgd:momentum=0.9:foreach=true", "adamw:fused=true", "sgd:fused=true", "adagrad:fused=true", "adafactor"],
)  # fmt: skip
def test_every_optimizer_is_counted_and_its_peak_is_right(optimizer, measured_peak):
    module = Wide()
    traced = step(module, optimizer)
    assert traced.uncounted == ()
    assert any(line.name.startswith("optimizer.") for line in traced.flops)
    assert traced.peak_bytes == pytest.approx(measured(module, measured_peak, optimizer, 1), rel=0.005)


def test_the_state_of_adamw_is_twice_the_parameters_and_a_counter_each():
    module = Model()
    weights = list(module.parameters())
    kept = step(module).memory.categories
    assert kept["optimizer_state"] == 2 * bytes_of(weights) + 4 * len(weights)
    assert kept["parameters"] == bytes_of(weights)
    assert step(module, "sgd").memory.categories["optimizer_state"] == 0
    assert step(module, "sgd:momentum=0.9").memory.categories["optimizer_state"] == bytes_of(weights)


def test_a_step_of_adamw_costs_twelve_operations_a_parameter():
    module = Wide()
    scalars = sum(p.numel() for p in module.parameters())
    counters = len(list(module.parameters()))
    amounts = {line.name: line.amount for line in step(module).flops if line.name.startswith("optimizer.")}
    assert amounts == {
        "optimizer.add": scalars + counters, "optimizer.mul": 2 * scalars, "optimizer.lerp": 3 * scalars,
        "optimizer.addcmul": 2 * scalars, "optimizer.sqrt": scalars, "optimizer.div": scalars,
        "optimizer.addcdiv": 2 * scalars,
    }  # fmt: skip
    fused = sum(line.amount for line in step(module, "adamw:fused=true").flops if line.name.startswith("optimizer."))
    assert fused == 12 * scalars + counters
    looped = step(module, "adamw:foreach=true").flops
    assert sum(line.amount for line in looped if line.name.startswith("optimizer.")) == 12 * scalars + counters


def test_accumulation_multiplies_the_passes_and_not_the_step():
    one, four = step(Model(), accumulate=1), step(Model(), accumulate=4)
    assert four.flops.total(Kind.CONTRACTION) == 4 * one.flops.total(Kind.CONTRACTION)
    stepped = [sum(li.amount for li in t.flops if li.name.startswith("optimizer.")) for t in (one, four)]
    assert stepped[0] == stepped[1]
    adding = 3 * sum(p.numel() for p in Model().parameters())
    passes = [t.flops.total(Kind.POINTWISE) - stepped[0] for t in (one, four)]
    assert passes[1] == 4 * passes[0] + adding
    assert four.saved.total() == one.saved.total()


@pytest.mark.parametrize("accumulate", [2, 5])
def test_equal_passes_are_run_once_and_told_as_often_as_they_run(accumulate):
    """The same step with every pass written out in the module itself."""

    class Passes(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Wide()

        def example_inputs(self, B, T):
            return (torch.randn(B, T, D),)

        def forward(self, x):
            for _ in range(accumulate - 1):
                self.inner(x).sum().backward()
            return self.inner(x)

    short, full = step(Wide(), accumulate=accumulate), step(Passes())
    assert short.flops.total(*Kind) == full.flops.total(*Kind)
    assert short.traffic.total() == full.traffic.total()
    assert short.peak_bytes == full.peak_bytes
    assert short.depth == full.depth
    assert [row[1] for row in short.timeline] == [row[1] for row in full.timeline]


def test_gradients_stay_from_the_first_pass_on():
    module = Model()
    weights = bytes_of(module.parameters())
    assert step(module, accumulate=2).memory.categories["gradients"] == weights
    assert step(module, None, accumulate=2).memory.categories["gradients"] == weights
    late = step(Wide(), T=1).memory
    assert late.phase == "optimizer"
    assert late.categories["gradients"] == bytes_of(Wide().parameters())
    assert sum(late.saved_by_module.values()) <= 8  # the loss itself, and the gradient of it


def test_categories_add_up_and_saved_activations_belong_to_modules():
    found = step(Model(), T=128)
    memory = found.memory
    assert tuple(memory.categories) == CATEGORIES
    assert sum(memory.categories.values()) == memory.peak_bytes == found.peak_bytes
    assert sum(memory.saved_by_module.values()) == memory.categories["saved_activations"]
    rows = 2 * 128 * 4
    assert memory.categories["inputs"] == 2 * (2 * 128 * 8)  # token ids and their successors
    assert {"blocks.0.norm", "blocks.0.up", "words"} <= set(memory.saved_by_module)
    assert memory.saved_by_module["blocks.0.up"] == rows * 4 * D
    assert memory.to_dict()["at"]["index"] == memory.index


def test_buffers_and_carried_state_are_categories_of_their_own():
    class Carrying(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(D, D)
            self.register_buffer("table", torch.zeros(7, D))

        def example_inputs(self, B, T):
            return (torch.randn(B, T, D),)

        def init_state(self, batch):
            return (torch.zeros(batch, D),)

        def step(self, x, state):
            return self.linear(x) + state[0], state

        def extend(self, x, state):
            return self.linear(x), state

        def forward(self, x):
            return self.linear(x)

    kept = trace(Target.of_module(Carrying()), phase="decode", B=3, T=9).memory.categories
    assert kept["buffers"] == 7 * D * 4
    assert kept["state"] == kept["inputs"] == 3 * D * 4
    assert kept["gradients"] == kept["saved_activations"] == kept["optimizer_state"] == 0


def test_the_timeline_has_every_operator_and_its_peak():
    found = step(Model(), accumulate=3)
    indices, live, phases = zip(*found.timeline, strict=True)
    assert list(indices) == list(range(len(indices)))
    assert max(live) == found.peak_bytes == live[found.memory.index]
    assert list(dict.fromkeys(phases)) == ["forward", "backward", "optimizer"]
    order = [a for a, b in zip(phases, (*phases[1:], ""), strict=True) if a != b]
    assert order == ["forward", "backward"] * 3 + ["optimizer"]
    sums = [sum(sizes) for sizes in zip(*found.timeline_categories.values(), strict=True)]
    assert sums == list(live)
    assert {row[2] for row in trace(Target.of_module(Model()), phase="forward", B=2, T=9).timeline} == {"forward"}


def test_recomputed_operators_are_counted_and_the_peak_falls(measured_peak):
    plain, again = step(Model(L=6), T=256), step(Model(L=6, recompute=True), T=256)
    block = 2 * (2 * 256) * 2 * D * 4 * D  # a forward pass of one; the last product is not needed again
    more = again.flops.total(Kind.CONTRACTION) - plain.flops.total(Kind.CONTRACTION)
    assert more == 6 * block / 2
    names = {line.name for line in again.flops}
    assert {"backward.blocks.0.up.addmm", "backward.blocks.0.norm.native_layer_norm"} <= names
    assert again.peak_bytes < 0.7 * plain.peak_bytes
    kept = [t.memory.categories["saved_activations"] for t in (plain, again)]
    assert kept[1] < kept[0] / 2
    for recompute, traced in ((False, plain), (True, again)):
        real = measured(Model(L=6, recompute=recompute), measured_peak, "adamw", 1, T=256)
        assert traced.peak_bytes == pytest.approx(real, rel=0.005)


def test_the_inputs_of_a_checkpoint_are_saved_activations():
    found = step(Model(L=6, recompute=True), T=256)
    stream = 2 * 256 * D * 4  # what enters a block, held by the checkpoint and by nobody else
    saved = found.memory.saved_by_module
    assert sum(size for path, size in saved.items() if path.startswith("blocks")) >= 5 * stream


@pytest.mark.parametrize("accumulate", [1, 2])
def test_autocast_is_followed(accumulate, measured_peak):
    """The peak lies at the loss, in float32: what oneDNN packs for a product of bfloat16 is not covered."""
    many = 20 * U
    plain = step(Model(U=many), T=256, accumulate=accumulate)
    mixed = step(Model(U=many, autocast=True), T=256, accumulate=accumulate)
    assert mixed.flops.total(Kind.CONTRACTION) == plain.flops.total(Kind.CONTRACTION)
    casts = {line.name for line in mixed.traffic if line.name.endswith("_to_copy")}
    assert "forward.blocks.0.up._to_copy" in casts
    kept = [t.memory.saved_by_module["blocks.0.up"] for t in (plain, mixed)]
    rows = 2 * 256
    assert kept == [4 * rows * 4 * D, 2 * (rows * 4 * D + rows * D + 4 * D * D)]  # with the casts of input and weight
    real = measured(Model(U=many, autocast=True), measured_peak, "adamw", accumulate, T=256)
    assert mixed.peak_bytes == pytest.approx(real, rel=0.005)


def test_a_live_module_and_its_gradients_stay_as_they_were():
    module = Wide()
    before = [p.detach().clone() for p in module.parameters()]
    step(module, accumulate=2)
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    assert all(p.grad is None for p in module.parameters())


def test_the_step_has_a_formula_in_the_length():
    found = trace(Target.of_module(Model()), phase="train", B=2, T=64, optimizer="adamw", accumulate=4)
    one = trace(Target.of_module(Model()), phase="train", B=2, T=64)
    assert found.polynomials["flops"](1000) == 4 * one.polynomials["flops"](1000)


def test_a_program_with_a_step_can_be_loaded_and_run():
    spec = {"kind": "catalogue", "name": "lstm", "sizes": {"D": 16, "U": 20, "L": 1}}
    program = load(spec, phase="train", B=2, T=5, optimizer="adamw", accumulate=2)
    before = [p.detach().clone() for p in program.module.parameters()]
    program.run()
    assert not all(torch.equal(a, b) for a, b in zip(before, program.module.parameters(), strict=True))
    assert all(p.grad is None for p in program.module.parameters())


@pytest.mark.parametrize(
    ("asked", "kind", "sentence"),
    [
        ({"optimizer": "adamx"}, UnknownName, "did you mean"),
        ({"optimizer": "lbfgs"}, BadTarget, "choose another optimizer"),
        ({"optimizer": "sparseadam"}, BadTarget, "choose another optimizer"),
        ({"optimizer": "sgd:momentum"}, BadTarget, "OPTION=VALUE"),
        ({"optimizer": "sgd:speed=3"}, BadTarget, "refuses the parameters or options"),
        ({"optimizer": "muon"}, BadTarget, "refuses the parameters or options"),
        ({"accumulate": 0}, BadSize, "at least 1"),
        ({"accumulate": True}, BadSize, "at least 1"),
        ({"optimizer": "sgd", "phase": "forward"}, BadTarget, "choose phase train"),
        ({"accumulate": 2, "phase": "decode"}, BadTarget, "choose phase train"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_sentence(asked, kind, sentence):
    with pytest.raises(kind) as caught:
        trace(Target.of_module(Wide()), **({"phase": "train", "B": 1, "T": 8} | asked))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_to_optimize():
    class Frozen(nn.Module):
        def example_inputs(self, B, T):
            return (torch.randn(B, T, requires_grad=True),)

        def forward(self, x):
            return x * 2

    with pytest.raises(SeqcostError, match="no trainable parameter"):
        step(Frozen(), "sgd")


def test_optimizers_are_those_of_torch():
    assert {"sgd", "adam", "adamw", "adafactor", "rmsprop"} <= set(OPTIMIZERS)
    assert "optimizer" not in OPTIMIZERS
