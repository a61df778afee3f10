"""BigBird: the pattern and its pairs, dense attention in float64, Hugging Face's block-sparse attention."""

import math
import random

import pytest
import small
import torch
from oracles import relative_error

from seqcost.algebra import Kind, symbols
from seqcost.errors import BadSize
from seqcost.formulas import Workload
from seqcost.formulas.mixers.bigbird import BigBird as Formula
from seqcost.layers import BigBird
from seqcost.layers.mixers.bigbird import random_blocks

VARIANTS = (
    small.Variant("bigbird-layer", "bigbird-layer", small.plus(small.heads(), C=(2, 3, 4), R=(1, 2, 3))),
    small.Variant(
        "bigbird-layer-unbiased",
        "bigbird-layer",
        small.plus(small.heads(free=True), C=(2, 3), R=(2, 3)),
        {"bias": False},
    ),
    small.Variant("bigbird", "bigbird", small.plus(small.model(), C=(2, 3, 4), R=(1, 2, 3))),
)

CASES = [{"C": 2, "R": 2}, {"C": 3, "R": 1}, {"C": 1, "R": 3}, {"C": 4, "R": 0}]
cases = pytest.mark.parametrize("case", CASES, ids=str)


def made(case, dtype=torch.float64):
    torch.manual_seed(0)
    return BigBird(**{"D": 24, "H": 3} | case).to(dtype)


def counts(layer, T):
    """How often each query sees each key [H,T,T], written from the paper: blocks by name, duplicates once."""
    m = layer.config
    n = max(-(-T // m.C), 3)
    drawn = random_blocks(n, m.H, m.R, m.seed)
    out = torch.zeros(m.H, T, T)
    for h in range(m.H):
        for i in range(n):
            blocks = set(range(n)) if i in (0, n - 1) else {0, i - 1, i, i + 1, n - 1, *drawn[h][i - 1]}
            for j in blocks:
                out[h, i * m.C : (i + 1) * m.C, j * m.C : (j + 1) * m.C] = 1
    return out


def dense(layer, x, seen):
    """All pairs, each as often as it is seen."""
    m = layer.config
    q, k, v = layer._projected(x)
    scores = torch.einsum("bthk,bshk->bhts", q, k) / math.sqrt(m.K) + seen.to(x.dtype).log()
    return layer.output(torch.einsum("bhts,bshk->bthk", scores.softmax(-1), v).flatten(2))


@cases
@pytest.mark.parametrize("T", [1, 2, 3, 7, 16, 33])
def test_equals_dense_attention_in_outputs_and_gradients(case, T):
    layer, x = made(case), torch.randn(2, T, 24, dtype=torch.float64, requires_grad=True)
    ours, theirs = layer(x), dense(layer, x, counts(layer, T))
    assert relative_error(ours, theirs) < 1e-13
    seed = torch.randn_like(ours)
    wanted = [x, *layer.parameters()]
    mine, other = (torch.autograd.grad(y, wanted, seed) for y in (ours, theirs))
    scale = max(float(g.abs().max()) for g in other)
    assert max(float((a - b).abs().max()) for a, b in zip(mine, other, strict=True)) < 1e-13 * scale


@cases
def test_pairs_are_the_ones_in_the_mask(case):
    layer = made(case)
    for T in (*range(1, 30), 63, 64, 100):
        seen = counts(layer, T)
        assert torch.equal(layer.sees(T), seen.bool())
        assert {int(head.sum()) for head in seen} == {layer.config.pairs(T)}
        assert layer.config.pairs(T) <= layer.config.executed_pairs(T)
        assert layer.config.pairs(T) == T * T or T > (layer.config.R + 4) * layer.config.C


def test_blocks_that_a_block_sees():
    # Zaheer et al. 2020, figure 1: with 16 blocks and no random ones.
    m = Formula(D=8, H=1, C=1, R=0)
    assert made({"C": 1, "R": 0, "H": 1}).sees(16)[0].sum(1).tolist() == [16, 4, *[5] * 12, 4, 16]
    assert m.pairs(16) == 2 * 16 + 2 * 4 + 12 * 5


def test_cost_is_linear_in_length():
    # Tay et al. 2020, table 1: BigBird N. A block of C tokens sees 5 + R blocks, and two blocks see all: 7 + R.
    D, T, C, R = (symbols("DTCR")[letter] for letter in "DTCR")
    layer = Formula(D=D, H=8, C=C, R=R)
    leading = layer.flops(Workload(T=T)).leading("T", Kind.CONTRACTION)
    assert (leading - (8 * D**2 * T + 4 * D * T * C * (7 + R))).expand() == 0
    # In blocks of 64, R = 3: two pairs of blocks more than the pattern, those that are global and neighbours.
    base = Formula(D=768, H=12)
    n = 4096 // 64
    pattern = 64**2 * (2 * n + 2 * (4 + 3) + (n - 4) * (5 + 3))
    assert base.pairs(4096) == pattern
    assert base.executed_pairs(4096) == pattern + 2 * 64**2
    products = base.flops(Workload(T=4096)).only(Kind.CONTRACTION).total() - 8 * 4096 * 768**2
    assert products == 4 * 768 * base.executed_pairs(4096)


def test_random_blocks_are_drawn_once_and_touch_no_other_generator():
    python, torchs = random.getstate(), torch.get_rng_state()
    random_blocks.cache_clear()
    plan = random_blocks(40, 4, 3, seed=7)
    assert (random.getstate(), torch.equal(torch.get_rng_state(), torchs)) == (python, True)
    random_blocks.cache_clear()
    assert plan == random_blocks(40, 4, 3, seed=7) != random_blocks(40, 4, 3, seed=8)
    assert len(set(plan)) == 4  # each head has its own
    for head in plan:
        for i, drawn in enumerate(head, start=1):
            assert len(set(drawn)) == 3
            assert not set(drawn) & {0, i - 1, i, i + 1, 39}


@cases
def test_each_text_of_a_padded_batch_has_its_own_pattern(case):
    layer = made(case)
    x = torch.randn(4, 41, 24, dtype=torch.float64)
    lengths = (41, 23, 9, 30)
    keep = torch.arange(41) < torch.tensor(lengths)[:, None]
    with torch.no_grad():
        y = layer(x, keep=keep)
        for i, length in enumerate(lengths):
            assert relative_error(y[i, :length], layer(x[i : i + 1, :length])[0]) < 1e-13
    assert y.isfinite().all()


def test_long_texts_in_float32():
    layer = made({"C": 32, "R": 3}, torch.float32)
    x = 3 * torch.randn(1, 2000, 24)
    with torch.no_grad():
        y = layer(x)
        assert relative_error(y.double(), dense(layer.double(), x.double(), counts(layer, 2000))) < 1e-5


def test_sizes_that_are_refused():
    for letter, value in (("C", 0), ("R", -1)):
        with pytest.raises(BadSize, match=f"{letter} = {value} was given"):
            Formula(D=16, H=2, **{letter: value})


# --- Hugging Face ---------------------------------------------------------------------------------------------------

BLOCKS, SIZE, RANDOM, HEADS = 14, 4, 2, 3


@pytest.fixture
def theirs():
    hf = pytest.importorskip("transformers.models.big_bird.modeling_big_bird", reason="Hugging Face's BigBird")
    sizes = {"hidden_size": 24, "num_attention_heads": HEADS, "block_size": SIZE, "num_random_blocks": RANDOM}
    torch.manual_seed(0)
    return hf.BigBirdBlockSparseAttention(hf.BigBirdConfig(**sizes, max_position_embeddings=64), seed=3)


def run(theirs, x, ours):
    """Theirs ends before the output projection; nothing is padded."""
    hf = pytest.importorskip("transformers.models.big_bird.modeling_big_bird")
    everything = torch.ones(x.shape[:2])
    blocked, band, before, after = hf.BigBirdModel.create_masks_for_block_sparse_attn(everything, SIZE)
    y = theirs(x, band_mask=band, from_mask=before, to_mask=after, from_blocked_mask=blocked, to_blocked_mask=blocked)[
        0
    ]
    return ours.output(y)


def twin(theirs):
    ours = BigBird(D=24, H=HEADS, C=SIZE, R=RANDOM)
    for name in ("query", "key", "value"):
        getattr(ours, name).load_state_dict(getattr(theirs, name).state_dict())
    return ours


def test_equals_hugging_face_in_training_with_their_random_blocks(theirs, monkeypatch):
    numpy = pytest.importorskip("numpy")
    before = numpy.random.get_state()
    try:
        ours, T = twin(theirs), BLOCKS * SIZE
        drawn = []
        original = theirs._bigbird_block_rand_mask_with_head
        monkeypatch.setattr(
            theirs, "_bigbird_block_rand_mask_with_head", lambda **how: drawn.append(original(**how)) or drawn[-1]
        )
        x = torch.randn(2, T, 24)
        one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
        their_y = run(theirs.train(), other, ours)
        plan = tuple(tuple(tuple(row) for row in head.tolist()) for head in drawn[0])
        monkeypatch.setattr("seqcost.layers.mixers.bigbird.random_blocks", lambda *_: plan)
        our_y = ours(one)
    finally:
        numpy.random.set_state(before)
    assert relative_error(our_y, their_y) < 1e-6
    weight = torch.randn_like(our_y)
    mine = torch.autograd.grad((our_y * weight).sum(), [one, ours.query.weight, ours.key.weight, ours.value.weight])
    back = [other, theirs.query.weight, theirs.key.weight, theirs.value.weight]
    for a, b in zip(mine, torch.autograd.grad((their_y * weight).sum(), back), strict=True):
        assert relative_error(a, b) < 1e-5


def test_hugging_face_in_eval_counts_the_first_block_again_for_each_random_one(theirs, monkeypatch):
    # Its random blocks are all block 0 there: not the published pattern, and not ours.
    ours, T = twin(theirs), BLOCKS * SIZE
    x = torch.randn(2, T, 24)
    nothing = tuple(tuple(() for _ in range(BLOCKS - 2)) for _ in range(HEADS))
    with torch.no_grad():
        their_y = run(theirs.eval(), x, ours)
        assert relative_error(ours(x), their_y) > 0.1
        monkeypatch.setattr("seqcost.layers.mixers.bigbird.random_blocks", lambda *_: nothing)
        seen = ours.sees(T).float()
        assert relative_error(ours(x), dense(ours, x, seen)) < 1e-6
        seen[:, SIZE:-SIZE, :SIZE] += RANDOM
        assert relative_error(dense(ours, x, seen), their_y) < 1e-6
