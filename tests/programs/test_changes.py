"""Changes that make training need less: the peak that a trace of the changed module gives is what a run takes."""

import pytest
import torch
from torch import nn

from seqcost.errors import BadTarget, SeqcostError, UnknownName
from seqcost.measure.peak import peak_allocated_bytes
from seqcost.programs import Target, load
from seqcost.programs.changes import blocks_of
from seqcost.trace import trace

T = 64
LLAMA = {
    "model_type": "llama", "num_hidden_layers": 6, "hidden_size": 64, "intermediate_size": 128,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 500,
}  # fmt: skip
TARGETS = {
    "transformer": {"kind": "catalogue", "name": "transformer", "sizes": {"D": 64, "H": 4, "L": 6, "U": 500}},
    "gru": {"kind": "catalogue", "name": "gru", "sizes": {"D": 32, "L": 4}},
    "llama": {"kind": "hugging-face", "name": "hf:llama", "config": LLAMA},
}
CHANGES = [
    {"checkpoint": "layers"},
    {"checkpoint": "attention"},
    {"loss_chunks": 4},
    {"checkpoint": "layers", "loss_chunks": 4},
]


def measured(spec, **asked):
    program = load(spec, phase="train", B=1, T=T, **asked)
    program.run()  # what is made at the first call stays
    return peak_allocated_bytes(program.run_once, program.lasting_tensors(), torch.device("cpu"))


def traced(spec, **asked):
    return trace(Target.of_spec(spec), phase="train", B=1, T=T, lengths=(), **asked)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("changes", CHANGES, ids=str)
@pytest.mark.parametrize("name", TARGETS)
def test_the_traced_peak_is_what_a_run_takes(name, changes):
    spec = TARGETS[name] | {"changes": changes}
    if name == "gru" and changes == {"checkpoint": "attention"}:
        with pytest.raises(BadTarget, match="no row of layers"):
            traced(spec)
        return
    assert traced(spec).peak_bytes == measured(spec)


def test_with_an_optimizer_and_several_passes_too():
    spec = TARGETS["transformer"] | {"changes": CHANGES[-1]}
    asked = {"optimizer": "adamw", "accumulate": 2}
    assert traced(spec, **asked).peak_bytes == measured(spec, **asked)


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_loss_and_gradients_stay(changes):
    """The same weights, the same tokens: what is run again gives what it gave."""
    found = []
    for made in ({}, changes):
        torch.manual_seed(0)
        program = load(TARGETS["transformer"] | {"changes": made}, phase="train", B=2, T=T)
        next(iter(program.stages())).run()
        found.append({name: p.grad.clone() for name, p in program.module.named_parameters()})
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-6)


def test_a_model_without_a_cache_masks_as_it_does_in_a_run():
    """Without a cache the package looks for several texts in the positions, whose values a fake tensor has not."""
    spec = TARGETS["llama"] | {"sizes": {"use_cache": False}}
    assert traced(spec).peak_bytes == measured(spec)


def test_an_offload_leaves_what_is_kept_out_of_the_peak():
    """On a GPU, whose memory this is: nothing of the layers is kept but their parameters, which stay."""
    plain, offloaded = traced(TARGETS["transformer"]), traced(TARGETS["transformer"] | {"changes": {"offload": True}})
    assert offloaded.peak_bytes < plain.peak_bytes
    kept = sum(size for path, size in offloaded.memory.saved_by_module.items() if path.startswith("blocks"))
    assert kept == 0
    assert offloaded.memory.categories["parameters"] == plain.memory.categories["parameters"]


def test_an_offloaded_run_gives_the_same_gradients():
    found = []
    for changes in ({}, {"offload": True}):
        torch.manual_seed(0)
        program = load(TARGETS["transformer"] | {"changes": changes}, phase="train", B=1, T=T)
        next(iter(program.stages())).run()
        found.append([p.grad.clone() for p in program.module.parameters()])
    assert all(map(torch.equal, *found))


def test_blocks_are_the_innermost_row_of_layers():
    layer = lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU())  # noqa: E731
    model = nn.Sequential(nn.Embedding(9, 4), nn.ModuleList([layer(), layer(), layer()]), nn.Linear(4, 9))
    assert blocks_of(model) == list(model[1])
    assert blocks_of(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))) == []


def test_a_live_module_stays_as_it_was():
    from dataclasses import replace

    module = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, batch_first=True), 3, enable_nested_tensor=False)
    target = replace(Target.of_module(module, (torch.randn(1, 5, 8),)), changes={"checkpoint": "layers"})
    before = [dict(vars(part)) for part in module.modules()]
    found = trace(target, phase="train")
    assert found.flops.total(*{line.kind for line in found.flops}) > 0
    assert [vars(part).keys() for part in module.modules()] == [names.keys() for names in before]


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"checkpoints": "layers"}, UnknownName, "did you mean checkpoint"),
        ({"checkpoint": "heads"}, UnknownName, "choose from attention, layers"),
        ({"loss_chunks": 2}, BadTarget, "no output head over words"),
    ],
)
def test_what_cannot_be_done_is_said(changes, error, sentence):
    spec = {"kind": "catalogue", "name": "encoder", "sizes": {"D": 16, "H": 2, "L": 2}, "changes": changes}
    with pytest.raises(error, match=sentence) as found:
        traced(spec)
    assert isinstance(found.value, SeqcostError)
