"""Who decides about a kernel: facts of the machine, tensors of a call, the switch; and that lookers-on see PyTorch."""

import dataclasses
from pathlib import Path

import pytest
import torch
from stand_in import A_GPU, stand_in
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from seqcost.errors import BadTarget, MissingExtra, UnknownName
from seqcost.layers import kernels, use_kernels
from seqcost.layers.ops import kernels as room
from seqcost.layers.ops.gated_linear_attention import gated_linear_attention

every_engine = pytest.mark.parametrize("engine", room.KERNELS)
NO_GPU = dataclasses.replace(A_GPU, capability=None)


@pytest.fixture
def machine(monkeypatch):
    return lambda facts: monkeypatch.setattr(room, "facts", lambda: facts)


@pytest.fixture(autouse=True)
def switch_as_it_was():
    with use_kernels("auto"):
        yield


# --- the machine ------------------------------------------------------------------------------------------------------

MACHINES = {
    "no CUDA device": NO_GPU,
    "compute capability 7.5, 8.0 is needed": dataclasses.replace(A_GPU, capability=(7, 5)),
    "{title} is not installed": dataclasses.replace(A_GPU, installed={}),
    "{title} 0.5.9 is too old, {oldest} is needed": dataclasses.replace(
        A_GPU, installed=dict.fromkeys(room.PACKAGES, "0.5.9")
    ),
    "{title} does not load (no triton)": dataclasses.replace(A_GPU, broken=dict.fromkeys(room.PACKAGES, "no triton")),
}


@every_engine
@pytest.mark.parametrize("reason", MACHINES)
def test_what_a_machine_lacks_is_said(engine, reason, machine):
    kernel = room.KERNELS[engine]
    machine(MACHINES[reason])
    package = room.PACKAGES[kernel.package]
    expected = reason.format(title=package.title, oldest=package.oldest)
    assert room.why_not_here(kernel, MACHINES[reason]) == expected
    assert str(kernels()[engine]) == f"PyTorch: {expected}"
    assert not kernels()[engine].used


@every_engine
def test_a_machine_that_has_all_uses_the_kernel_and_says_for_what(engine, machine):
    machine(A_GPU)
    assert room.why_not_here(room.KERNELS[engine], A_GPU) is None
    choice = kernels()[engine]
    assert choice.used
    assert str(choice).startswith(("flash-linear-attention chunk_", "mamba-ssm selective_scan_fn: for "))
    assert f"keys up to {room.KERNELS[engine].widest} wide" in choice.reason


def test_one_missing_package_leaves_the_other(machine):
    machine(dataclasses.replace(A_GPU, installed={"fla": "0.10.0"}))
    assert {engine for engine, choice in kernels().items() if not choice.used} == {"selective_scan"}


def test_this_machine_is_looked_at_once(monkeypatch):
    room.facts.cache_clear()
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: asked.append(1))
    try:
        assert {choice.reason for choice in kernels().values()} == {"no CUDA device"}
        kernels()
        assert len(asked) == 1
    finally:
        room.facts.cache_clear()


def test_a_package_that_does_not_load_is_a_fact_and_no_crash(monkeypatch):
    room.facts.cache_clear()

    def load(function):
        raise ImportError("undefined symbol: _ZN3c10\nand more")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda i: [(9, 0), (8, 6)][i])
    monkeypatch.setattr(room, "_version", {"fla-core": "0.10.0"}.get)
    monkeypatch.setattr(room, "load", load)
    try:
        found = room.facts()
    finally:
        room.facts.cache_clear()
    assert found == room.Facts(
        capability=(8, 6), installed={"fla": "0.10.0"}, broken={"fla": "undefined symbol: _ZN3c10"}
    )


def test_the_table_names_functions_that_are_there():
    pytest.importorskip("fla.ops", reason="flash-linear-attention is not installed")
    for kernel in room.KERNELS.values():
        assert kernel.package in room.PACKAGES
        assert kernel.package != "fla" or callable(room.load(kernel.function))


@every_engine
def test_the_page_has_the_row_of_the_table(engine):
    page = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith(f"| `{engine}` |"))
    kernel = room.KERNELS[engine]
    package, function = kernel.title.split()
    takes, widest = kernel.takes.removesuffix(" wide").split("; keys up to ")
    assert row.endswith(f"| {package} `{function}` | {takes} | {widest} |")


# --- the tensors ------------------------------------------------------------------------------------------------------

GIVEN = room.Given(device="cuda", dtype=torch.bfloat16, width=128, state_dtype=torch.float32, tf32=False)
REFUSED = [
    ("gated_linear_attention", {"device": "cpu"}, "tensors on cpu were given"),
    (
        "gated_linear_attention",
        {"dtype": torch.float64},
        "float64 was given, bfloat16 or float16 or float32 is allowed",
    ),
    ("delta_rule", {"dtype": torch.float32, "tf32": True}, "float32 was given, bfloat16 or float16 is allowed"),
    ("gated_delta_rule", {"width": 257}, "keys 257 wide were given, 256 is allowed"),
    ("linear_attention", {"state_dtype": torch.float64}, "a state in float64 was given, float32 is allowed"),
    (
        "ssd",
        {"dtype": torch.float32},
        "float32 was given and TF32 is off: torch.set_float32_matmul_precision('high') allows it",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("engine", "change", "reason"), REFUSED)
def test_what_a_kernel_does_not_take_is_said(engine, change, reason):
    assert room.why_not_these(room.KERNELS[engine], dataclasses.replace(GIVEN, **change)) == reason


@every_engine
def test_what_a_kernel_takes(engine):
    kernel = room.KERNELS[engine]
    for dtype in kernel.dtypes:
        given = dataclasses.replace(GIVEN, dtype=dtype, width=kernel.widest, tf32=kernel.rounds)
        assert room.why_not_these(kernel, given) is None


def test_tf32_is_what_pytorch_is_told():
    before = torch.get_float32_matmul_precision()
    try:
        for precision, rounds in (("highest", False), ("high", True)):
            torch.set_float32_matmul_precision(precision)
            assert room._tf32() == rounds
    finally:
        torch.set_float32_matmul_precision(before)


# --- the switch -------------------------------------------------------------------------------------------------------


def tokens(dtype=torch.float32):
    torch.manual_seed(0)
    return [torch.randn(1, 5, 2, 4, dtype=dtype) for _ in "qkv"] + [torch.zeros(1, 2, 4, 4)]


def marked(q, k, v, **others):
    return torch.full_like(v, 7), others["initial_state"]


def run(dtype=torch.float32):
    return gated_linear_attention(*tokens(dtype), C=4)[0]


@pytest.fixture
def calls(monkeypatch):
    return stand_in(monkeypatch, "linear_attention", marked)


def test_the_kernel_answers_where_it_can_and_pytorch_elsewhere(calls):
    assert (run() == 7).all()
    with use_kernels("torch"):
        assert not (run() == 7).any()
        assert str(kernels()["linear_attention"]) == "PyTorch: asked for"
    assert (run(torch.bfloat16) == 7).all()
    assert run(torch.bfloat16).dtype == torch.float32  # the engine's own promise
    assert not (run(torch.float64) == 7).any()


def test_a_learnt_state_is_taken(calls):
    q, k, v, state = tokens()
    assert (gated_linear_attention(q, k, v, torch.nn.Parameter(state), C=4)[0] == 7).all()


def test_the_switch_holds_without_a_with(calls):
    use_kernels("torch")
    assert not (run() == 7).any()
    use_kernels("auto")
    assert (run() == 7).all()


def test_without_a_device_nothing_is_taken(calls, machine):
    machine(NO_GPU)
    assert not (run() == 7).any()
    assert not calls


def test_forced_and_not_taken_is_one_sentence(calls):
    with use_kernels("fla"):
        assert (run() == 7).all()
        with pytest.raises(
            BadTarget,
            match=r"^linear_attention in flash-linear-attention chunk_simple_gla: float64 was given, "
            r"float32 or bfloat16 is allowed; use_kernels\('auto'\) leaves such calls to PyTorch\.$",
        ):
            run(torch.float64)


def test_forced_without_support_is_one_sentence(machine):
    machine(NO_GPU)
    with pytest.raises(BadTarget, match=r"^use_kernels\('fla'\): no CUDA device; use_kernels\('auto'\) leaves"):
        use_kernels("fla")
    machine(dataclasses.replace(A_GPU, installed={"fla": "0.10.0"}))
    with pytest.raises(
        MissingExtra, match=r"^use_kernels\('mamba_ssm'\): mamba-ssm is not installed; pip install mamba-ssm, or"
    ):
        use_kernels("mamba_ssm")
    assert room._switch.choice == "auto"


def test_another_word_names_the_allowed_ones():
    with pytest.raises(
        UnknownName, match="unknown choice of kernels 'triton': choose from auto, fla, mamba_ssm, torch"
    ):
        use_kernels("triton")


def test_the_choice_is_restored_after_an_error():
    with pytest.raises(RuntimeError, match="inside"), use_kernels("torch"):
        raise RuntimeError("inside")
    assert room._switch.choice == "auto"


# --- those who look on ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", ["auto", "fla"])
def test_whoever_follows_the_operators_sees_pytorch(calls, choice):
    with use_kernels(choice):
        with FlopCounterMode(display=False) as counter:
            assert not (run() == 7).any()
        assert counter.get_total_flops() > 0
        with FakeTensorMode():
            run()
        q, k, v, state = (x.to("meta") for x in tokens())
        gated_linear_attention(q, k, v, state, C=4)
        q, *others = tokens()  # of which vmap wraps none but the first
        per_row = torch.func.vmap(lambda q: gated_linear_attention(q, *others, C=4)[0])
        assert not (per_row(q.unsqueeze(0)) == 7).any()
    assert not calls


@pytest.mark.parametrize("choice", ["auto", "fla"])
def test_a_compiler_sees_pytorch_in_one_graph(calls, choice, monkeypatch):
    monkeypatch.setattr(room, "_looked_at", lambda *given: False)  # nor is it what a compiler's tensors are like
    q, *others = tokens()
    compiled = torch.compile(lambda q: gated_linear_attention(q, *others, C=4)[0], backend="eager", fullgraph=True)
    with use_kernels(choice):
        assert not (compiled(q) == 7).any()
    assert not calls


@every_engine
def test_fake_tensors_on_a_fake_gpu_see_pytorch(engine, machine):
    machine(A_GPU)
    with FakeTensorMode():
        values, state = (torch.empty(1, 5, 2, 4, device="cuda", dtype=t) for t in (torch.bfloat16, torch.float32))
    for choice in room.CHOICES:
        with use_kernels(choice):
            assert room.kernel_for(engine, values, values, state) is None
