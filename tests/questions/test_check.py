"""The invariants hold for every layer of ours, and every planted fault is found."""

import pytest
import torch
from torch import nn

import seqcost
from seqcost.errors import BadSize, BadTarget
from seqcost.formulas.architectures import MIXERS
from seqcost.formulas.catalogue import configure
from seqcost.layers import Lstm

SMALL = {"D": 16, "H": 2}
CARRIED = [
    "three pieces = whole", "pieces of 7 = whole", "one token, then the rest", "a prefill, then single steps",
    "single steps = whole",
]  # fmt: skip


def wrong(module, **options):
    """Name of every invariant that does not hold, and its first wrong position."""
    found = seqcost.check(module, **options)
    return {row.what: row.position for row in found.rows if row.verdict in ("fails", "raises")}


ALONE = [name for name in MIXERS if not configure(f"{name}-layer").takes_source]


@pytest.mark.parametrize("name", ALONE)
def test_every_mixer_of_ours_is_sound(name):
    fields = set(configure(f"{name}-layer").sizes())
    sizes = {letter: size for letter, size in SMALL.items() if letter in fields}
    found = seqcost.check(f"{name}-layer", sizes=sizes)
    assert found.sound, [row for row in found.rows if row.verdict in ("fails", "raises")]


@pytest.mark.parametrize("name", ["lstm", "gpt2"])
def test_models_of_ours_are_asked_about_padding(name):
    sizes = {"gpt2": {"D": 16, "H": 2, "L": 1, "U": 31}}.get(name, {"D": 16, "U": 31, "L": 1})
    sizes = {letter: size for letter, size in sizes.items() if letter in configure(name).sizes()}
    rows = {row.what: row.verdict for row in seqcost.check(name, sizes=sizes).rows}
    assert rows["padding on the right"] == rows["padding on the left"] == "holds"


class Broken(Lstm):
    """A layer with one fault at a time."""

    def __init__(self, fault):
        super().__init__(D=16, N=16)
        self.fault = fault
        self.calls = 0

    def forward(self, x):
        if self.fault == "looks ahead":
            x = x.roll(-1, dims=1)
        if self.fault == "mixes rows":
            x = x + x.mean(0, keepdim=True)
        if self.fault == "changes its input":
            x.add_(1e-3)
        if self.fault == "draws numbers":
            torch.rand(1)
        if self.fault == "differs each time":
            self.calls += 1
            x = x * (1 + 0.01 * self.calls)
        return super().forward(x)

    def extend(self, x, state):
        if self.fault == "restarts":
            state = self.init_state(x.shape[0])
        if self.fault == "cuts the graph":
            state = state.detach()
        if self.fault == "changes its state":
            y, after = super().extend(x, state)
            state.h_BN.add_(0.1)
            return y, after
        return super().extend(x, state)


@pytest.mark.parametrize(
    ("fault", "where"),
    [
        ("looks ahead", {"does not see the future": 0}),
        ("mixes rows", {"rows of a batch are apart": 0}),
        ("changes its input", {"the input is not changed": None}),
        ("draws numbers", {"global random numbers are not touched": None}),
        ("differs each time", {"the same call twice": 0}),
        ("restarts", {"three pieces = whole": 16, "single steps = whole": 1, "gradients through the state": None}),
        ("cuts the graph", {"gradients through the state": None}),
        ("changes its state", {"the state is not changed by a step": 0}),
    ],
)
def test_a_planted_fault_is_found(fault, where):
    found = wrong(Broken(fault))
    assert where.items() <= found.items()


def test_the_layer_without_a_fault_has_none():
    assert wrong(Broken("")) == {}


def test_torch_lstm_by_its_own_custom():
    found = seqcost.check(nn.LSTM(8, 8, batch_first=True))
    assert found.custom == "m(x, hx)"
    assert found.sound
    assert {row.what for row in found.rows if row.verdict == "holds"} >= set(CARRIED)


def test_time_first():
    assert seqcost.check(nn.GRU(8, 8)).sound


def test_a_module_without_a_state():
    found = seqcost.check(nn.Linear(8, 8))
    assert found.custom == "no state"
    assert found.sound
    assert not {row.what for row in found.rows} & set(CARRIED)


def hugging_face(kind, **sizes):
    transformers = pytest.importorskip("transformers")
    shared = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "pad_token_id": 0, "eos_token_id": 1}
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**shared | {"bos_token_id": 1} | sizes)
    return transformers.AutoModelForCausalLM.from_config(config)


def test_a_cache_of_hugging_face_that_is_right():
    sizes = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48}
    found = seqcost.check(hugging_face("Llama", **sizes))
    assert found.custom == "past_key_values="
    assert found.sound
    assert [row.verdict for row in found.rows if "padding" in row.what or "padded" in row.what] == ["holds"] * 4


def test_mamba_of_hugging_face_starts_again_when_given_several_tokens():
    found = wrong(hugging_face("Mamba", state_size=8), tolerance=1e-5)
    assert found["three pieces = whole"] == 16
    assert found["pieces of 7 = whole"] == 7
    assert "single steps = whole" not in found


def test_what_cannot_be_checked_is_said():
    with pytest.raises(BadSize, match="length 3 was given; at least 12 tokens"):
        seqcost.check("lstm", length=3)
    with pytest.raises(BadTarget, match="a list was given"):
        seqcost.check([])
    with pytest.raises(BadTarget, match="takes 2 inputs"):
        seqcost.check("cross-attention-layer")
    with pytest.raises(BadTarget, match="one vector per token is what can be checked"):
        seqcost.check("bert-base", sizes={"D": 16, "H": 2, "L": 1, "U": 11})
