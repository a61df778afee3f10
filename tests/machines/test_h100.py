"""The H100's measured profile: what the script makes of the table, and what predictions find in it."""

import csv
import importlib.util
import statistics
from pathlib import Path

import pytest

from seqcost.algebra.work import Kernel, Row
from seqcost.machines import Worth, machine_named
from seqcost.prediction import Basis, Kernels

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
H100 = machine_named("h100")


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("h100_profile", BENCHMARKS / "h100_profile.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def table():
    with (BENCHMARKS / "data" / "h100" / "kernels.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["device_s"]]


def seconds_of(table, operator, sizes, dtype, **flags):
    asked = {"tf32": "0", "cold": "0", "causal": "0"} | flags
    found = [
        float(row["device_s"])
        for row in table
        if (row["operator"], row["sizes"], row["dtype"]) == (operator, sizes, dtype)
        and all(row[name] == value for name, value in asked.items())
    ]
    return statistics.median(found)


def test_the_file_is_what_the_script_makes(script):
    assert script.profile() == script.PROFILE.read_text("utf-8")


def test_the_measured_edition_is_the_one_by_name():
    assert H100.is_measured
    assert H100.edition == "2026-11-27"
    assert not machine_named("h100@datasheet").is_measured
    assert machine_named("NVIDIA H100 80GB HBM3") == H100


def test_no_measured_limit_is_beyond_the_data_sheet():
    sheet = machine_named("h100@datasheet")
    assert 0.7 * sheet.bandwidth.amount < H100.bandwidth.amount <= sheet.bandwidth.amount
    for name, peak in H100.peaks.items():
        assert peak.kind is Worth.MEASURED
        assert 0.7 * sheet.peaks[name].amount < peak.amount <= sheet.peaks[name].amount


def product(m, k, n, itemsize):
    return Row(
        name="p", kernel=Kernel.PRODUCT, operator="addmm", sizes=(m, k, n), itemsize=itemsize,
        contraction=2 * m * k * n, bytes=itemsize * (m * k + k * n + m * n),
    )  # fmt: skip


@pytest.mark.parametrize(("dtype", "itemsize"), [("bfloat16", 2), ("float32", 4)])
def test_a_product_that_was_timed_takes_what_the_table_says(table, dtype, itemsize):
    found = Kernels(H100, dtype).launch(product(4096, 4096, 4096, itemsize))
    assert found.basis is Basis.MEASURED
    assert found.seconds == pytest.approx(seconds_of(table, "linear", "4096 4096 4096", dtype), rel=1e-3)


@pytest.mark.parametrize(
    ("kernel", "operator", "sizes", "dtype"),
    [
        (Kernel.ATTENTION, "_scaled_dot_product_flash_attention_for_cpu", (8, 12, 1024, 1024, 64, 64), "bfloat16"),
        (Kernel.ATTENTION, "_scaled_dot_product_flash_attention_for_cpu_backward", (8, 9, 700, 700, 64, 64), "float32"),
        (Kernel.RECURRENCE, "mkldnn_rnn_layer", (300, 4, 512, 512), "bfloat16"),
        (Kernel.NORM, "native_layer_norm", (700, 768), "bfloat16"),
        (Kernel.SOFTMAX, "_softmax", (700, 768), "float32"),
        (Kernel.FILL, "empty", (5000,), "float32"),
        (Kernel.PRODUCT, "mm", (600, 700, 800), "bfloat16"),
    ],
)  # fmt: skip
def test_what_a_trace_on_a_cpu_names_is_found(kernel, operator, sizes, dtype):
    row = Row(name="x", kernel=kernel, operator=operator, sizes=sizes, contraction=10**9, bytes=10**7)
    assert Kernels(H100, dtype).launch(row).basis is not Basis.PRIOR


def test_products_in_tf32_stand_apart(table):
    plain, fast = (
        [
            one
            for one in H100.series
            if (one.operator, one.dtype, one.tf32, one.pool > 0) == ("addmm", "float32", on, False)
        ]
        for on in (False, True)
    )
    assert len(plain) == len(fast) == 1
    slow_s, fast_s = (dict(zip(one.sizes, one.seconds, strict=True))[8192, 4096, 4096] for one in (*plain, *fast))
    assert slow_s == pytest.approx(seconds_of(table, "linear", "8192 4096 4096", "float32"), rel=1e-3)
    assert slow_s > 5 * fast_s
    assert H100.peaks["tf32"].amount > 5 * H100.peaks["float32"].amount


def test_it_is_small():
    from seqcost.machines.shelf import DATA

    assert (DATA / f"h100_{H100.edition}.toml").stat().st_size < 400_000


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_recurrence_takes_what_its_caller_waits(table, dtype):
    """cuDNN launches several kernels a step; float32 runs in TF32, as PyTorch has it."""
    found = next(one for one in H100.series if (one.operator, one.dtype) == ("_cudnn_rnn", dtype))
    sizes = max(found.sizes, key=lambda sizes: sizes[0])
    called = [float(row["called_s"]) for row in table
              if (row["operator"], row["direction"], row["dtype"]) == ("lstm", "forward", dtype)
              and row["sizes"] == " ".join(map(str, sizes))]  # fmt: skip
    row = Row(name="r", kernel=Kernel.RECURRENCE, operator="mkldnn_rnn_layer", sizes=sizes, contraction=1, bytes=1)
    launch = Kernels(H100, dtype).launch(row)
    assert launch.basis is Basis.MEASURED
    assert launch.seconds == pytest.approx(statistics.median(called), rel=1e-3)
