"""Number formats, devices, compilation, saving and loading."""

from operator import attrgetter

import pytest
import torch
from devices import every_device
from oracles import relative_error
from strategies import KINDS, VARIANTS, typical

from seqcost.layers import LshAttention

every_variant = pytest.mark.parametrize("variant", VARIANTS, ids=attrgetter("id"))
every_kind = pytest.mark.parametrize("variant", KINDS, ids=attrgetter("id"))
# One variant for each piece of code that a compiler sees.
COMPILED = (
    "attention-rope", "cross-attention", "block-llama", "block-materialised-post", "rnn", "lstm", "gru", "bert-base",
    "transformer", "encoder-decoder-pre", "ttt-mlp-layer", "window-layer-grouped-rope", "bigbird-layer", "etc-layer",
    "deltanet-layer", "gated-deltanet-layer", "conv-layer-separable", "retro-layer", "vit", "dit", "mamba-layer",
    "mamba2-layer", "lsh-layer", "reformer", "minlstm", "aaren-layer", "s4d-layer", "linear-attention-layer",
    "linear-attention-favor", "linear-attention-recurrent", "supra-grouped", "retnet-layer", "gla-layer",
)  # fmt: skip


@every_device
@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_every_way_keeps_the_number_format(variant, dtype, bench):
    config = typical(variant)
    layer = bench.layer(config, dtype)
    x, *source = bench.inputs(layer, 2, 5, 3, dtype)
    y = layer(x, *source)
    assert y.dtype == dtype
    assert y.isfinite().all()
    y.float().sum().backward()
    assert all(weight.grad is None or weight.grad.dtype == dtype for weight in layer.parameters())
    if config.decodes:
        y, state = layer.extend(x, layer.init_state(2, *source))
        token, state = layer.step(x[:, 0], state)
        assert y.dtype == token.dtype == dtype
        # A state that many tokens add to may be wider, so that bfloat16 does not lose them.
        assert {t.dtype for t in state.tensors() if t.is_floating_point()} <= {
            dtype,
            torch.promote_types(dtype, torch.float32),
        }


@every_device
@every_kind
def test_bfloat16_is_float32_but_for_rounding(variant, bench):
    # 300 tokens: positions that bfloat16 itself could not tell apart.
    config = typical(variant)
    T = min(300, config.sizes()["M"]) if "M" in config.sizes() and config.sizes()["positions"] == "learned" else 300
    short = bench.layer(config, torch.bfloat16)
    if any(isinstance(module, LshAttention) for module in short.modules()):
        pytest.skip("rounding puts tokens into other buckets; tests/mixers/test_lsh.py compares them in the same ones")
    long = bench.layer(config)
    long.load_state_dict({name: weight.float() for name, weight in short.state_dict().items()})
    inputs = bench.inputs(short, 2, T, 17, torch.bfloat16)
    with torch.no_grad():
        rounded = short(*inputs).float()
        exact = long(*(x.float() if x.is_floating_point() else x for x in inputs))
    # The root mean square: a norm over few features divides a token by next to nothing now and then. Positions that are
    # rounded to bfloat16 give 0.04 and more.
    assert (rounded - exact).norm() < 0.03 * exact.norm()


@every_variant
def test_weights_saved_and_loaded_give_the_same_outputs(variant, bench):
    config = typical(variant)
    saved, other = bench.layer(config), bench.layer(config, seed=1)
    inputs = bench.inputs(saved, 2, 5, 3)
    assert not torch.equal(saved(*inputs), other(*inputs))
    other.load_state_dict(saved.state_dict())
    assert torch.equal(saved(*inputs), other(*inputs))


@every_variant
def test_tied_weights_are_one_tensor(variant, bench):
    layer = bench.layer(typical(variant))
    tables = [layer.get_submodule("embedding").weight] if hasattr(layer, "embedding") else []
    tables += [side.get_submodule("embedding").weight for name, side in layer.named_children() if "coder" in name]
    heads = [module for module in layer.modules() if type(module).__name__ == "Head"]
    for head in heads:
        shared = any(head.weight is table for table in tables)
        assert shared == head.config.tied
        assert shared == any(head.weight.data_ptr() == table.data_ptr() for table in tables)


def forward_and_backward(layer, inputs):
    y = layer(*inputs)
    y.float().square().sum().backward()
    gradients = [weight.grad for weight in layer.parameters()]
    layer.zero_grad()
    return y.detach(), gradients


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # Dynamo's own
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # Dynamo's of autograd functions
@pytest.mark.parametrize("variant", [v for v in VARIANTS if v.id in COMPILED], ids=attrgetter("id"))
def test_compiled_forward_and_backward_equal_the_eager_ones(variant, bench):
    layer = bench.layer(typical(variant), torch.float64)
    inputs = bench.inputs(layer, 2, 9, 3, torch.float64)
    y, gradients = forward_and_backward(layer, inputs)
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager")
    compiled_y, compiled_gradients = forward_and_backward(compiled, inputs)
    assert relative_error(compiled_y, y) < 1e-12
    for ours, theirs in zip(compiled_gradients, gradients, strict=True):
        assert (ours is None) == (theirs is None)
        assert ours is None or torch.allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # Inductor's own
def test_compiled_by_inductor(bench):
    layer = bench.layer(typical(next(v for v in VARIANTS if v.id == "block-llama")))
    inputs = bench.inputs(layer, 2, 9, 3)
    torch._dynamo.reset()
    assert relative_error(torch.compile(layer)(*inputs), layer(*inputs)) < 1e-5


@pytest.mark.gpu
@every_kind
def test_on_a_gpu_as_on_the_cpu(variant, bench):
    config = typical(variant)
    layer = bench.layer(config, torch.float64)
    inputs = bench.inputs(layer, 2, 9, 3, torch.float64)
    there = bench.layer(config, torch.float64).cuda()
    moved = tuple(x.detach().cuda() for x in inputs)
    with torch.no_grad():
        y = layer(*inputs)
        assert relative_error(there(*moved).cpu(), y) < 1e-10
        if config.decodes:
            pieces = bench.in_pieces(there, moved, [0, 4, 1, 4])
            assert pieces.is_cuda
            assert relative_error(pieces.cpu(), y) < 1e-10
