"""What fits: the answer is held against `count` on both sides of the limit, and against a trace of the layer."""

from functools import partial

import pytest

from seqcost import Workload, configure, count
from seqcost import fit as fit_and_try
from seqcost.errors import BadSize, BadTarget, UnknownName
from seqcost.formulas.catalogue import language_models
from seqcost.questions.answers.phases import by_formula
from seqcost.questions.asked.threads import kernel_threads

GiB, MiB = 2**30, 2**20
fit = partial(fit_and_try, remedies=False)
SMALL = {"D": 32, "L": 2}


def peak(target, *, phase, length, sizes=None, batch=None):
    """By the formula itself, which knows nothing of the search."""
    config = configure(target, **sizes or {})
    source = config.source_tokens(length) if config.takes_source else 0
    run = Workload(B=batch or 1, T=length, S=source, threads=kernel_threads())
    return by_formula(config, run, phase, remembering=True).peak_bytes


@pytest.mark.parametrize("phase", ["train", "decode"])
@pytest.mark.parametrize("name", [*language_models(), "gpt2"])
def test_the_size_fits_and_the_next_does_not(name, phase):
    """Of every architecture."""
    if phase == "decode" and not configure(name).decodes:
        with pytest.raises(BadSize, match="cannot be decoded from"):
            fit(name, memory="3GiB", phase=phase)
        return
    found = fit(name, memory="3GiB", phase=phase)
    if found.bound == "nothing":
        assert peak(name, length=10, phase=phase) <= 3 * GiB
        assert peak(name, length=2**30, phase=phase) <= 3 * GiB
        assert found.to_dict()["size"] is None
    elif found.bound == "positions":
        assert found.size == found.positions == 1024
        assert peak(name, length=found.size, phase=phase) <= 3 * GiB
    else:
        assert peak(name, length=found.size, phase=phase) == found.largest.cost <= 3 * GiB
        assert peak(name, length=found.size + 1, phase=phase) == found.largest.next_cost > 3 * GiB


@pytest.mark.parametrize(
    ("find", "name", "sizes", "step"),
    [
        ("batch", "lstm", SMALL, 1),
        ("D", "transformer", {"L": 2}, 16),
        ("L", "hybrid", {"D": 32}, 4),
        ("L", "gru", {}, 1),
    ],
)
def test_other_sizes_are_found_in_steps_that_divide(find, name, sizes, step):
    found = fit(name, memory="64MiB", find=find, length=64, sizes=sizes)
    assert found.size % step == 0
    assert found.largest.next_size == found.size + step

    def at(size):
        return peak(name, length=64, phase="train", sizes=sizes | ({find: size} if find != "batch" else {}),
                    batch=size if find == "batch" else None)  # fmt: skip

    assert at(found.size) == found.largest.cost <= 64 * MiB < at(found.size + step) == found.largest.next_cost


def test_a_trace_gives_the_same_as_the_formula():
    asked = {"memory": "16MiB", "sizes": SMALL, "batch": 2}
    written, traced = fit("transformer", **asked), fit("transformer", **asked, trace=True)
    assert traced.rung == "fake tensors"
    assert (traced.size, traced.largest.cost, traced.largest.next_cost) == (
        written.size, written.largest.cost, written.largest.next_cost,
    )  # fmt: skip
    assert dict(traced.memory.categories) == dict(written.memory.categories)


def test_the_tensors_at_the_peak_are_the_same_by_formula_and_by_trace():
    """Bytes by category, shape and number: by the formula from the tape, by the trace from its run on fake tensors."""
    for phase in ("train", "decode"):
        answers = [fit("transformer", memory="16MiB", sizes=SMALL, phase=phase, length=64, trace=t) for t in (0, 1)]

        def alike(answer):
            large = [held for held in answer.memory.tensors if held.num_bytes >= 4096]
            return sorted((held.category, held.num_bytes // held.times, held.times) for held in large)

        written, traced = map(alike, answers)
        assert sum(size * times for _, size, times in written) == sum(size * times for _, size, times in traced)
        for answer in answers:
            for held in answer.memory.tensors:
                assert held.num_bytes % held.times == 0


def test_the_peak_is_named():
    found = fit("gpt2", memory="24GiB", length=1024, sizes={"implementation": "materialised"})
    assert found.asked.fits
    first = found.memory.tensors[0]
    assert (first.path, first.shape, first.category) == ("blocks.attention", (1, 12, 1024, 1024), "saved_activations")
    assert first.num_bytes == first.times * 12 * 1024 * 1024 * 4
    assert found.memory.phase == "backward"


def test_an_optimizer_is_followed():
    plain, adamw = (
        fit("transformer", memory="16MiB", sizes=SMALL, optimizer=optimizer, trace=True)
        for optimizer in (None, "adamw")
    )
    assert adamw.size < plain.size
    assert adamw.memory.categories["optimizer_state"] > 2 * 4 * count("transformer", sizes=SMALL).params


def test_positions_end_a_traced_model_too():
    pytest.importorskip("transformers")
    found = fit(
        "hf:gpt2", memory="24GiB", sizes={"n_layer": 2, "n_positions": 64, "n_embd": 48, "n_head": 4}, phase="forward"
    )
    assert (found.bound, found.size, found.positions) == ("positions", 64, 64)


def test_nothing_fits_where_gradients_do_not():
    params = 4 * count("transformer").params
    found = fit("transformer", memory=params + 4096)
    assert (found.size, found.bound) == (None, "memory")
    assert found.largest.cost > params + 4096


def test_where_nothing_is_said_it_is_this_machine():
    found = fit("transformer", length="1M")
    assert "this machine" in found.limit
    assert found.asked.size == 2**20
    assert found.asked.fits == (found.asked.peak_bytes <= found.limit_bytes)
    assert found.at == 2**20


@pytest.mark.parametrize(
    ("asked", "error", "sentence"),
    [
        ({"memory": "1MiB"}, BadSize, "memory = 1MiB was given, and the parameters of transformer alone take 72.7 MiB"),
        ({"memory": "lots"}, BadSize, "an amount above 0 with a unit"),
        ({"memory": "8GiB", "find": "K"}, UnknownName, "unknown size to look for 'K'"),
        ({"memory": "8GiB", "find": "L", "phase": "walk"}, UnknownName, "unknown phase"),
        ({"memory": "8GiB", "length": 0}, BadSize, "length = 0 was given"),
    ],
)
def test_bad_input_is_one_sentence(asked, error, sentence):
    with pytest.raises(error, match=sentence):
        fit("transformer", **asked)


def test_sizes_of_code_are_its_own():
    torch = pytest.importorskip("torch")
    with pytest.raises(BadSize, match="D was asked for of Linear, which has no such setting"):
        fit(torch.nn.Linear(8, 8), memory="1GiB", find="D")
    with pytest.raises(BadTarget, match="weights"):
        fit("model.safetensors", memory="1GiB")
