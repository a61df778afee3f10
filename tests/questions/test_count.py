import json

import pytest

import seqcost
from seqcost.algebra import Kind
from seqcost.algebra.quantity import QUANTITIES
from seqcost.errors import BadSize, BadTarget, UnknownName
from seqcost.formulas.architectures import MIXERS
from seqcost.formulas.catalogue import CATALOGUE, configure

KEYS = [
    "target", "sizes", "phase", "dtype", "conventions", "rung", "flops", "pointwise", "params",
    "trainable_params", "bytes_moved", "saved_bytes", "state_bytes", "peak_bytes", "depth", "lines", "uncounted",
    "polynomials", "seen_to", "memory", "optimizer", "accumulate",
]  # fmt: skip


def test_the_contract_has_its_keys_in_order():
    assert list(seqcost.count("gpt2").to_dict()) == KEYS


def test_gpt2_is_the_example_of_the_contract():
    answer = seqcost.count("gpt2", length=1024).to_dict()
    assert answer["polynomials"]["flops"] == {
        "variable": "T", "coefficients": ["0", "247064064", "36864"], "valid_from": 1, "exact": True,
    }  # fmt: skip
    assert answer["flops"] == 291_648_307_200
    assert answer["params"] == 124_439_808
    assert answer["rung"] == "formula"


@pytest.mark.parametrize("phase", ["forward", "train", "prefill", "decode"])
@pytest.mark.parametrize("name", ["gpt2", "lstm", "llama-3-8b", "transformer-base"])
def test_every_number_is_the_sum_of_its_lines(name, phase):
    answer = seqcost.count(name, length=77, batch=3, phase=phase)
    data = json.loads(json.dumps(answer.to_dict()))
    sums: dict[str, int] = {}
    for line in data["lines"]:
        sums[line["kind"]] = sums.get(line["kind"], 0) + int(line["amount"])
    keys = {"contraction": "flops", "pointwise": "pointwise", "parameters": "params", "traffic": "bytes_moved",
            "saved": "saved_bytes", "state": "state_bytes"}  # fmt: skip
    for kind, key in keys.items():
        if data[key] is not None:
            assert data[key] == sums.get(kind, 0), key


@pytest.mark.parametrize("phase", ["forward", "train", "prefill", "decode"])
def test_polynomials_give_the_numbers(phase):
    answer = seqcost.count("mistral-7b", length=5000, phase=phase)
    data = answer.to_dict()
    for key, curve in answer.polynomials.items():
        assert curve(5000) == data[key]


def test_what_is_unknown_is_none_and_listed():
    data = seqcost.count("gpt2", phase="train").to_dict()
    assert {key for key, value in data.items() if value is None} == {"optimizer", "seen_to"}
    assert data["uncounted"] == []


def test_a_training_step_by_formula_leaves_no_number_open():
    count = seqcost.count("gpt2", length=1024, phase="train")
    assert count.depth == 277
    assert count.bytes_moved == 6598364 * 1024 + 2104212500
    assert count.peak_bytes > 2 * 4 * 124_439_808  # parameters and their gradients


def test_decoding_costs_a_step_of_the_sequence():
    first = seqcost.count("gpt2", length=1, phase="decode").flops
    tenth = seqcost.count("gpt2", length=10, phase="decode").flops
    # Nine more keys for each of 12 layers of width 768: q kᵀ and the sum of values, 2·D FLOPs each.
    assert tenth - first == 9 * 12 * 4 * 768


def test_training_is_forward_and_backward():
    train = seqcost.count("gpt2", length=64, phase="train", sizes={"implementation": "materialised"}).flops
    forward = seqcost.count("gpt2", length=64, sizes={"implementation": "materialised"}).flops
    assert train == 3 * forward


def test_the_half_convention_halves_the_pairs():
    full = seqcost.count("gpt2", length=100)
    half = seqcost.count("gpt2", length=100, causal="half")
    pairs = 12 * 12 * (100 * 100 - 100 * 101 // 2)  # layers × heads × masked pairs
    assert full.flops - half.flops == pairs * 4 * 64
    assert "half" in half.to_dict()["conventions"]["causal"]
    assert "full" in full.to_dict()["conventions"]["causal"]


def test_several_lengths_give_a_list():
    answers = seqcost.count("lstm", length=[8, 16])
    assert [a.sizes["T"] for a in answers] == [8, 16]
    assert isinstance(seqcost.count("lstm", length=[8]), list)
    assert seqcost.count("lstm", length="1k").sizes["T"] == 1024


def test_a_length_beyond_all_floats_is_exact():
    answer = seqcost.count("gpt2", length=10**30)
    assert answer.flops == 36864 * 10**60 + 247064064 * 10**30


def test_positions_beyond_the_table_are_said():
    assert "exceeds the 1,024" in seqcost.count("gpt2", length=2048).to_dict()["conventions"]["positions"]
    assert "positions" not in seqcost.count("gpt2", length=1024).to_dict()["conventions"]


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"length": 0}, BadSize, "length = 0"), ({"length": -1}, BadSize, "length = -1"),
        ({"length": True}, BadSize, "length = True"), ({"length": 1.5}, BadSize, "length = 1.5"),
        ({"length": []}, BadSize, "no length"), ({"length": "abc"}, BadSize, "'abc'"),
        ({"batch": 0}, BadSize, "batch = 0"), ({"phase": "run"}, UnknownName, "unknown phase"),
        ({"dtype": "int3"}, UnknownName, "unknown dtype"), ({"causal": "third"}, UnknownName, "convention"),
        ({"sizes": {"H": 7}}, BadSize, "768 does not divide by 7"),
        ({"sizes": {"Z": 7}}, UnknownName, "unknown size of gpt2"),
        ({"causal": "half", "trace": True}, BadSize, "a trace counts what runs"),
        ({"inputs": (1,), "trace": True}, BadTarget, "only a live module"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(given, error, says):
    with pytest.raises(error, match=says) as caught:
        seqcost.count("gpt2", **given)
    assert "\n" not in str(caught.value)


def test_a_model_that_sees_the_future_cannot_decode():
    with pytest.raises(BadSize, match="sees the future"):
        seqcost.count("bert-base", phase="decode")
    assert seqcost.count("bert-base").to_dict()["state_bytes"] is None


@pytest.mark.parametrize("name", ["gpt2", "lstm", "encoder-decoder"])
@pytest.mark.parametrize("phase", ["forward", "train"])
def test_the_trace_agrees(name, phase):
    small = {"L": 2, "U": 300} | ({"D": 24} if name == "lstm" else {"D": 24, "H": 3})
    formula = seqcost.count(name, length=33, batch=2, phase=phase, sizes=small)
    traced = seqcost.count(name, length=33, batch=2, phase=phase, sizes=small, trace=True)
    assert traced.flops == formula.flops
    assert (traced.params, traced.trainable_params) == (formula.params, formula.trainable_params)
    assert traced.to_dict()["saved_bytes"] == formula.to_dict()["saved_bytes"]
    assert traced.polynomials["flops"].coefficients == formula.polynomials["flops"].coefficients
    assert traced.peak_bytes is not None
    assert [key for key in traced.to_dict() if key != "unused"] == KEYS
    assert "unused" in traced.to_dict(), "a trace has seen which parameters took part"


def test_a_live_module_is_counted_and_left_alone():
    import torch

    module = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.GELU(), torch.nn.Linear(32, 8))
    before = [p.clone() for p in module.parameters()]
    answer = seqcost.count(module, length=16, batch=2, phase="train")
    assert answer.flops == 3 * 2 * 2 * 16 * (8 * 32 + 32 * 8)
    assert answer.bills.flops.total(Kind.POINTWISE) > 0
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    assert all(p.grad is None for p in module.parameters())


def test_sizes_of_a_live_module_are_refused():
    import torch

    with pytest.raises(BadTarget, match="sizes were given for a live module"):
        seqcost.count(torch.nn.Linear(2, 2), sizes={"D": 2})


@pytest.mark.parametrize("name", sorted(MIXERS))
def test_a_polynomial_is_never_wrong(name):
    given = {length: seqcost.count(f"{name}-layer", length=length) for length in (1000, 4096 + 37)}
    curves = given[1000].polynomials
    for quantity in ("flops", "pointwise", "bytes_moved", "state_bytes", "depth"):
        curve = curves.get(quantity)
        if curve is None or not curve.to_dict()["exact"]:
            continue
        for length, found in given.items():
            assert length < curve.valid_from or curve(length) == found.bills.total(QUANTITIES[quantity]), quantity


@pytest.fixture
def unknown_operator():
    import torch

    library = torch.library.Library("seqcost_strict", "DEF")
    for name in ("a", "b", "c", "d"):
        library.define(f"{name}(Tensor x) -> Tensor")
        library.impl(name, lambda x: x.cumsum(-1), "CompositeExplicitAutograd")
        torch.library.register_fake(f"seqcost_strict::{name}", torch.empty_like, lib=library)
    yield torch.ops.seqcost_strict
    library._destroy()


def test_strict_refuses_what_is_uncounted(unknown_operator):
    import torch

    class Odd(torch.nn.Module):
        def forward(self, x):
            for name in ("a", "b", "b", "c", "d"):
                x = getattr(unknown_operator, name)(x)
            return x

    module, x = torch.nn.Sequential(torch.nn.Linear(8, 8), Odd()), torch.randn(2, 16, 8)
    assert seqcost.count(module, inputs=(x,)).uncounted
    with pytest.raises(BadTarget) as caught:
        seqcost.count(module, inputs=(x,), strict=True)
    said = str(caught.value)
    assert "4 operators of Sequential have no formula (seqcost_strict::b in 1: 2 calls, 4,096 bytes; " in said
    assert "seqcost_strict::c in 1: 1 calls, 2,048 bytes; and 1 more)" in said
    assert "\n" not in said


def test_strict_lets_through_what_is_counted():
    import torch

    linear = torch.nn.Linear(8, 8)
    assert seqcost.count(linear, length=4, strict=True).flops == seqcost.count(linear, length=4).flops
    assert seqcost.count("gpt2", strict=True).to_dict() == seqcost.count("gpt2").to_dict()


def _unmasked(T, W):
    """Pairs of a token and one of the W tokens up to itself, one by one."""
    return sum(1 for t in range(T) for s in range(T) if s <= t and t - s < W)


@pytest.mark.parametrize("name", ["window-layer", "attention-layer"])
@pytest.mark.parametrize(("T", "W"), [(28, 7), (5, 7), (7, 7), (64, 16)])
def test_half_counts_the_unmasked_pairs_one_by_one(name, T, W):
    sizes = {"D": 8, "H": 2} | ({"W": W} if name == "window-layer" else {})
    half = seqcost.count(name, length=T, batch=3, causal="half", sizes=sizes)
    lines = {line["name"]: line["amount"] for line in half.lines if line["kind"] == "contraction"}
    pairs = _unmasked(T, W if name == "window-layer" else T)
    assert lines["attend"] == 2 * 3 * 2 * pairs * (4 + 4)
    assert half.conventions["causal"] == "half: only the pairs that are not masked are counted"


def test_half_of_a_window_with_a_past_and_with_distances():
    from seqcost.algebra import Kind
    from seqcost.formulas.core.workload import Workload
    from seqcost.formulas.mixers.window import WindowAttention

    for P, T, W, d in ((0, 20, 5, 3), (9, 11, 5, 2), (40, 7, 5, 1)):
        mixer = WindowAttention(D=8, H=2, W=W, dilation=d)
        seen = sum(1 for t in range(P, P + T) for s in range(t + 1) if (t - s) % d == 0 and (t - s) // d < W)
        run = Workload(B=1, T=T, P=P, started=P > 0, causal="half")
        attend = [line for line in mixer.flops(run).only(Kind.CONTRACTION) if line.name == "attend"]
        assert sum(line.amount for line in attend) == 2 * 2 * seen * 8


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_half_is_obeyed_or_refused_or_changes_nothing(name):
    """A layer that masks later tokens in a program of its own says so in a line of its traffic."""
    full = seqcost.count(name, length=70)
    if configure(name).multiplies_masked:
        with pytest.raises(BadSize, match="chunks or buckets"):
            seqcost.count(name, length=70, causal="half")
        return
    half = seqcost.count(name, length=70, causal="half")
    assert not {line["name"].rpartition(".")[2] for line in full.lines} & {"causal", "decay_causal"}
    assert (half.flops == full.flops) == ("no causal attention" in half.conventions["causal"])


def test_half_of_one_decoding_step_is_allowed_everywhere():
    full = seqcost.count("gla", length=70, phase="decode")
    assert seqcost.count("gla", length=70, phase="decode", causal="half").flops == full.flops


def test_params_are_those_that_are_trained_and_those_that_are_not():
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 4))
    module[0].requires_grad_(False)
    assert seqcost.count(module, inputs=(torch.ones(1, 5, 8),)).params == 8 * 8 + 8 + 8 * 4 + 4


@pytest.mark.parametrize("name", ["lstm-layer", "lstm"])
def test_a_fused_kernel_has_no_formula_in_float64(name):
    # PyTorch takes oneDNN's LSTM in float32 and half precision; in float64 its own loop over time.
    with pytest.raises(BadSize, match=r"float64.*runs then as a loop.*give float32"):
        seqcost.count(name, length=8, dtype="float64")
    traced = seqcost.count(name, length=8, dtype="float64", trace=True)
    assert traced.depth > seqcost.count(name, length=8, dtype="float32", trace=True).depth
