"""Remedies are applied, not guessed: each number is held against the target in which it was done by hand."""

from dataclasses import replace
from fractions import Fraction

import pytest

from seqcost import count, fit
from seqcost.questions.asked.request import Request
from seqcost.questions.fitting.remedies import ANOTHER, NoRemedy, combined, remedies
from seqcost.questions.fitting.setup import Setup
from seqcost.questions.fitting.solver import Solver
from seqcost.questions.targets.resolve import resolve

SMALL = {"D": 64, "L": 2, "H": 4}  # two layers have all that three have, and a trace of them is shorter
MiB = 2**20


def setup_of(name="transformer", phase="train", sizes=SMALL, T=256, **asked):
    return Setup(subject=resolve(name, dict(sizes)), request=Request.of(phase=phase, **asked).at(T))


def applied(name, setup, *, accelerator=True):
    (remedy,) = (remedy for remedy in remedies(accelerator=accelerator) if remedy.name == name)
    return remedy.apply(setup)


def look(setup):
    return Solver(setup, "length").look(setup.request.T)


@pytest.fixture(scope="module")
def tried():
    """Of a length that does not fit: one answer for all tests, since traces take seconds."""
    return fit("transformer", memory="32MiB", sizes=SMALL, batch=2, length=2048)


def test_every_size_that_is_told_fits(tried):
    """By a count of the target in which the remedy was done by hand."""
    by_name = {one.names: one for one in tried.trials.tried}
    T = by_name["bfloat16",].size
    asked = {"sizes": SMALL, "batch": 2, "phase": "train", "dtype": "bf16"}
    assert count("transformer", length=T, **asked).peak_bytes <= 32 * MiB
    assert count("transformer", length=T + 1, **asked).peak_bytes > 32 * MiB
    T = by_name["grouped heads",].size
    asked |= {"sizes": SMALL | {"G": 1}, "dtype": None}
    assert count("transformer", length=T, **asked).peak_bytes <= 32 * MiB
    assert count("transformer", length=T + 1, **asked).peak_bytes > 32 * MiB


def test_what_is_told_of_work_is_that_of_the_count(tried):
    at = tried.trials.at
    own, half = (
        count("transformer", sizes=SMALL, length=at, batch=2, phase="train", dtype=dtype) for dtype in (None, "bf16")
    )
    one = next(one for one in tried.trials.tried if one.names == ("bfloat16",))
    assert one.bytes_ratio == half.bytes_moved / own.bytes_moved
    assert one.peak_bytes == half.peak_bytes


def test_the_front_is_a_front_and_keeps_the_model(tried):
    found = [tried.trials.tried[i] for i in tried.trials.front if i >= 0]
    needs = [tried.trials.own_peak_bytes, *(one.peak_bytes for one in found)]
    assert needs == sorted(needs, reverse=True)
    assert all(one.group != ANOTHER for one in found)
    assert all(one.size is not None for one in found)
    assert any(len(one.names) > 1 for one in found)


def test_what_does_not_apply_says_why(tried):
    reasons = dict(tried.trials.left_out)
    assert reasons["fused attention"] == "its attention is fused"
    assert "accelerator" in reasons["offload what is kept"]
    assert "phase train" in reasons["pieces of 1,024 tokens"]
    names = {one.names[0] for one in tried.trials.tried}
    assert {
        "checkpoint each layer",
        "one sequence a pass",
        "bfloat16",
        "reversible layers",
        "window attention",
    } <= names
    assert reasons["8-bit optimizer states"] == "no optimizer was asked for"
    assert not names & set(reasons)


def test_eager_attention_is_fused():
    eager = setup_of(sizes=SMALL | {"implementation": "materialised"})
    assert look(applied("fused attention", eager)).peak_bytes == look(setup_of()).peak_bytes < look(eager).peak_bytes


def test_reversible_layers_are_those_of_the_catalogue():
    """Two streams and a head of twice the width; as many numbers in the layers."""
    own, other = setup_of(), applied("reversible layers", setup_of())
    more = other.subject.config.params().total() - own.subject.config.params().total()
    assert more == 2 * 64 * 256 + 2 * 64  # the head's own [U,2·D], the last norm's further D of scale and shift
    long = [look(s.with_request(T=2048)).peak_bytes - look(s.with_request(T=1024)).peak_bytes for s in (own, other)]
    assert long[1] < long[0]


def test_states_of_8_bits_are_arithmetic():
    """AdamW holds two float32 for a number: a byte each and a float32 for 256 of them; small tensors stay."""
    setup = setup_of(optimizer="adamw")
    own, less = look(setup), look(applied("8-bit optimizer states", setup))
    sizes = [p.numel() for p in setup.subject.recipe().build(B=1, T=8).module.parameters()]
    expected = sum(8 * n - 2 * (n + 4 * -(-n // 256)) for n in sizes if n >= 4096)
    assert own.peak_bytes - less.peak_bytes == expected
    shared = look(applied("states over 8 devices", setup))
    held = own.memory.categories["optimizer_state"]
    assert own.peak_bytes - shared.peak_bytes == held - -(-held // 8)


def test_accumulating_keeps_the_sequences_of_a_step():
    setup = setup_of(batch=4)
    one = applied("one sequence a pass", setup)
    assert (one.request.B, one.request.accumulate) == (1, 4)
    own, other = look(setup), look(one)
    assert other.peak_bytes < own.peak_bytes
    assert other.flops >= own.flops  # gradients are added up besides


@pytest.mark.parametrize(("name", "T"), [("transformer", 4096 + 100), ("gru", 3 * 1024), ("transformer", 700)])
def test_pieces_do_the_work_of_all_their_calls(name, T):
    """Held against adding up every piece."""
    sizes = SMALL if name == "transformer" else {"D": 64, "L": 2}
    setup = setup_of(name, "prefill", sizes, T)
    pieces = applied("pieces of 1,024 tokens", setup)
    found = look(pieces)
    config, run = setup.subject.config, setup.request.workload(setup.subject.config, T)
    from seqcost.questions.answers.phases import by_formula

    flops, peaks = Fraction(0), []
    for P in range(0, T, 1024):
        phase = by_formula(config, replace(run, T=min(1024, T - P), P=P), "prefill", remembering=True)
        flops += sum(row.contraction + row.pointwise for row in phase.rows)
        peaks.append(phase.peak_bytes)
    assert found.flops == flops
    assert found.peak_bytes >= max(peaks)


def test_a_state_that_does_not_grow_reads_any_length_in_pieces():
    found = fit("gru", memory="1GiB", phase="forward")
    one = next(one for one in found.trials.tried if one.names == ("pieces of 1,024 tokens",))
    assert found.largest.size is not None
    assert one.unbounded


def test_an_offload_takes_a_device_beside_the_host():
    setup = setup_of()
    with pytest.raises(NoRemedy, match="accelerator"):
        applied("offload what is kept", setup, accelerator=False)
    assert look(applied("offload what is kept", setup)).peak_bytes < look(setup).peak_bytes


def test_remedies_of_one_slot_are_not_put_together(tried):
    slots = {remedy.name: remedy.slot for remedy in remedies(accelerator=True)}
    for one in tried.trials.tried:
        used = [slots[name] for name in one.names]
        assert len(used) == len(set(used))


def test_together_they_are_one_after_the_other():
    parts = tuple(r for r in remedies(accelerator=True) if r.name in ("checkpoint each layer", "loss in 16 chunks"))
    both = combined(setup_of(), parts)
    assert dict(both.changes) == {"checkpoint": "layers", "loss_chunks": 16}


def test_which_remedies_carry_a_length_is_said(tried):
    assert not tried.asked.fits
    said = " ".join(str(tried).split())
    assert "T = 2,048 is carried by checkpoint each layer" in said
    assert "Other models that carry it: reversible layers" in said
