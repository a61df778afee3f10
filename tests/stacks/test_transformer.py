"""The Transformer block and model: where costs are equal, what is kept, what the papers' tables say."""

import pytest
import sympy

from seqcost.algebra import Kind, symbols
from seqcost.formulas import Workload
from seqcost.formulas.catalogue import configure
from seqcost.formulas.stacks.transformer import TransformerBlock

B, D, F, H, T = symbols("BDFHT").values()


def block(**choices):
    return TransformerBlock(D=D, H=H, **choices)


def test_projections_and_attention_cost_the_same_at_six_widths():
    # 24·T·D² of projections and feed-forward against 4·T²·D of scores and their mix.
    bill = block().flops(Workload(T=T)).only(Kind.CONTRACTION)
    quadratic = bill.select("attention.attend").total(*Kind)
    linear = bill.total(*Kind) - quadratic
    assert sympy.expand(linear - 24 * T * D**2) == 0
    assert sympy.simplify(quadratic - 4 * T**2 * D) == 0
    assert sympy.solve(sympy.simplify(quadratic / T - linear / T), T) == [6 * D]


@pytest.mark.parametrize("implementation", ["fused", "materialised"])
def test_depth_does_not_grow_with_length(implementation):
    # Vaswani et al. 2017, table 1: self-attention has O(1) sequential operations.
    depth = block(implementation=implementation).depth(Workload(B=B, T=T)).substitute(T=63).total()
    assert depth == block(implementation=implementation).depth(Workload(B=B, T=10**6)).total()
    assert depth < 20


# Korthikanti et al. 2022, arXiv 2205.05198, section 4.1: 16-bit activations of a layer. We have no dropout, so the
# paper's masks (sbh after attention, sbh after the MLP, as²b inside) and the softmax's dropped-out copy (2as²b) are
# missing here; what corresponds is equal line by line.
KORTHIKANTI = {
    "attention.norm.normalised": 2,  # "QKV matrix multiplies: their shared input"
    "attention.query_heads": 2,  # QKᵀ: both of them, 4sbh together
    "attention.key_heads": 2,
    "attention.value_heads": 2,  # "attention over Values"
    "attention.merge_heads": 2,  # input of the projection
    "feed_forward.norm.normalised": 2,  # input of the first linear layer
    "feed_forward.up": 8,  # "GeLU non-linearity also needs its input"
    "feed_forward.activation": 8,  # input of the second linear layer
}


@pytest.fixture(scope="module")
def saved():
    bill = block(implementation="materialised").saved_bytes(Workload(B=B, T=T, itemsize=2))
    return {line.name: sympy.sympify(line.amount) for line in bill}


@pytest.mark.parametrize("line", KORTHIKANTI)
def test_korthikanti_line(saved, line):
    assert sympy.simplify(saved[line] - KORTHIKANTI[line] * T * B * D) == 0


def test_korthikanti_softmax_and_norm_inputs(saved):
    assert sympy.simplify(saved["attention.softmax"] - 2 * H * T**2 * B) == 0
    # "each layer-norm stores its input with size 2sbh": the block's input and the sum after attention.
    assert sympy.simplify(saved["input"] + saved["attention.residual"] - 4 * T * B * D) == 0


def test_korthikanti_total_without_dropout(saved):
    statistics = sum(amount for name, amount in saved.items() if name.endswith(".statistics"))
    published = T * B * D * 34 + 5 * H * T**2 * B
    dropout = 2 * T * B * D + 3 * H * T**2 * B
    assert sympy.simplify(sum(saved.values()) - statistics - (published - dropout)) == 0


def test_grouped_queries_share_keys_and_change_no_score():
    run = Workload(B=3, T=63)
    full, grouped, single = (configure("transformer-block", G=G) for G in (8, 2, 1))
    for line in ("attention.attend", "attention.project_query", "attention.project_output"):
        amounts = {config.flops(run).select(line).total(*Kind) for config in (full, grouped, single)}
        assert len(amounts) == 1
    states = [config.state_bytes(run).total() for config in (full, grouped, single)]
    assert states == [8 * states[2], 2 * states[2], states[2]]


@pytest.mark.parametrize("name", ["transformer", "gpt2", "llama-2-7b"])
def test_a_tied_head_costs_flops_and_no_weight(name):
    run = Workload(T=63)
    tied, untied = configure(name, tied=True), configure(name, tied=False)
    assert tied.flops(run) == untied.flops(run)
    assert untied.params().total() - tied.params().total() == tied.U * tied.D


def test_order_moves_norms_and_changes_no_contraction():
    run = Workload(B=3, T=63)
    pre, post = (configure("transformer", order=order) for order in ("pre", "post"))
    assert pre.flops(run).total(Kind.CONTRACTION) == post.flops(run).total(Kind.CONTRACTION)
    assert pre.params().total() - post.params().total() == 2 * 512  # the norm before the head


def test_positions_differ_in_parameters():
    by_kind = {kind: configure("gpt2", positions=kind).params().total() for kind in ("learned", "rope", "none")}
    assert by_kind["learned"] - by_kind["none"] == 1024 * 768
    assert by_kind["rope"] == by_kind["none"]


def test_defaults_follow_the_other_sizes():
    config = configure("transformer", D=96, H=4)
    assert (config.K, config.G, config.F) == (24, 4, 384)


def test_block_with_cross_attention_has_a_third_sublayer():
    params = configure("transformer-block", cross=True).params().group()
    assert [line.name for line in params] == ["attention", "cross_attention", "feed_forward"]
