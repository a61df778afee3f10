"""RETRO: what a token may read of the neighbours, dense attention with a mask, retro-pytorch, and decoding."""

import sys
from types import ModuleType

import pytest
import small
import torch
from oracles import assert_agree, relative_error, renamed

from seqcost.algebra import Kind, symbols
from seqcost.errors import BadSize
from seqcost.formulas import Workload
from seqcost.formulas.mixers.retro import ChunkedCrossAttention as Formula
from seqcost.layers import ChunkedCrossAttention

VARIANTS = (
    small.Variant("retro-layer", "retro-layer", small.retro()),
    small.Variant("retro", "retro", small.retro(model=True)),
)

SIZES = {"D": 12, "H": 3, "C": 4, "J": 2, "R": 3}
CHUNK = 4  # tokens of a chunk
ROWS = 6  # of the neighbours of a chunk


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return ChunkedCrossAttention(**SIZES).double()


def inputs(tokens, chunks, batch=2):
    g = torch.Generator().manual_seed(1)
    x = torch.randn(batch, tokens, 12, generator=g, dtype=torch.float64)
    return x, torch.randn(batch, chunks * ROWS, 12, generator=g, dtype=torch.float64)


# --- cost -----------------------------------------------------------------------------------------------------------


def test_products_of_a_text():
    # A token: q and o 4·D², scores and their product with v 4·J·R·D; a token of a neighbour: k and v 4·D².
    layer, B, T, D = Formula(D=512, H=8, C=64, J=2, R=128), 3, 2048, 512
    run = Workload(B=B, T=T, S=layer.source_tokens(T))
    lines = {line.name: line.amount for line in layer.flops(run).only(Kind.CONTRACTION)}
    assert lines["project_query"] + lines["project_output"] == 4 * B * T * D**2
    assert lines["project_key"] + lines["project_value"] == 4 * B * (T // 64 * 2 * 128) * D**2
    assert lines["attend"] == 4 * B * (T + 64) * 2 * 128 * D  # a block more than T tokens fill
    assert layer.params().total() == 4 * D**2


def test_leading_term():
    B, T, S, D, H, C, J, R = symbols("BTSDHCJR").values()
    flops = Formula(D=D, H=H, C=C, J=J, R=R).flops(Workload(B=B, T=T, S=S))
    assert (flops.leading("T", Kind.CONTRACTION) - 4 * B * T * (D**2 + J * R * D)).expand() == 0


def test_the_source_of_a_text_is_the_neighbours_of_its_complete_chunks():
    # Section 2: chunks of 64 tokens, 2 neighbours of 128: 2,048 tokens have 32 chunks and 8,192 tokens beside them.
    layer = Formula(D=64, H=4, C=64, J=2, R=128)
    assert [layer.source_tokens(T) for T in (63, 64, 127, 2048)] == [0, 256, 256, 8192]


def test_a_step_reads_the_neighbours_of_one_chunk_only():
    layer = Formula(D=64, H=4, C=64, J=2, R=128)
    near, far = (layer.step_flops(Workload(T=T, S=layer.source_tokens(T))) for T in (64, 2**20))
    assert near.total(Kind.CONTRACTION) == far.total(Kind.CONTRACTION) == 4 * 64**2 + 4 * 256 * 64


# --- against other code ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tokens", "chunks"), [(3, 1), (4, 1), (11, 2), (16, 4), (21, 3)])
def test_equals_dense_attention_with_a_mask(layer, tokens, chunks):
    x, source = inputs(tokens, chunks)
    theirs_x, theirs_source = x.clone().requires_grad_(), source.clone().requires_grad_()
    x.requires_grad_(), source.requires_grad_()

    def heads(tensor):
        return tensor.unflatten(-1, (3, 4)).transpose(1, 2)

    q, k, v = heads(layer.query(theirs_x)), heads(layer.key(theirs_source)), heads(layer.value(theirs_source))
    reads = (torch.arange(1, tokens + 1) // CHUNK - 1)[:, None] == torch.arange(chunks * ROWS) // ROWS
    scores = (q @ k.mT / 4**0.5).masked_fill(~reads, -torch.inf)
    weights = scores.softmax(-1).masked_fill(~reads.any(1)[:, None], 0)
    expected = layer.output((weights @ v).transpose(1, 2).flatten(2))
    y = layer(x, source)
    assert relative_error(y, expected) < 1e-14
    seed = torch.randn_like(y)
    y.backward(seed)
    ours = [w.grad.clone() for w in layer.parameters()]
    layer.zero_grad()
    expected.backward(seed)
    for mine, other in zip([x.grad, source.grad, *ours], [theirs_x.grad, theirs_source.grad, *(
        w.grad for w in layer.parameters()
    )], strict=True):  # fmt: skip
        assert float((mine - other).abs().max()) < 1e-13


@pytest.fixture
def theirs(monkeypatch):
    # Its package imports index libraries at the top, which the attention does not use.
    for name in ("faiss", "autofaiss"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys.modules["autofaiss"], "build_index", None, raising=False)
    module = pytest.importorskip("retro_pytorch.retro_pytorch", reason="retro-pytorch is not installed")
    torch.manual_seed(0)
    layer = module.ChunkedCrossAttention(chunk_size=16, dim=24, heads=3, dim_head=32)
    with torch.no_grad():
        layer.cross_attn.to_out.bias.zero_()  # tokens without neighbours stay 0 in both
    layer.cross_attn.null_k = layer.cross_attn.null_v = (
        None  # a learned row that stands for no neighbour: not in the paper
    )
    return layer


@pytest.mark.parametrize("tokens", [16, 40, 64])
def test_equals_retro_pytorch_in_outputs_and_gradients(theirs, tokens):
    ours = ChunkedCrossAttention(D=24, H=3, K=32, C=16, J=2, R=8)
    table = renamed({"query": "to_q", "key": "to_k", "value": "to_v", "output": "to_out"}, bias=False)
    with torch.no_grad():
        for name, read in table.items():
            ours.get_parameter(name).copy_(read(theirs.cross_attn.get_parameter))
    chunks = tokens // 16
    x, source = torch.randn(2, tokens, 24), torch.randn(2, chunks * 16, 24)
    ours_x, theirs_x = x.clone().requires_grad_(), x.clone().requires_grad_()
    our_source, their_source = source.clone().requires_grad_(), source.clone().requires_grad_()
    no_turn = torch.zeros(1, 1, 16, 32), torch.zeros(1, 1, 8, 32)  # rotary angles of 0
    y = theirs(theirs_x, context=their_source.view(2, chunks, 2, 8, 24), pos_emb=no_turn)
    pairs = ((ours_x, our_source), (theirs_x, their_source))
    assert_agree(ours, theirs.cross_attn, table, (ours(ours_x, our_source), y), pairs)


# --- who reads what -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [0, 1, 2, 3])
def test_neighbours_of_a_chunk_are_read_from_its_last_token_on_and_by_one_chunks_worth(layer, chunk):
    x, source = inputs(21, 4)
    other = source.clone()
    other[:, chunk * ROWS : (chunk + 1) * ROWS] += 1
    changed = (layer(x, source) != layer(x, other)).any(-1).any(0).nonzero().flatten().tolist()
    first = chunk * CHUNK + CHUNK - 1
    assert changed == list(range(first, min(first + CHUNK, 21)))


def test_tokens_without_neighbours_get_0(layer):
    x, source = inputs(21, 3)
    y = layer(x, source)
    assert y[:, : CHUNK - 1].abs().max() == 0
    assert y[:, 3 * CHUNK + CHUNK - 1 :].abs().max() == 0  # chunks 3 and 4 were given none
    assert y[:, CHUNK - 1 : 3 * CHUNK + CHUNK - 1].abs().amin(-1).min() > 0
    assert layer(x, source[:, :0]).abs().max() == 0


def test_padding_of_neighbours_is_not_read(layer):
    x, source = inputs(13, 3)
    keep = torch.ones(2, 3 * ROWS, dtype=torch.bool)
    keep[:, 4:6] = False  # the second neighbour of chunk 0 has 1 token
    keep[:, ROWS : 2 * ROWS] = False  # chunk 1 has none at all
    y = layer(x, source, keep_source=keep)
    assert torch.equal(y, layer(x, source.masked_fill(~keep[..., None], 7), keep_source=keep))
    assert y[:, 7:11].abs().max() == 0
    assert relative_error(y[:, 11:], layer(x, source)[:, 11:]) < 1e-14
    assert y.isfinite().all()


# --- decoding -------------------------------------------------------------------------------------------------------


def test_neighbours_handed_in_when_their_chunk_is_complete(layer):
    x, source = inputs(21, 5)
    whole = layer(x, source)
    state, tokens, held = layer.init_state(2, source[:, :0]), [], []
    for t, x_BD in enumerate(x.unbind(1)):
        if t and (t + 1) % CHUNK == 0:  # the token that completes the chunk is the first to read
            u = (t + 1) // CHUNK - 1
            state = layer.retrieved(state, source[:, u * ROWS : (u + 1) * ROWS])
        y, state = layer.step(x_BD, state)
        tokens.append(y)
        held.append(state.k_BSI.shape[1])
    assert relative_error(torch.stack(tokens, 1), whole) < 1e-14
    assert max(held) == ROWS  # those of the chunk before are dropped


def test_chunks_ahead_may_be_handed_in_early(layer):
    x, source = inputs(21, 5)
    _, state = layer.extend(x[:, :9], layer.init_state(2, source[:, : 3 * ROWS]))
    state = layer.retrieved(state, source[:, 3 * ROWS :])
    assert relative_error(layer.extend(x[:, 9:], state)[0], layer(x, source)[:, 9:]) < 1e-14


def test_float32_over_thousands_of_tokens():
    torch.manual_seed(0)
    layer = ChunkedCrossAttention(D=16, H=2, C=64, J=2, R=32)
    x, source = (t.detach() for t in layer.example_inputs(1, 4000))
    with torch.no_grad():
        y = layer(x, source)
        assert relative_error(y, layer.double()(x.double(), source.double())) < 2e-6


def test_what_is_refused(layer):
    x, source = inputs(9, 2)
    with pytest.raises(BadSize, match=r"J·R = 6 tokens of neighbours a chunk"):
        layer(x, source[:, :7])
    with pytest.raises(BadSize, match="a batch of 2"):
        layer(x, source[:1])
    with pytest.raises(BadSize, match="needs a source"):
        layer(x)
    with pytest.raises(BadSize, match="for all or none"):
        layer.retrieved(layer.init_state(2, source), source, keep_source=torch.ones(2, 12, dtype=torch.bool))
    with pytest.raises(BadSize, match="at least 2 tokens"):
        Formula(D=12, H=3, C=1)
