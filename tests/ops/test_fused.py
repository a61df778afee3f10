"""Adapters: layouts, scales and gates of other packages, against their own loops here and their kernels on a GPU."""

import pytest
import torch
from engine_cases import CASES, drawn, outputs_and_gradients
from fla_loops import naive
from oracles import relative_error
from stand_in import stand_in

from seqcost.errors import BadTarget
from seqcost.layers import DeltaNet, GatedDeltaNet, Gla, LinearAttention, Mamba, Mamba2, RetNet, use_kernels
from seqcost.layers.ops import kernels
from seqcost.layers.ops.selective_scan import chunked_scan

B, T, H, K, V, G, N, E = 2, 70, 4, 6, 5, 2, 3, 7

# --- the packages' own loops ------------------------------------------------------------------------------------------


def simple_gla_loop(q, k, v, g=None, g_gamma=None, scale=None, initial_state=None, output_final_state=False):
    g = torch.zeros(q.shape[:3]) if g is None and g_gamma is None else g
    loop = naive("simple_gla", "naive_recurrent_simple_gla")
    g = g_gamma.detach().expand(q.shape[:3]) if g is None else g  # the kernel gives a constant no gradient
    return loop(q, k, v, g, scale, initial_state, output_final_state)


def gla_loop(q, k, v, g, scale=None, initial_state=None, output_final_state=False):
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    loop = naive("gla", "naive_recurrent_gla")  # which always scales by 1/√K
    return loop(q * scale * q.shape[-1] ** 0.5, k, v, g, initial_state, output_final_state)


def delta_rule_loop(q, k, v, beta, scale=None, initial_state=None, output_final_state=False):
    heads_first = (x.transpose(1, 2) for x in (q, k, v, beta))
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    y, state = naive("delta_rule", "delta_rule_recurrence")(*heads_first, initial_state, output_final_state)
    return y.transpose(1, 2) * scale * q.shape[-1] ** 0.5, state  # it scales by 1/√K


def gated_delta_rule_loop(q, k, v, g, beta, scale=None, initial_state=None, output_final_state=False):
    return naive("gated_delta_rule", "naive_recurrent_gated_delta_rule")(
        q, k, v, beta, g, scale=scale, initial_state=initial_state, output_final_state=output_final_state
    )


def selective_scan_loop(u, delta, A, B, C):
    """What `mamba_ssm.selective_scan_fn` does with u, δ [B,E,L], A [E,N], B, C [B,N,L]: from 0, the state kept."""
    state, y = torch.zeros(u.shape[0], *A.shape), []
    for t in range(u.shape[-1]):
        step = delta[:, :, t, None]
        state = (step * A).exp() * state + step * u[:, :, t, None] * B[:, None, :, t]
        y.append((state * C[:, None, :, t]).sum(-1))
    return torch.stack(y, -1)


LOOPS = {
    "linear_attention": simple_gla_loop,
    "gated_linear_attention": gla_loop,
    "delta_rule": delta_rule_loop,
    "gated_delta_rule": gated_delta_rule_loop,
    "ssd": simple_gla_loop,
    "selective_scan": selective_scan_loop,
}

every_case = pytest.mark.parametrize("case", CASES)


@every_case
@pytest.mark.parametrize("tokens", [1, 16, T])
def test_in_the_place_of_the_engine(case, tokens, monkeypatch):
    engine, run = CASES[case]
    z = drawn((B, tokens, H, K, V, G, N, E))
    ours = outputs_and_gradients(run, z)
    calls = stand_in(monkeypatch, engine, LOOPS[engine])
    theirs = outputs_and_gradients(run, z)
    assert calls == [engine]
    for a, b in zip(theirs, ours, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert relative_error(a, b) < 2e-5


@every_case
def test_the_state_goes_on_into_the_step(case, monkeypatch):
    # A step views its state: what a kernel leaves must be laid out as the engine's own.
    engine, run = CASES[case]
    stand_in(monkeypatch, engine, LOOPS[engine])
    (_, state), _ = run(drawn((B, 5, H, K, V, G, N, E)))
    assert state.is_contiguous()


@pytest.mark.parametrize("rate", [-1e-4, -16.0, -500.0])
def test_a_state_written_by_tokens_is_exact_at_any_rate(rate, monkeypatch):
    x, delta, A, write, read, state = (z.detach() for z in drawn((B, 9, H, K, V, G, 16, E))["scan"])
    A = torch.full_like(A, rate)
    exact, exact_end = chunked_scan(*(z.double() for z in (x, delta / 50, A, write, read, state)), C=4, J=2)
    stand_in(monkeypatch, "selective_scan", selective_scan_loop)
    y, end = chunked_scan(x, delta / 50, A, write, read, state, C=4, J=2)
    assert relative_error(y.double(), exact) < 5e-6
    assert relative_error(end.double(), exact_end) < 5e-6


@every_case
def test_gradients_of_gradients_are_refused(case, monkeypatch):
    engine, run = CASES[case]
    stand_in(monkeypatch, engine, LOOPS[engine])
    (y, _), wanted = run(drawn((B, 5, H, K, V, G, N, E)))
    with pytest.raises(BadTarget, match=r"no gradients of gradients; call the layer under use_kernels\('torch'\)"):
        torch.autograd.grad(y.sum(), wanted, create_graph=True, allow_unused=True)


LAYERS = {
    "linear_attention": (lambda: RetNet(D=24, H=3), lambda: LinearAttention(D=24, H=3)),
    "gated_linear_attention": (lambda: Gla(D=24, H=3),),
    "delta_rule": (lambda: DeltaNet(D=24, H=3),),
    "gated_delta_rule": (lambda: GatedDeltaNet(D=24, H=3),),
    "ssd": (lambda: Mamba2(D=24, H=3),),
    "selective_scan": (lambda: Mamba(D=24),),
}


@pytest.mark.parametrize("engine", LAYERS)
def test_layers_over_a_kernel_keep_their_contract(engine, monkeypatch):
    for make in LAYERS[engine]:
        torch.manual_seed(0)
        layer = make()
        x = torch.randn(2, 20, 24)
        with torch.no_grad():
            reference, calls = layer.reference(x), stand_in(monkeypatch, engine, LOOPS[engine])
            assert relative_error(layer(x), reference) < 2e-5
            state, pieces = layer.init_state(2), []
            for piece in x[:, :19].split([0, 7, 1, 11], dim=1):
                y, state = layer.extend(piece, state)
                pieces.append(y)
            y, _ = layer.step(x[:, 19], state)
            assert relative_error(torch.cat([*pieces, y.unsqueeze(1)], dim=1), reference) < 2e-5
        assert len(calls) == 4  # not for no tokens, nor for a step


# --- on a GPU ---------------------------------------------------------------------------------------------------------

tuned = pytest.mark.timeout(1200)  # at a first call Triton compiles and tries every configuration: minutes
ON_A_GPU = {"bfloat16": (torch.bfloat16, 1e-2), "tf32": (torch.float32, 3e-3), "float32": (torch.float32, 1e-4)}


@pytest.mark.gpu
@tuned
@every_case
@pytest.mark.parametrize("format", ON_A_GPU)
@pytest.mark.parametrize("tokens", [1, 63, 200])
def test_the_kernel_equals_the_pytorch_form(case, format, tokens):
    engine, run = CASES[case]
    dtype, tolerance = ON_A_GPU[format]
    kernel, choice = kernels.KERNELS[engine], kernels.kernels()[engine]
    if not choice.used:
        pytest.skip(str(choice))
    # Products of float32 are rounded to TF32 or not made by a kernel at all.
    if dtype not in kernel.dtypes or (dtype == torch.float32 and kernel.rounds != (format == "tf32")):
        pytest.skip(f"{choice.kernel} takes {kernel.takes}")
    z = drawn((2, tokens, 4, 64, 128, 2, 16, 96), "cuda", dtype)
    before = torch.get_float32_matmul_precision()
    with use_kernels("torch"):
        exact = outputs_and_gradients(run, z)
    try:
        torch.set_float32_matmul_precision("high" if format == "tf32" else "highest")
        with use_kernels(kernel.package):
            found = outputs_and_gradients(run, z)
    finally:
        torch.set_float32_matmul_precision(before)
    for a, b in zip(found, exact, strict=True):
        assert (a - b).norm() < tolerance * b.norm()


@pytest.mark.gpu
@tuned
@pytest.mark.parametrize("engine", LAYERS)
def test_layers_take_the_kernel_and_keep_their_contract(engine):
    choice = kernels.kernels()[engine]
    if not choice.used:
        pytest.skip(str(choice))
    dtype = torch.bfloat16 if torch.bfloat16 in kernels.KERNELS[engine].dtypes else torch.float32
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        for make in LAYERS[engine]:
            torch.manual_seed(0)
            layer = make().to("cuda", dtype)
            x = torch.randn(2, 70, 24, device="cuda", dtype=dtype)
            with torch.no_grad():
                with use_kernels("torch"):
                    exact = layer.float()(x.float())
                    layer.to(dtype)
                with use_kernels("auto"):
                    state, pieces = layer.init_state(2), []
                    for piece in x[:, :69].split([0, 33, 1, 35], dim=1):
                        y, state = layer.extend(piece, state)
                        pieces.append(y)
                    y, _ = layer.step(x[:, 69], state)
                    found = layer(x), torch.cat([*pieces, y.unsqueeze(1)], dim=1)
            for y in found:
                assert y.dtype == dtype
                assert (y.float() - exact).norm() < (0.03 if dtype == torch.bfloat16 else 3e-3) * exact.norm()
    finally:
        torch.set_float32_matmul_precision(before)
