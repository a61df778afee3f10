"""torch.export with the batch and the number of tokens left open: every kind runs at any length, or says why not.

The right value: the layer itself, in eager PyTorch, at each length. Chunks are of 2 to 5 tokens, so lengths lie on both
sides of one chunk, on whole numbers of them and between.
"""

from dataclasses import fields
from operator import attrgetter

import pytest
import torch
from strategies import KINDS, VARIANTS, typical
from torch.export import Dim
from torch.utils._pytree import tree_map

from seqcost.errors import BadSize
from seqcost.layers import LanguageModel, build
from seqcost.layers.mixers.retro import ChunkedCrossAttention
from seqcost.layers.parts.patches import PatchEmbedding
from seqcost.layers.parts.positions import LearnedPositions

# What PyTorch says of its own modules, of torch.nn's recurrent weights and of its own gradients while it exports.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The tensor attributes self.*_flat_weights:UserWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
    pytest.mark.filterwarnings("ignore:torch.compile is ignored when called inside:UserWarning"),
]

REFUSED = {"bigbird-layer", "bigbird-layer-unbiased", "bigbird"}  # all others are exported
SIZES = ((1, 1), (3, 2), (1, 3), (2, 8), (3, 12), (2, 13), (1, 17), (2, 40))
HEADLESS = {"gru", "mamba", "rg-lru", "s4d", "mamba2"}
SEVERAL = ("window-layer-dilated", "mingru-layer")


def variants(*ids):
    return pytest.mark.parametrize("variant", [v for v in VARIANTS if v.id in ids], ids=attrgetter("id"))


def axes(layer, inputs):
    """Batch and tokens open, within a learned table; a source has a length of its own."""
    rows = [part.config.M for part in layer.modules() if isinstance(part, LearnedPositions | PatchEmbedding)]
    B, T, S = Dim("B"), Dim("T", min=1, max=min(rows, default=None)), Dim("source")
    readers = [part.config.rows for part in layer.modules() if isinstance(part, ChunkedCrossAttention)]
    S = readers[0] * S if readers else S  # neighbours come in whole chunks
    return tuple({0: B, 1: (T, S)[i]} if x.dim() > 1 else {0: B} for i, x in enumerate(inputs))


def exported(bench, variant, **options):
    """The program, and the layer with what makes inputs of other sizes."""
    layer = bench.layer(typical(variant), torch.float64).eval()

    def inputs(B, T):
        return tuple(x.detach() for x in bench.inputs(layer, B, T, T, torch.float64))

    given = inputs(2, 13)
    program = torch.export.export(layer, given, dynamic_shapes=axes(layer, given), **options)
    return program, layer, inputs


def agrees(run, layer, inputs):
    for B, T in SIZES:
        given = inputs(B, T)
        with torch.no_grad():
            assert torch.allclose(run(*given), layer(*given), rtol=1e-12, atol=1e-12), (B, T)


@pytest.mark.slow
@pytest.mark.parametrize("variant", [v for v in KINDS if v.id not in REFUSED], ids=attrgetter("id"))
def test_a_program_runs_at_every_length(variant, bench):
    program, layer, inputs = exported(bench, variant)
    agrees(program.module(), layer, inputs)


@variants(*SEVERAL)
def test_several_programs_run_at_every_length(variant, bench):
    program, layer, inputs = exported(bench, variant)
    agrees(program.module(), layer, inputs)


@variants(*REFUSED)
def test_the_others_say_why_not(variant, bench):
    with pytest.raises(BadSize, match=r"open number of tokens.*drawn at random: export it with fixed sizes"):
        exported(bench, variant)


class Extended(torch.nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, *state):
        return self.layer.extend(x, type(self.layer.init_state(1))(*state))


@pytest.mark.parametrize("name", ["window-layer", "ttt-linear-layer"])
def test_further_tokens_that_cannot_be_open_say_why_not(name, bench):
    layer = bench.layer(typical(next(v for v in VARIANTS if v.id == name))).eval()
    x = torch.randn(2, 13, layer.config.D)
    run, state = Extended(layer), layer.init_state(2)
    given = tuple(getattr(state, f.name) for f in fields(state))
    shapes = {"x": {1: Dim("T")}, "state": tree_map(lambda _: None, given)}
    with pytest.raises(BadSize, match=r"extend was exported with an open number of tokens; .*: export it with fixed"):
        torch.export.export(run, (x, *given), dynamic_shapes=shapes)


def test_a_fixed_length_is_exported_by_all(bench):
    layer = build(typical(next(v for v in VARIANTS if v.id == "bigbird-layer"))).eval()
    x = torch.randn(2, 13, layer.config.D)
    assert torch.equal(torch.export.export(layer, (x,)).module()(x), layer(x))


@pytest.mark.slow
@variants("window-layer-symmetric", "etc-layer", "mingru-layer", "attention-rope")
def test_a_mask_of_padding_is_an_input_too(variant, bench):
    layer = bench.layer(typical(variant), torch.float64).eval()
    x, keep = torch.randn(2, 13, layer.config.D, dtype=torch.float64), torch.ones(2, 13, dtype=torch.bool)
    open_axes = {0: Dim("B"), 1: Dim("T", min=2)}
    run = torch.export.export(
        layer, (x,), {"keep": keep}, dynamic_shapes={"x_BTD": open_axes, "keep": open_axes}
    ).module()
    for B, T in ((1, 5), (3, 12), (2, 17)):
        x, keep = torch.randn(B, T, layer.config.D, dtype=torch.float64), torch.rand(B, T) < 0.7
        keep[:, 1] = True
        wanted = layer(x, keep=keep)
        found = run(x, keep=keep)
        assert torch.allclose(found[keep], wanted[keep], rtol=1e-12, atol=1e-12), (B, T)


@pytest.mark.slow
@variants("gru-layer", "gla-layer", "window-layer-dilated", "s4d-layer", "ttt-mlp-layer")
def test_a_strict_export_too(variant, bench):
    program, layer, inputs = exported(bench, variant, strict=True)
    agrees(program.module(), layer, inputs)


@pytest.mark.slow
@variants("linear-attention-recurrent")
def test_a_loop_is_saved_and_loaded(variant, bench, tmp_path):
    program, layer, inputs = exported(bench, variant)
    torch.export.save(program, tmp_path / "layer.pt2")
    agrees(torch.export.load(tmp_path / "layer.pt2").module(), layer, inputs)


@pytest.mark.slow
@pytest.mark.parametrize(
    "mixer",
    ["gru", "mamba", "mamba2", "gla", "deltanet", "gated-deltanet", "ttt-linear", "lsh", "aaren", "rg-lru", "s4d"],
)
def test_models_with_sizes_of_their_own(mixer):
    """Chunks of the length that comes without asking, at lengths below and above it."""
    heads = {} if mixer in HEADLESS else {"H": 4}
    model = LanguageModel(mixer=mixer, U=32, D=64, L=2, **heads).eval()
    ids = torch.randint(0, 32, (2, 50))
    run = torch.export.export(model, (ids,), dynamic_shapes=({0: Dim("B"), 1: Dim("T", min=1)},)).module()
    for B, T in ((1, 1), (1, 64), (2, 129), (1, 300)):
        ids = torch.randint(0, 32, (B, T))
        with torch.no_grad():
            assert torch.allclose(run(ids), model(ids), rtol=1e-4, atol=1e-4), (B, T)
