"""What can only be wrong on a GPU: half precision, gradients, a state that moves, its randomness, compiled kernels."""

from operator import attrgetter

import pytest
import torch
from oracles import relative_error
from strategies import KINDS, VARIANTS, typical

from seqcost.layers import LshAttention

pytestmark = [pytest.mark.gpu, pytest.mark.parametrize("bench", ["cuda"], indirect=True)]
every_kind = pytest.mark.parametrize("variant", KINDS, ids=attrgetter("id"))
decoding = pytest.mark.parametrize("variant", [v for v in VARIANTS if typical(v).decodes], ids=attrgetter("id"))
COMPILED = ("block-llama", "gla-layer", "mamba-layer", "linear-attention-layer", "gated-deltanet-layer", "rnn")


@every_kind
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_in_half_precision_every_way_is_the_same_but_for_rounding(variant, dtype, bench):
    config = typical(variant)
    half = bench.layer(config, dtype)
    if any(isinstance(module, LshAttention) for module in half.modules()):
        pytest.skip("rounding puts tokens into other buckets")
    whole = bench.layer(config)
    whole.load_state_dict({name: weight.float() for name, weight in half.state_dict().items()})
    inputs = bench.inputs(half, 2, 33, 17, dtype)
    with torch.no_grad():
        exact = whole(*(x.float() if x.is_floating_point() else x for x in inputs))
        found = [half(*inputs)]
        if config.decodes:
            found += [bench.in_pieces(half, inputs, [0, 16, 1, 16]), bench.in_steps(half, inputs)]
    for y in found:
        assert y.dtype == dtype
        assert (y.float() - exact).norm() < 0.03 * exact.norm()


@every_kind
def test_gradients_are_those_of_the_cpu(variant, bench):
    config = typical(variant)
    there, here = bench.layer(config, torch.float64), bench.layer(config, torch.float64).cpu()
    inputs = bench.inputs(there, 2, 9, 3, torch.float64)
    copies = tuple(x.detach().cpu().requires_grad_(x.requires_grad) for x in inputs)
    found, expected = (bench.gradients(layer, x, layer(*x)) for layer, x in ((there, inputs), (here, copies)))
    largest = max(float(g.abs().max()) for g in expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.is_cuda
        assert float((ours.cpu() - theirs).abs().max()) < 1e-9 * largest


@decoding
def test_a_state_goes_on_on_another_device(variant, bench):
    there, here = bench.layer(typical(variant), torch.float64), bench.layer(typical(variant), torch.float64).cpu()
    x, *source = bench.inputs(there, 2, 7, 3, torch.float64)
    with torch.no_grad():
        whole = there(x, *source)
        _, state = there.extend(x[:, :5], there.init_state(2, *source))
        moved = state.to("cpu")
        y, moved = here.extend(x[:, 5:6].cpu(), moved)
        assert not any(tensor.is_cuda for tensor in moved.tensors())
        last, back = there.step(x[:, 6], moved.to("cuda"))
        assert all(tensor.is_cuda for tensor in back.tensors())
    assert relative_error(torch.cat([y.cuda(), last.unsqueeze(1)], 1), whole[:, 5:]) < 1e-10


@decoding
def test_the_randomness_of_the_device_is_left_untouched(variant, bench):
    layer = bench.layer(typical(variant))
    x, *source = bench.inputs(layer, 2, 5, 3)
    before = torch.cuda.get_rng_state()
    y = layer(x, *source)
    y.sum().backward()
    _, state = layer.extend(x, layer.init_state(2, *source))
    layer.step(x[:, 0], state)
    assert torch.equal(torch.cuda.get_rng_state(), before)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")  # Inductor's
@pytest.mark.parametrize("variant", [v for v in VARIANTS if v.id in COMPILED], ids=attrgetter("id"))
def test_compiled_to_kernels_of_the_device(variant, bench):
    layer = bench.layer(typical(variant))
    inputs = bench.inputs(layer, 2, 9, 3)
    torch._dynamo.reset()
    y, compiled = layer(*inputs), torch.compile(layer)(*inputs)
    assert relative_error(compiled, y) < 1e-5
    expected, found = (bench.gradients(layer, inputs, z) for z in (y, compiled))
    largest = max(float(g.abs().max()) for g in expected)
    assert all(float((a - b).abs().max()) < 1e-4 * largest for a, b in zip(found, expected, strict=True))
