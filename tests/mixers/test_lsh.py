"""LSH attention: the paper's rounds by brute force, its two other implementations, what the future can move."""

import math

import pytest
import small
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import relative_error
from torch import nn

from seqcost.algebra import Kind, symbols
from seqcost.errors import BadSize
from seqcost.formulas import Workload
from seqcost.formulas.mixers.lsh import LshAttention as Formula
from seqcost.layers import LshAttention
from seqcost.layers.ops.lsh import TO_ITSELF, bucket_attention, normalised

VARIANTS = (
    small.Variant("lsh-layer", "lsh-layer", small.hashing, {"C": 4}),
    small.Variant("lsh-layer-wide-values", "lsh-layer", small.hashing, {"C": 3, "V": 5}),
    small.Variant("lsh-layer-bidirectional", "lsh-layer", small.hashing, {"C": 4, "causal": False}),
    small.Variant("lsh", "lsh", small.hashing_model, {"C": 4}),
    small.Variant("reformer", "reformer", small.hashing_model, {"C": 4}),
)

FORMS = {"bucket": {}, "chunk": {"reach": "chunk"}, "both-ways": {"causal": False}}
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def layer(seed=0, **sizes):
    torch.manual_seed(seed)
    return LshAttention(**{"D": 24, "H": 2, "C": 4, "E": 6, "R": 3} | sizes).double()


def inputs(T, B=2, D=24):
    return torch.randn(B, T, D, dtype=torch.float64, requires_grad=True)


def reached(buckets, m):
    """P_i of one round, a sequence and a head at a time: [T,T], by walking through the sorted tokens."""
    T = len(buckets)
    mask = torch.zeros(T, T, dtype=torch.bool)
    order = sorted(range(T), key=lambda i: (buckets[i], i))
    for s, i in enumerate(order):
        for z, j in enumerate(order):
            if m.reach == "bucket":
                near = 0 <= s - z <= m.C
            else:
                near = s // m.C - z // m.C in (0, 1) and (j <= i or not m.causal)
            mask[i, j] = near and buckets[i] == buckets[j]
    return mask


def by_rounds(q_TK, v_TV, masks_RTT):
    """Appendix A: one attention per round, log N_ij taken off, joined by the logarithms of their sums."""
    scores = q_TK @ (q_TK / (q_TK.square().mean(-1, keepdim=True) + 1e-6).sqrt()).T / math.sqrt(q_TK.shape[-1])
    lowered = masks_RTT.sum(0).clamp_min(1).to(q_TK.dtype).log()
    lowered = torch.where(torch.eye(len(q_TK), dtype=torch.bool), torch.full_like(lowered, 1e5), lowered)
    outputs, sums = [], []
    for mask in masks_RTT:
        each = torch.where(mask, scores - lowered, -torch.inf)
        outputs.append(each.softmax(-1) @ v_TV)
        sums.append(each.logsumexp(-1))
    sums = torch.stack(sums)
    return sum(((z - sums.logsumexp(0)).exp()[:, None] * y for z, y in zip(sums, outputs, strict=True)))


def brute_force(m, x):
    """Each sequence and head by itself, with the layer's weights and buckets."""
    config = m.config
    buckets = m.buckets(x).tolist()
    q, v = m.query_key(x).unflatten(-1, (config.H, -1)), m.value(x).unflatten(-1, (config.H, -1))
    rows = []
    for b in range(x.shape[0]):
        heads = [
            by_rounds(q[b, :, h], v[b, :, h], torch.stack([reached(round_, config) for round_ in buckets[b][h]]))
            for h in range(config.H)
        ]
        rows.append(torch.cat(heads, dim=-1))
    return m.output(torch.stack(rows))


def compare(ours, theirs, wanted, tolerance):
    seed = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1), dtype=ours.dtype)
    assert relative_error(ours, theirs) < tolerance
    mine, others = (torch.autograd.grad(y, ws, seed) for y, ws in zip((ours, theirs), wanted, strict=True))
    # The first token alone has gradients of 0, so errors are held against the largest gradient of all.
    scale = max(float(g.abs().max()) for g in others)
    assert max(float((a - b).abs().max()) for a, b in zip(mine, others, strict=True)) < tolerance * scale


@forms
@settings(max_examples=12)
@given(T=st.integers(1, 30), R=st.integers(1, 4), C=st.integers(1, 7), E=st.sampled_from((2, 4, 10)))
def test_equals_the_rounds_of_the_paper_by_brute_force(form, T, R, C, E):
    m = layer(R=R, C=C, E=E, **form)
    x = inputs(T)
    compare(m(x), brute_force(m, x), ([x, *m.parameters()],) * 2, 1e-10)


def full_attention(m, x, *, causal):
    """Shared queries and keys, every pair but a token with itself."""
    config, T = m.config, x.shape[1]
    q = m.query_key(x).unflatten(-1, (config.H, -1)).transpose(1, 2)
    v = m.value(x).unflatten(-1, (config.H, -1)).transpose(1, 2)
    scores = q @ normalised(q).transpose(-1, -2) - TO_ITSELF * torch.eye(T)
    if causal:
        scores = scores.masked_fill(~torch.ones(T, T, dtype=torch.bool).tril(), -torch.inf)
    return m.output((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


@forms
@pytest.mark.parametrize("R", [1, 3])
def test_one_bucket_and_one_chunk_are_full_attention(form, R):
    m = layer(R=R, C=20, **form)
    m.rotations.zero_()  # no direction is nearer than another: all in the first bucket
    x = inputs(17)
    compare(m(x), full_attention(m, x, causal=m.config.causal), ([x, *m.parameters()],) * 2, 1e-11)


def test_both_reaches_are_one_where_no_bucket_outgrows_a_chunk():
    a, b = layer(C=12, E=10), layer(C=12, E=10, reach="chunk")
    x = inputs(30)
    assert max(int(row.bincount().max()) for row in a.buckets(x).flatten(0, 2)) <= 12 + 1
    assert relative_error(a(x), b(x)) < 1e-12


def test_the_bucket_s_reach_is_within_the_paper_s():
    a, b = layer(), layer(reach="chunk")
    for row in a.buckets(inputs(60)).flatten(0, 2).tolist():
        ours, theirs = reached(row, a.config), reached(row, b.config)
        assert not (ours & ~theirs).any()
        assert ours.sum() < theirs.sum()


def moved_by_the_last_token(m, x):
    """Share of the earlier tokens whose output is another one when the last token is another one."""
    other = torch.cat([x[:, :-1], torch.randn_like(x[:, -1:])], dim=1)
    with torch.no_grad():
        return float(((m(x) - m(other))[:, :-1].abs().amax(-1) > 1e-9).double().mean())


def test_later_tokens_move_the_chunks_of_the_paper_and_not_our_reach():
    x = torch.randn(20, 256, 24, dtype=torch.float64)
    sizes = {"C": 16, "E": 32, "R": 2}  # 2·T/C buckets, as the paper takes
    assert moved_by_the_last_token(layer(**sizes), x) == 0
    assert moved_by_the_last_token(layer(**sizes, reach="chunk"), x) > 0.03


def test_a_form_with_borders_that_move_has_no_state():
    assert not Formula(D=8, H=2, reach="chunk").decodes
    with pytest.raises(BadSize, match="later tokens move its chunks"):
        layer(reach="chunk").init_state(2)
    with pytest.raises(BadSize, match="does not divide by 2"):
        Formula(D=8, H=2, E=5)
    with pytest.raises(BadSize, match="choose reach='chunk'"):
        Formula(D=8, H=2, causal=False, reach="bucket")
    with pytest.raises(BadSize, match="choose 'bucket' or 'chunk'"):
        Formula(D=8, H=2, reach="all")


# --- its cost -------------------------------------------------------------------------------------------------------


def test_leading_terms():
    z = symbols("BTDHREC")
    m, run = Formula(**{letter: z[letter] for letter in "DHREC"}), Workload(B=z["B"], T=z["T"])
    B, T, D, _, R, E, C = z.values()
    expected = 6 * B * T * D**2 + B * T * D * R * E + 8 * B * T * D * R * C
    assert (m.flops(run).leading("T", Kind.CONTRACTION) - expected).expand() == 0
    # Reformer, table 1: memory and time of LSH attention, n_r·l windows of 4·l/n_c = 2·C keys; attention has T·T.
    scores = next(line.amount for line in m.saved_bytes(run) if line.name == "exponential")
    assert scores.subs({T: 8 * C}) == 4 * B * z["H"] * R * (8 * C) * 2 * C
    assert m.path_length(Workload(T=200)).substitute(C=64).total() == 4


def test_scores_are_as_many_as_the_pairs_and_few_of_them_are_attended_to():
    m, T = layer(), 61
    config, run = m.config, Workload(B=2, T=T)
    scores = next(line.amount for line in config.flops(run) if line.name == "scores")
    assert scores == 2 * 2 * config.H * config.pairs(T) * config.K
    for row in m.buckets(inputs(T)).flatten(0, 2).tolist():
        attended = int(reached(row, config).sum())
        assert T <= attended <= T * (config.C + 1) <= config.pairs(T) / config.R
    alone = reached([0] * T, config)  # one bucket: a band of C + 1
    assert int(alone.sum()) == T * (config.C + 1) - config.C * (config.C + 1) // 2


def test_a_step_reads_no_more_than_its_rounds_reach():
    short, long = (
        Formula(D=64, H=4, R=2, C=16).step_flops(Workload(T=T)).total(Kind.CONTRACTION) for T in (1000, 10**6)
    )
    assert short == long  # of the past only the bucket numbers are looked through


# --- numbers --------------------------------------------------------------------------------------------------------


def with_buckets(m, x, buckets, dtype):
    q = m.query_key(x).unflatten(-1, (m.config.H, -1)).to(dtype)
    v = m.value(x).unflatten(-1, (m.config.H, -1)).to(dtype)
    return bucket_attention(q, v, buckets, C=m.config.C, aligned=m.config.aligned, causal=m.config.causal)


@forms
def test_long_sequences_in_float32(form):
    m = layer(C=32, E=16, **form)
    x = inputs(2000, B=1)
    with torch.no_grad():
        buckets = m.buckets(x)
        exact = with_buckets(m, x, buckets, torch.float64)
        error = relative_error(with_buckets(m, x, buckets, torch.float32).double(), exact)
        assert error < 2e-6 * math.sqrt(2000 / 64)
        rough = with_buckets(m, x, buckets, torch.bfloat16).double()
    # A token whose targets are few is as exact as its own rounding; the same buckets are needed for that.
    assert relative_error(rough, exact) < 0.05


def test_rounding_changes_few_buckets():
    m = layer(C=32, E=32, R=4, D=128)
    x = inputs(1000, B=1, D=128)
    with torch.no_grad():
        exact = m.buckets(x)
        assert (m.float().buckets(x.float()) != exact).double().mean() < 1e-4
        assert 1e-4 < (m.bfloat16().buckets(x.bfloat16()) != exact).double().mean() < 0.05


def test_rotations_are_of_the_seed_and_of_nothing_else():
    torch.manual_seed(5)
    first, after = LshAttention(D=8, H=2, seed=3), torch.rand(1)
    torch.manual_seed(5)
    for _ in range(3):
        nn.Linear(8, 8, bias=False)
    assert torch.equal(torch.rand(1), after)  # the weights took random numbers, the rotations none
    assert torch.equal(first.rotations, LshAttention(D=8, H=2, seed=3).rotations)
    assert not torch.equal(first.rotations, LshAttention(D=8, H=2, seed=4).rotations)
    assert "rotations" in first.state_dict()


# --- other implementations ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("causal", [True, False], ids=["causal", "both-ways"])
@pytest.mark.parametrize("R", [1, 4])
def test_equals_reformer_pytorch(causal, R):
    theirs_of = pytest.importorskip("reformer_pytorch", reason="oracle of tests/oracles.txt").LSHSelfAttention
    D, H, C, T = 32, 4, 8, 64
    E = T // C
    theirs = theirs_of(
        D, heads=H, bucket_size=C, n_hashes=R, causal=causal, attend_across_buckets=False,
        allow_duplicate_attention=False,
    ).double()  # fmt: skip
    ours = LshAttention(D=D, H=H, C=C, E=E, R=R, causal=causal, reach="chunk").double()
    with torch.random.fork_rng():
        torch.manual_seed(11)
        drawn = torch.randn(1, D // H, R, E // 2, dtype=torch.float64)
    with torch.no_grad():
        ours.rotations.copy_(drawn.view(1, D // H, R * E // 2))
        ours.query_key.weight.copy_(theirs.toqk.weight / math.sqrt(D // H))  # theirs divides the scores by √K besides
        ours.value.weight.copy_(theirs.tov.weight)
        ours.output.weight.copy_(theirs.to_out.weight)
        theirs.to_out.bias.zero_()
    x = (50 * torch.randn(2, T, D, dtype=torch.float64)).requires_grad_()  # theirs has another ε in the keys' length
    with torch.random.fork_rng():
        torch.manual_seed(11)
        y = theirs(x)
    assert int(ours.buckets(x).amax()) > 0
    seed = torch.randn_like(y)
    assert relative_error(ours(x), y) < 1e-6
    mine = torch.autograd.grad(ours(x), [x, ours.query_key.weight, ours.value.weight], seed)
    other = torch.autograd.grad(y, [x, theirs.toqk.weight, theirs.tov.weight], seed)
    assert relative_error(mine[0], other[0]) < 1e-6
    assert relative_error(mine[1] / math.sqrt(D // H), other[1]) < 1e-6
    assert relative_error(mine[2], other[2]) < 1e-6


def hugging_face(**settings):
    modeling = pytest.importorskip(
        "transformers.models.reformer.modeling_reformer", reason="oracle of tests/oracles.txt"
    )
    config = modeling.ReformerConfig(
        hidden_size=32, num_attention_heads=4, attention_head_size=8, lsh_attention_probs_dropout_prob=0.0, hash_seed=3,
        is_decoder=True, **settings,
    )  # fmt: skip
    return modeling.LSHSelfAttention(config, 0).double().eval()


def alike(theirs, R, E, C):
    ours = LshAttention(D=32, H=4, C=C, E=E, R=R, reach="chunk").double()
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(3)
        ours.rotations.copy_(torch.randn(4, 8, R, E // 2, dtype=torch.float64).view(4, 8, R * E // 2))
        ours.query_key.weight.copy_(theirs.query_key.weight)
        ours.value.weight.copy_(theirs.value.weight)
        ours.output.weight.copy_(torch.eye(32))
    return ours


def called(theirs, x):
    with torch.random.fork_rng():  # with a seed it resets the global generator
        return theirs(x)


def test_hashes_as_hugging_face_does():
    R, E, T = 3, 6, 32
    theirs = hugging_face(lsh_attn_chunk_length=8, num_hashes=R, num_buckets=E)
    ours = alike(theirs, R, E, 8)
    x = inputs(T, D=32)
    offsets = torch.arange(R).view(1, 1, R, 1) * E
    assert torch.equal(called(theirs, x).buckets.view(2, 4, R, T) - offsets, ours.buckets(x))


@pytest.mark.parametrize("chunk_length", [16, 8], ids=["not-hashed", "two-chunks"])
def test_equals_hugging_face_where_all_is_in_reach(chunk_length):
    # Theirs attends across buckets: with two chunks, to everything.
    theirs = hugging_face(lsh_attn_chunk_length=chunk_length, num_hashes=1, num_buckets=2)
    ours = alike(theirs, 1, 2, 16)
    ours.rotations.zero_()
    x = inputs(16, D=32)
    wanted = [x, ours.query_key.weight, ours.value.weight], [x, theirs.query_key.weight, theirs.value.weight]
    compare(ours(x), called(theirs, x).hidden_states, wanted, 1e-10)


def test_hugging_face_differs_in_the_pairs_only():
    C, E, T = 4, 8, 32
    theirs = hugging_face(lsh_attn_chunk_length=C, num_hashes=1, num_buckets=E)
    ours = alike(theirs, 1, E, C)
    x = inputs(T, B=1, D=32)
    y = called(theirs, x).hidden_states.unflatten(-1, (4, 8))
    q, v = ours.query_key(x).unflatten(-1, (4, 8)), ours.value(x).unflatten(-1, (4, 8))
    for h in range(4):
        buckets = ours.buckets(x)[0, h, 0].tolist()
        chunk = {i: s // C for s, i in enumerate(sorted(range(T), key=lambda i: (buckets[i], i)))}
        # Any bucket; the first chunk looks at the last one.
        near = [[j <= i and (chunk[i] - chunk[j]) % (T // C) in (0, 1) for j in range(T)] for i in range(T)]
        assert relative_error(by_rounds(q[0, :, h], v[0, :, h], torch.tensor([near])), y[0, :, h]) < 1e-10
    assert relative_error(ours(x), y.flatten(2)) > 0.01
