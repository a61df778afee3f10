"""The engine of linear attention with a gate: a float64 loop, flash-linear-attention's loops, hard gates, its count."""

import math

import pytest
import torch
from fla_loops import naive
from oracles import relative_error

from seqcost.algebra import ceil_div
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops import gated_linear_attention as on_tape
from seqcost.layers.core.state import start_state
from seqcost.layers.ops.gated_linear_attention import (
    gated_linear_attention,
    gated_linear_attention_step,
    masked_attention,
    summed_attention,
)

B, H, K, V = 2, 3, 6, 5
GATES = ("none", "head", "token", "feature")
every_gate = pytest.mark.parametrize("kind", GATES)


def drawn(T, kind, dtype=torch.float64, strength=1.0, **sizes):
    """Queries, keys, values, a state and a gate; the gate forgets about e^-strength a token."""
    b, h, k, v = (sizes.get(letter, default) for letter, default in zip("BHKV", (B, H, K, V), strict=True))
    torch.manual_seed(0)
    q, key = torch.randn(2, b, T, h, k, dtype=dtype)
    shape = {"none": None, "head": (h,), "token": (b, T, h), "feature": (b, T, h, k)}[kind]
    gate = None if shape is None else -2 * strength * torch.rand(shape, dtype=dtype)
    return [q, key, torch.randn(b, T, h, v, dtype=dtype), torch.randn(b, h, k, v, dtype=dtype), gate]


def loop(q, k, v, state, gate):
    """The definition."""
    rows = []
    for t in range(q.shape[1]):
        if gate is not None:
            g = gate if gate.dim() == 1 else gate[:, t]
            state = state * (g.exp()[..., None] if gate.dim() == 4 else g.exp()[..., None, None])
        state = state + k[:, t, :, :, None] * v[:, t, :, None]
        rows.append((q[:, t, :, :, None] * state).sum(-2))
    return torch.stack(rows, 1), state


def gradients(outputs, inputs):
    weights = [torch.randn(x.shape, generator=torch.Generator().manual_seed(i)) for i, x in enumerate(outputs)]
    return torch.autograd.grad(sum((x * w.to(x.dtype)).sum() for x, w in zip(outputs, weights, strict=True)), inputs)


@every_gate
@pytest.mark.parametrize(("T", "C", "J"), [(1, 4, 2), (8, 4, 2), (11, 4, 4), (37, 16, 4), (5, 32, 8)])
def test_chunks_equal_the_loop_in_outputs_state_and_gradients(kind, T, C, J):
    given = drawn(T, kind)
    inputs = [x.requires_grad_() for x in given if x is not None and x.dim() != 1]
    ours, theirs = gated_linear_attention(*given[:4], C=C, gate=given[4], J=J), loop(*given)
    for a, b in zip(ours, theirs, strict=True):
        assert relative_error(a, b) < 1e-13
    for a, b in zip(gradients(ours, inputs), gradients(theirs, inputs), strict=True):
        assert relative_error(a, b) < 1e-12


@every_gate
def test_steps_equal_the_loop(kind):
    q, k, v, state, gate = drawn(7, kind)
    whole, end = loop(q, k, v, state, gate)
    for t in range(7):
        g = gate if gate is None or gate.dim() == 1 else gate[:, t]
        y, state = gated_linear_attention_step(q[:, t], k[:, t], v[:, t], state, g)
        assert relative_error(y, whole[:, t]) < 1e-13
    assert relative_error(state, end) < 1e-13


@every_gate
def test_no_token_leaves_the_state_as_it_is(kind):
    given = drawn(0, kind)
    y, state = gated_linear_attention(*given[:4], C=4, gate=given[4], J=2)
    assert y.shape == (B, 0, H, V)
    assert state is given[3]


@every_gate
def test_the_chunk_does_not_matter(kind):
    given = drawn(100, kind)
    first, *others = (
        gated_linear_attention(*given[:4], C=C, gate=given[4], J=J) for C, J in ((2, 2), (16, 2), (64, 8), (128, 128))
    )
    for other in others:
        assert relative_error(other[0], first[0]) < 1e-13
        assert relative_error(other[1], first[1]) < 1e-13


@every_gate
@pytest.mark.parametrize("strength", [1e-3, 0.05, 1.0, 30.0, 1000.0])
def test_float32_over_2000_tokens_whatever_the_gates(kind, strength):
    T = 2000
    exact = drawn(T, kind, strength=strength, B=1, H=2)
    rounded = [x if x is None else x.float().requires_grad_() for x in exact]
    y, state = gated_linear_attention(*rounded[:4], C=32, gate=rounded[4], J=8)
    # The loop reads the rounded inputs: their own rounding is not the engine's.
    whole, end = loop(*(x if x is None else x.detach().double() for x in rounded))
    tolerance = 2e-6 * math.sqrt(T / 64)
    assert relative_error(y.double(), whole) < tolerance
    assert relative_error(state.double(), end) < tolerance
    if kind != "head":
        assert all(g.isfinite().all() for g in gradients((y, state), [x for x in rounded if x is not None]))


@pytest.mark.parametrize("kind", ["token", "feature"])
@pytest.mark.parametrize("spike", [-1e2, -1e3, -1e6, -1e30])
def test_one_gate_that_shuts_costs_the_others_nothing(kind, spike):
    """Decays between later tokens are no differences of sums that hold the spike, which would leave 3e-5 … 1e0."""
    given = [x.float() for x in drawn(100, kind, strength=0.05)]
    given[4][:, [5, 40]] = spike
    rounded = [x.requires_grad_() for x in given]
    ours = gated_linear_attention(*rounded[:4], C=64, gate=rounded[4], J=8)
    exact = [x.detach().double().requires_grad_() for x in rounded]
    theirs = loop(*exact)
    for a, b in zip(ours, theirs, strict=True):
        assert relative_error(a.double(), b) < 2e-6
    for a, b in zip(gradients(ours, rounded), gradients(theirs, exact), strict=True):
        assert relative_error(a.double(), b) < 5e-6


def test_gates_of_a_ratio_of_exponentials_would_not_do():
    # exp(a_i)·exp(−a_j) instead of exp(a_i − a_j): what the masks and sub-chunks are there for.
    *_, gate = drawn(64, "feature", torch.float32, strength=30.0)
    faded = gate.cumsum(1)
    assert not (-faded).exp().isfinite().all()


def test_all_pairs_and_the_sum_over_everything():
    q, k, v, state, _ = drawn(9, "none")
    whole, end = loop(q, k, v, state, None)
    y, after = masked_attention(q, k, v, state)
    assert relative_error(y, whole) < 1e-13
    assert relative_error(after, end) < 1e-13
    zero = torch.zeros_like(state)
    y, none = masked_attention(q, k, v)
    assert none is None
    assert relative_error(y, loop(q, k, v, zero, None)[0]) < 1e-13
    both_ways = torch.einsum("bthk,bhkv->bthv", q, loop(q, k, v, zero, None)[1])
    assert relative_error(summed_attention(q, k, v), both_ways) < 1e-13


def test_in_bfloat16_sums_are_kept_in_float32():
    q, k, v, _, gate = (x if x is None else x.bfloat16() for x in drawn(600, "none"))
    start = start_state(B, H, K, V, like=q)
    assert start.dtype == torch.float32
    y, state = gated_linear_attention(q, k, v, start, C=64, gate=gate)
    assert y.dtype == state.dtype == torch.float32
    assert relative_error(y.double(), loop(q.double(), k.double(), v.double(), start.double(), None)[0]) < 1e-5
    assert start_state(1, 2, like=torch.zeros(1, dtype=torch.float64)).dtype == torch.float64


# --- flash-linear-attention: queries over √K, float32 -----------------------------------------------------------------


def against(theirs, T, kind, **options):
    q, k, v, state, gate = drawn(T, kind, torch.float32, strength=0.1)
    inputs = [x.requires_grad_() for x in (q, k, v, *([gate] if kind in ("token", "feature") else []))]
    ours, end = gated_linear_attention(q * K**-0.5, k, v, state, C=16, gate=gate, J=4)
    their_y, their_end = theirs(q, k, v, gate, state, **options)
    assert relative_error(ours, their_y) < 1e-5
    assert relative_error(end, their_end) < 1e-5
    for a, b in zip(gradients([ours], inputs), gradients([their_y], inputs), strict=True):
        assert relative_error(a, b) < 1e-5


def ungated(function):
    return lambda q, k, v, _, state: function(q, k, v, initial_state=state, output_final_state=True)


def gated(function):
    return lambda q, k, v, gate, state: function(q, k, v, gate, initial_state=state, output_final_state=True)


@pytest.mark.parametrize("T", [1, 16, 75])
def test_against_the_loop_of_linear_attention(T):
    against(ungated(naive("linear_attn", "naive_recurrent_linear_attn")), T, "none")


@pytest.mark.parametrize("T", [1, 16, 75])
@pytest.mark.parametrize("name", ["naive_recurrent_simple_gla", "naive_chunk_simple_gla"])
def test_against_simple_gated_linear_attention(T, name):
    against(gated(naive("simple_gla", name)), T, "token")


@pytest.mark.parametrize("T", [1, 16, 75])
def test_against_gated_linear_attention(T):
    against(gated(naive("gla", "naive_recurrent_gla")), T, "feature")


def test_against_retention():
    q, k, v, state, _ = drawn(75, "none", torch.float32)
    decay = torch.log1p(-torch.exp2(-5.0 - torch.arange(H)))
    ours, _ = gated_linear_attention(q * K**-0.5, k, v, torch.zeros_like(state), C=16, gate=decay)
    theirs = naive("retention", "naive_retention")(*(x.transpose(1, 2) for x in (q, k, v)))
    assert relative_error(ours, theirs.transpose(1, 2)) < 1e-5


# --- Hugging Face's lightning attention -------------------------------------------------------------------------------


@pytest.fixture
def lightning():
    """MiniMax's layer, and the same from our engine: its projections, our mixing, its norm and gate."""
    module = pytest.importorskip("transformers.models.minimax.modeling_minimax", reason="transformers is not installed")
    torch.manual_seed(0)
    config = module.MiniMaxConfig(
        hidden_size=24, num_attention_heads=3, head_dim=8, num_hidden_layers=2, block_size=16,
        layer_types=["linear_attention", "full_attention"],
    )  # fmt: skip
    theirs = module.MiniMaxLightningAttention(config, layer_idx=0)

    def ours(x, state):
        q, k, v = theirs.act_fn(theirs.qkv_proj(x)).unflatten(-1, (3, 24)).split(8, dim=-1)
        y, state = gated_linear_attention(q, k, v, state, C=8, gate=-theirs.slope_rate.flatten())
        return theirs.out_proj(theirs.output_gate(x).sigmoid() * theirs.norm(y.flatten(2))), state

    return theirs, ours


@pytest.mark.parametrize("T", [1, 16, 75])
def test_against_lightning_attention(lightning, T):
    theirs, ours = lightning
    x = torch.randn(2, T, 24, requires_grad=True)
    (y, state), (their_y, their_state) = ours(x, torch.zeros(2, 3, 8, 8)), theirs(x, None, None)
    assert relative_error(y, their_y) < 1e-5
    assert relative_error(state, their_state) < 1e-5
    wanted = [x, *theirs.parameters()]
    for a, b in zip(gradients([y], wanted), gradients([their_y], wanted), strict=True):
        assert relative_error(a, b) < 1e-5


def test_pieces_equal_the_whole_of_lightning_attention(lightning):
    theirs, ours = lightning
    x = torch.randn(2, 50, 24)
    state, pieces = torch.zeros(2, 3, 8, 8), []
    for piece in x.split([0, 7, 1, 42], dim=1):
        y, state = ours(piece, state)
        pieces.append(y)
    assert relative_error(torch.cat(pieces, 1), theirs(x, None, None)[0]) < 1e-5


# --- the count --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("T", [1, 64, 65, 1000])
def test_contractions_are_the_pairs_of_a_chunk_and_the_state_written_and_read(T):
    C, n = 64, ceil_div(T, 64)
    tape = Tape(Workload(B=B, T=T))
    q, k, v = (tape.given((B, T, H, width)) for width in (K, K, V))
    on_tape.gated_linear_attention(tape, q, k, v, tape.state("state", B, H, K, V), C=C)
    flops = sum(row.contraction for row, _ in tape.rows)
    assert flops == B * H * n * (2 * C * C * (K + V) + 4 * C * K * V)


def test_the_best_sub_chunk_is_near_the_root_of_the_chunk():
    def exponentials(J):
        tape, C = Tape(Workload(B=1, T=64)), 64
        q, k, v = (tape.given((1, 64, 1, 8)) for _ in range(3))
        gate, state = tape.given((1, 64, 1, 8)), tape.state("state", 1, 1, 8, 8)
        on_tape.gated_linear_attention(tape, q, k, v, state, C=C, gate=gate, sub=(C // J, J))
        return sum(row.pointwise for row, _ in tape.rows if row.name.endswith("_exp"))

    assert min((2, 4, 8, 16, 32), key=exponentials) == 8
