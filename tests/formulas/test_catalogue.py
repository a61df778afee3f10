"""Looking names up, overriding sizes, and what is said when that fails."""

import pytest

from seqcost.errors import BadSize, SeqcostError, UnknownName
from seqcost.formulas import Workload
from seqcost.formulas.catalogue import CATALOGUE, configure, entry
from seqcost.formulas.mixers.attention import Attention
from seqcost.formulas.parts.norm import Norm


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_entry_is_complete(name):
    found = entry(name)
    config = configure(name)
    assert isinstance(config, found.config)
    assert found.summary
    assert "\n" not in found.summary
    assert set(found.symbols) <= {letter for letter in config.sizes() if len(letter) == 1}
    assert found.layer in {"", *CATALOGUE}


@pytest.mark.parametrize("name", CATALOGUE)
def test_sizes_are_overridden_and_the_rest_stays(name):
    before = configure(name).sizes()
    doubled = configure(name, D=2 * before["D"]).sizes()
    assert doubled["D"] == 2 * before["D"]
    follow = {"E", "F", "K", "N", "R", "V"}  # by default
    assert {letter for letter in before if before[letter] != doubled[letter]} <= {"D", *follow}


def test_configs_are_equal_and_hashable_by_value():
    assert configure("gpt2") == configure("gpt2", D=768)
    assert len({configure("gpt2"), configure("gpt2"), configure("gpt2", L=2)}) == 2


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gtp2", r"unknown architecture or preset 'gtp2': did you mean gpt2"),
        ("lstm-lyer", r"did you mean lstm-layer"),
        ("zzz", r"unknown architecture or preset 'zzz': choose from .*attention-layer, .*transformer-block.*\."),
    ],
)
def test_an_unknown_name_is_told_the_names(name, sentence):
    with pytest.raises(UnknownName, match=sentence):
        configure(name)


@pytest.mark.parametrize(
    ("name", "sizes", "error", "sentence"),
    [
        ("lstm", {"H": 8}, UnknownName, r"^unknown size of lstm 'H': choose from D, L, N, U, cell, head_bias, tied\.$"),
        ("lstm", {"tide": True}, UnknownName, r"^unknown size of lstm 'tide': did you mean tied\?$"),
        ("lstm-layer", {"D": 0}, BadSize, r"^Lstm: D = 0 was given; a whole number of at least 1 is allowed\.$"),
        ("lstm-layer", {"D": -64}, BadSize, r"^Lstm: D = -64 was given; a whole number of at least 1"),
        ("lstm-layer", {"D": True}, BadSize, r"^Lstm: D = True was given; a whole number of at least 1"),
        ("lstm-layer", {"D": 64.0}, BadSize, r"^Lstm: D = 64\.0 was given; a whole number of at least 1"),
        ("lstm-layer", {"D": "64"}, BadSize, r"^Lstm: D = '64' was given; a whole number of at least 1"),
        ("lstm-layer", {"N": 0}, BadSize, r"^Lstm: N = 0 was given"),
        ("gpt2", {"L": 0}, BadSize, r"^Transformer: L = 0 was given"),
        ("gpt2", {"D": 100}, BadSize, r"^width D over heads H: 100 does not divide by 12; choose sizes that divide\.$"),
        ("llama-3-8b", {"G": 5}, BadSize, r"^query heads H over key/value heads G: 32 does not divide by 5"),
        ("llama-2-7b", {"K": 63}, BadSize, r"^RoPE: head width K: 63 does not divide by 2"),
        ("transformer-base", {"D": 63, "H": 1}, BadSize, r"^sinusoidal positions: width D: 63 does not divide by 2"),
        ("gpt2", {"norm": "batch"}, BadSize, r"^gpt2: norm = 'batch' was given; choose 'layer', 'rms'\.$"),
        ("gpt2", {"tied": 1}, BadSize, r"^gpt2: tied = 1 was given; choose true or false\.$"),
        (
            "lstm",
            {"N": 63},
            BadSize,
            r"^tied weights: the head reads width N = 63, the embedding has D = 512; make them",
        ),
        (
            "attention-layer",
            {"V": 63},
            BadSize,
            r"^fused attention: value heads of width 63 beside keys of 64; .*: use ",
        ),
    ],
    ids=lambda value: "-".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else None,
)
def test_what_is_not_allowed_is_told_in_a_sentence(name, sizes, error, sentence):
    with pytest.raises(error, match=sentence) as raised:
        configure(name, **sizes)
    assert isinstance(raised.value, SeqcostError)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Attention(D=64, H=4, implementation="flash"), "implementation = 'flash' was given; choose 'material"),
        (lambda: Attention(D=64, H=4, causal=1), "causal = 1 was given; choose true or false"),
        (lambda: Norm(D=64, kind="batch"), "kind = 'batch' was given; choose 'layer', 'rms'"),
        (lambda: Workload(T=-1), "T = -1 was given; a whole number of at least 1 is allowed"),
        (lambda: Workload(B=0), "B = 0 was given; a whole number of at least 1 is allowed"),
        (lambda: Workload(T=1.5), "T = 1.5 was given"),
        (lambda: Workload(T=True), "T = True was given"),
    ],
    ids=["implementation", "causal", "kind", "T-negative", "B-zero", "T-float", "T-bool"],
)
def test_a_config_written_by_hand_is_checked_too(make, sentence):
    with pytest.raises(BadSize, match=sentence):
        make()


def test_what_sees_the_future_has_no_decoding_step():
    with pytest.raises(BadSize, match=r"sees the future \(causal=False\), so it has no decoding step; ask for phase"):
        configure("encoder").step_flops(Workload(T=63))
