"""A machine whose kernels obey a rule, so that what a prediction must be is known."""

from seqcost.machines import Cache, Learnt, Machine, Series, Value, Worth
from seqcost.prediction.interval import NINETY

PEAK, BANDWIDTH, NEAR, FLOOR = 1e11, 1e10, 1e11, 2e-6
L3 = 2**25


def value(amount, unit, error=None):
    return Value(amount=amount, unit=unit, kind=Worth.MEASURED, source="a rule", date="2026", error=error)


def series(kernel, operator, points, *, pool=0, dtype="float32"):
    """From {sizes: (flops, bytes, seconds)}."""
    flops, moved, seconds = zip(*points.values(), strict=True)
    return Series(
        kernel=kernel, operator=operator, direction="forward", dtype=dtype, pool=pool, date="2026", source="a rule",
        sizes=tuple(points), flops=flops, bytes=moved, seconds=seconds, low=seconds, high=seconds,
    )  # fmt: skip


def learnt(*, spread=0.2, **factors):
    """Factors by part and by phase."""
    phases = {name: value(factors.pop(name), "1") for name in ("forward", "train", "decode") if name in factors}
    return Learnt(
        parts={name: value(factor, "1") for name, factor in factors.items()}, phases=phases, spread=value(spread, "1"),
        num_runs=30, num_targets=10, before=(0.3, 0.6), after=(0.15, 0.4),
    )  # fmt: skip


def add_seconds(n, *, cold=False):
    """A start and so much an element."""
    return FLOOR + 12 * n / (BANDWIDTH if cold else NEAR)


def product_seconds(m, k, n):
    """Half of the peak, upon a start."""
    return FLOOR + 2 * m * k * n / (PEAK / 2)


def recurrence_seconds(steps, width=64):
    """A start of its own and so much a step, the more the wider."""
    return 5e-5 + steps * 1e-7 * width


def recurrence(widths=(64,), numbers=(1, 16, 64, 256)):
    """A fused LSTM over so many steps, of one sequence."""
    points = {
        (T, 1, width, width): (16.0 * T * width**2, 8.0 * T * width, recurrence_seconds(T, width))
        for width in widths
        for T in numbers
    }
    return series("recurrence", "mkldnn_rnn_layer", points)


def machine(**changes):
    adds = {(2**p,): (0.0, 12.0 * 2**p, add_seconds(2**p)) for p in (6, 12, 16, 20)}
    far = {(2**p,): (0.0, 12.0 * 2**p, add_seconds(2**p, cold=True)) for p in (12, 16, 20)}
    products = {
        (m, k, k): (2.0 * m * k * k, 4.0 * (2 * m * k + k * k), product_seconds(m, k, k))
        for m in (1, 16, 256)
        for k in (64, 256, 1024)
    }
    fields = {
        "name": "toy", "title": "a toy", "device": "cpu", "edition": "2026", "memory": value(2**34, "B"),
        "bandwidth": value(BANDWIDTH, "B/s"), "peaks": {"float32": value(PEAK, "FLOP/s")},
        "caches": (Cache(name="L3", size=value(L3, "B"), bandwidth=value(NEAR, "B/s")),),
        "launch": value(FLOOR, "s"), "stray": value(0.05, "1"),
        "series": (
            series("elementwise", "add", adds), series("elementwise", "add", far, pool=2**27),
            series("product", "addmm", products),
        ),
        "host": {"any": {"plain": value(1e-6, "s", 0.3), "recording": value(2e-6, "s"), "backward": value(3e-6, "s")}},
        "error": {"all": (0.05, 0.2)},
    }  # fmt: skip
    return Machine(**fields | changes)


def launched_apart(**changes):
    """One that knows what a launch, a view and a call of a module cost its caller; and a launch on average."""
    costs = {"launch": (1e-6, 2e-6, 4e-6), "view": (1e-7, 2e-7, 4e-7), "module": (1e-5,), "any": (7e-6,)}
    ways = ("plain", "recording", "backward")
    host = {
        name: {way: value(cost, "s", 0.1 * NINETY) for way, cost in zip(ways, of, strict=False)}
        for name, of in costs.items()
    }
    return machine(host=host, **changes)
