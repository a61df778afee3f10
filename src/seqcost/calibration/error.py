"""What a profile errs by at sizes that it does not know: each point predicted from all others of its kernel.

Points at the edge are left out of this, since nothing lies beyond them; prediction says of such sizes that they are
extrapolated. The neighbours of a point that is left out are about twice as far as those of a size between points.
"""

import statistics
from collections.abc import Mapping

from seqcost.machines import Machine
from seqcost.prediction.kernels import Kernels
from seqcost.prediction.points import Basis, Points

FEWEST = 4  # points of a series, below which none can be left out


def left_out(machine: Machine) -> Mapping[str, tuple[float, float]]:
    """Median and 90th percentile of |predicted / measured − 1|, by kernel and of "all"."""
    found: dict[str, list[float]] = {"all": []}
    for series in machine.series:
        if len(series) < FEWEST:
            continue
        kernels = Kernels(machine, series.dtype)
        points = Points(series, kernels.roofline, kernels.floor)
        for i, sizes in enumerate(series.sizes):
            other = points.find([float(n) for n in sizes], series.flops[i], series.bytes[i], leaving_out=i)
            if other.basis is Basis.INTERPOLATED:
                error = abs(other.seconds / series.seconds[i] - 1)
                found.setdefault(series.kernel, []).append(error)
                found["all"].append(error)
    return {kernel: _middle(errors) for kernel, errors in found.items() if errors}


def _middle(errors: list[float]) -> tuple[float, float]:
    ordered = sorted(errors)
    return round(statistics.median(ordered), 4), round(ordered[min(int(0.9 * len(ordered)), len(ordered) - 1)], 4)
