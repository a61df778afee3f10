"""What one launch of a kernel takes on a machine: from its own measured points, from its kin's, or from the roofline.

The order is fixed and every answer says which it was: the operator's own series (measured, interpolated, extrapolated);
a series of the same kind of kernel (a prior, wider); peak and bandwidth of the profile alone (a prior, widest). Nothing
is ever 0, and nothing is a constant that no profile names. Where the profile has a cache with a bandwidth of its own,
traffic that it can hold is bounded by that instead of by main memory.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from seqcost.algebra.work import Kernel, Row
from seqcost.errors import BadMachine
from seqcost.machines import Machine, Series
from seqcost.prediction.interval import HALF, NINETY
from seqcost.prediction.points import Basis, Points
from seqcost.prediction.residence import Reused, shares_of

# Spreads (standard deviations of the logarithm) where a profile has no error of its own to give. Others' figures:
# operators by roofline alone err by 22 to 55 % (NeuSight's data), fixed efficiencies by 64 to 341 %.
SPREAD_OF_KIN = 0.5
SPREAD_OF_ROOFLINE = 0.6
SPREAD_UNTESTED = 0.15  # of a series without an error of its own
CLOSER = 0.5  # an error found by leaving points out is that of neighbours twice as far away
WIDER_PER_DISTANCE = 0.3  # of an extrapolation, for each factor e away from what was measured
LEAST_STREAMED = 0.25  # of what a kernel usually moves an element
ROOFLINE_SHARE = 0.7  # of the roofline that kernels reach (AutoParallel's constant), a prior that its spread covers

# Fused attention of GPUs; which one runs depends on the data type and the library, and a CPU's trace names its own.
OF_GPUS = (
    "_scaled_dot_product_flash_attention", "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_efficient_attention",
)  # fmt: skip
# The same kernel under another name, or one that does the same work.
SAME: Mapping[str, tuple[str, ...]] = {
    "mm": ("addmm",), "addmm": ("mm",), "addmv": ("addmm",), "mv": ("mm", "addmm"), "baddbmm": ("bmm",),
    "matmul": ("bmm",), "linear": ("addmm",), "native_batch_norm": ("native_layer_norm",),
    "empty": ("zeros",), "full": ("zeros",), "new_zeros": ("zeros",), "full_like": ("ones_like",), "fill": ("zeros",),
    "zero": ("zeros",), "arange": ("zeros",), "copy": ("clone",), "contiguous": ("clone",), "rsub": ("sub",),
    "gt": ("lt",), "le": ("ge",), "ne": ("eq",), "logical_and": ("eq",), "logical_not": ("eq",), "bitwise_not": ("eq",),
    "bitwise_and": ("eq",), "log2": ("log",), "hardtanh": ("relu",), "clamp_min": ("relu",), "clamp": ("relu",),
    "leaky_relu": ("relu",), "sgn": ("abs",), "sign": ("abs",), "addcdiv": ("addcmul",), "slice_backward": ("zeros",),
    "index_select": ("index",), "index_put": ("scatter_add",), "index_add": ("scatter_add",),
    "amin": ("amax",), "max": ("amax",), "argmax": ("amax",), "native_group_norm": ("native_layer_norm",),
    "native_group_norm_backward": ("native_layer_norm_backward",), "_fused_rms_norm": ("native_layer_norm",),
    "_fused_rms_norm_backward": ("native_layer_norm_backward",), "argsort": ("sort",), "cumprod": ("cumsum",),
    "zeros_like": ("zeros",), "ones_like": ("zeros",), "index": ("index_select",),
    "mkldnn_rnn_layer": ("_cudnn_rnn",), "mkldnn_rnn_layer_backward": ("_cudnn_rnn_backward",),
    **{
        f"{name}{way}": tuple(f"{other}{way}" for other in OF_GPUS if other != name)
        for name in ("_scaled_dot_product_flash_attention_for_cpu", *OF_GPUS)
        for way in ("", "_backward")
    },
}  # fmt: skip
IN_TF32 = (Kernel.CONVOLUTION, Kernel.RECURRENCE)  # of float32, as PyTorch runs them on a GPU unless told otherwise
ALIKE = {Kernel.BATCHED_PRODUCT: Kernel.PRODUCT, Kernel.PRODUCT: Kernel.BATCHED_PRODUCT}


class Bound(StrEnum):
    """What a time is bound by."""

    COMPUTE = "compute"
    MEMORY = "memory traffic"
    LAUNCHES = "launches"


@dataclass(frozen=True, slots=True)
class Launch:
    """Seconds of one launch, how much their logarithm may stray, and what they rest on."""

    seconds: float
    spread: float
    basis: Basis
    bound: Bound
    series: str  # what was looked up; launches of one series err together


@dataclass(frozen=True)
class Kernels:
    """The kernels of a machine in one data type."""

    machine: Machine
    dtype: str

    @cached_property
    def peak(self) -> float:
        """FLOP/s. Raises BadMachine where the profile does not know this data type."""
        if self.dtype not in self.machine.peaks:
            known = ", ".join(self.machine.peaks) or "none"
            raise BadMachine(
                f"{self.machine.name} has no peak for {self.dtype}; its profile knows {known}: choose one of those, "
                "or add it to the profile."
            )
        return self.machine.peaks[self.dtype].amount

    @cached_property
    def levels(self) -> tuple[tuple[float, float, str], ...]:
        """Bytes that fit, the bytes a second that come from there, and its name; main memory holds everything."""
        if self.machine.bandwidth is None:
            raise BadMachine(f"{self.machine.name} has no bandwidth of its memory; add it to the profile.")
        caches = [(c.size.amount, c.bandwidth.amount, c.name) for c in self.machine.caches if c.bandwidth is not None]
        return (*sorted(caches), (math.inf, self.machine.bandwidth.amount, "memory"))

    @cached_property
    def floor(self) -> float:
        """Seconds of a launch of nothing; 0 where the profile does not know it."""
        return self.machine.launch.amount if self.machine.launch else 0.0

    def roofline(self, flops: float, moved: float) -> float:
        """The least seconds of some FLOPs and bytes."""
        bandwidth = next(rate for size, rate, _ in self.levels if moved <= size)
        return max(flops / self.peak, moved / bandwidth)

    @cached_property
    def _series(self) -> dict[tuple[str, str], Points]:
        return {key: pools[0] for key, pools in self._by_pool.items() if 0 in pools}

    @cached_property
    def _by_pool(self) -> dict[tuple[str, str], dict[int, Points]]:
        found: dict[tuple[str, str], dict[int, Points]] = {}
        for one in self._usable:
            if not one.again:
                found.setdefault((one.kernel, one.operator), {})[one.pool] = Points(one, self.roofline, self.floor)
        return found

    @cached_property
    def _in_loops(self) -> dict[str, Points]:
        """By kernel, one that was timed as it follows itself."""
        return {one.kernel: Points(one, self.roofline, self.floor) for one in self._usable if one.again}

    @property
    def _usable(self) -> Iterator[Series]:
        for one in self.machine.series:
            if one.dtype == self.dtype and len(one) and not one.causal and (not one.tf32 or one.kernel in IN_TF32):
                yield one

    def launch(self, row: Row, reused: Reused = (), again: float = 1.0) -> Launch:
        """One launch of a row, whose amounts are those of all its launches.

        `reused` are shares of its operands, each with the bytes that the run touches between two uses of them; `again`
        is the share of a small launch's time that one takes which follows itself, 1 where it does not.
        """
        count = float(row.launches)
        flops, moved = float(row.contraction) / count, float(row.bytes) / count
        bound = self._bound(flops, moved)
        sizes = [float(size) for size in row.sizes]
        points, own = self._series_for(row) if sizes else (None, False)
        if points is None:
            seconds = self.floor + self.roofline(flops, moved) / ROOFLINE_SHARE
            return Launch(seconds, SPREAD_OF_ROOFLINE, Basis.PRIOR, bound, f"{row.kernel}: roofline")
        if row.kernel == Kernel.RECURRENCE:  # lines of the paper share its launch, and each has FLOPs of its own
            flops = _of_recurrence(points, sizes)
        if len(sizes) == 1:
            sizes = [_streamed(points, sizes[0], moved)]
        found = points.find(sizes, flops, moved)
        seconds = found.seconds
        if again < 1.0:
            seconds = self._repeated(row.kernel, sizes, points, seconds, again)
        seconds += self._fetched(row, sizes, moved, reused)
        seconds = max(seconds, self.roofline(flops, moved))  # no blend of points is quicker than the machine
        spread = self._spread(points, found.basis, found.distance)
        if own:
            return Launch(seconds, spread, found.basis, bound, f"{row.kernel}: {points.series.operator}")
        name = f"{row.kernel}: as {points.series.operator}"
        return Launch(seconds, math.hypot(spread, SPREAD_OF_KIN), Basis.PRIOR, bound, name)

    def _repeated(self, kernel: str, sizes: list[float], points: Points, seconds: float, again: float) -> float:
        """What a launch takes that follows itself: its code is there, and so is what a thin product reads."""
        tight = self._in_loops.get(kernel)
        if tight is not None and tight.holds(sizes):
            return min(seconds, tight.find(sizes, *_amounts(tight, sizes)).seconds)
        return seconds - (1.0 - again) * min(points.start, seconds)

    def _fetched(self, row: Row, sizes: list[float], moved: float, reused: Reused) -> float:
        """Seconds by which a launch is slower since its operands come from farther away than from one launch before.

        By series of its kind that were timed in pools; where there are none, by those of the one that stands for all,
        at as many bytes. What lies beyond them costs as much a byte as at their edge, and rows that share a weight
        fetch it once.
        """
        pools = self._pools.get(row.kernel)
        if pools is None:
            pools = self._pools.get(Kernel.ELEMENTWISE)
            if pools is None:
                return 0.0
            one = pools[0].series
            sizes = [moved * one.sizes[0][0] / one.bytes[0]]
        inside = pools[max(pools)].clipped(sizes)
        weights = slice(1, None) if pools[0].series.kernel == Kernel.PRODUCT else slice(None)
        larger = math.prod(sizes[weights]) / math.prod(inside[weights])
        shares: dict[int, float] = {}
        for part, touched in reused:
            for pool, share in shares_of(touched, [pool for pool in pools if pool], self.machine).items():
                shares[pool] = shares.get(pool, 0.0) + part * share
        if not shares:
            return 0.0
        if row.kernel != Kernel.PRODUCT:  # what is itself as large as a pool came from as far already
            shares = {pool: share for pool, share in shares.items() if pool > moved}
        amounts = _amounts(pools[0], inside)
        quick = pools[0].find(inside, *amounts).seconds
        slower = (
            share * max(pools[pool].find(inside, *amounts).seconds - quick, 0.0) for pool, share in shares.items()
        )
        return larger * sum(slower)

    @cached_property
    def _pools(self) -> dict[str, dict[int, Points]]:
        """By kernel, the series of the operator that was timed in pools, one of each."""
        return {kernel: pools for (kernel, _), pools in self._by_pool.items() if len(pools) > 1 and 0 in pools}

    def _bound(self, flops: float, moved: float) -> Bound:
        if self.floor > self.roofline(flops, moved):
            return Bound.LAUNCHES
        by_compute = flops / self.peak >= self.roofline(0.0, moved)
        return Bound.COMPUTE if by_compute else Bound.MEMORY

    def _series_for(self, row: Row) -> tuple[Points | None, bool]:
        """The series to look in, and whether it is the operator's own or that of the same kernel by another name."""
        operator = row.operator or row.name.rpartition(":")[2]
        for name in (operator, *SAME.get(operator, ())):
            if points := self._series.get((row.kernel, name)):
                return points, True
        for kind in dict.fromkeys((row.kernel, ALIKE.get(row.kernel, row.kernel))):
            kin = [points for (kernel, _), points in self._series.items() if kernel == kind]
            of_its_axes = [p for p in kin if len(p.series.sizes[0]) == len(row.sizes)]
            if of_its_axes:
                return max(of_its_axes, key=lambda p: len(p.series)), False
        return None, False

    def _spread(self, points: Points, basis: Basis, distance: float) -> float:
        error = self.machine.error.get(points.series.kernel) or self.machine.error.get("all")
        tested = CLOSER * max(error[0] / HALF, error[1] / NINETY) if error else SPREAD_UNTESTED
        if basis is Basis.MEASURED:
            return min(tested, SPREAD_UNTESTED)
        return math.hypot(tested, WIDER_PER_DISTANCE * distance) if basis is Basis.EXTRAPOLATED else tested


def _amounts(points: Points, sizes: Sequence[float]) -> tuple[float, float]:
    """FLOPs and bytes of a product in the format that was timed; of what streams none, since its time is all."""

    def elements(m: float, k: float, n: float) -> float:
        return m * k + k * n + m * n

    one = points.series
    if one.kernel != Kernel.PRODUCT:
        return 0.0, 0.0
    return 2 * math.prod(sizes), one.bytes[0] * elements(*sizes) / elements(*map(float, one.sizes[0]))


def _of_recurrence(points: Points, sizes: Sequence[float]) -> float:
    """FLOPs of all gates of a fused recurrence, which are as those that were timed."""

    def multiplied(steps: float, sequences: float, width: float, hidden: float) -> float:
        return steps * sequences * hidden * (width + hidden)

    one = points.series
    return one.flops[0] * multiplied(*sizes) / multiplied(*map(float, one.sizes[0]))


def _streamed(points: Points, elements: float, moved: float) -> float:
    """As many elements of the kernel that was timed as take the traffic of a launch that moves less for each.

    One operand is a number, or its elements are flags of a byte. What is broadcast is still computed with.
    """
    one = points.series
    usual = elements * one.bytes[-1] / one.sizes[-1][0]
    return max(elements * min(1.0, moved / usual), LEAST_STREAMED * elements) if usual else elements
