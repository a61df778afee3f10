"""What several threads keep to sum the gradient of a convolution's weights: oneDNN's split of the work.

Threads split channels, and where there are not enough of them the batch; those that split the batch keep a gradient
each. The split is the one that reads and writes least, by a count of oneDNN's own, and no cache decides it.

Source (oneDNN v3.12, src/cpu/x64): `balance` of jit_avx512_common_conv_kernel.cpp, of its 1x1 sibling and of
jit_uni_dw_conv_kernel_utils.cpp; cpu_reducer.cpp with `init_balancers` of jit_avx2_convolution.hpp; cpu_barrier.hpp.
"""

from collections.abc import Callable
from math import prod

from seqcost.formulas.ops.onednn.sizes import FLOAT, LANES, PAGE, Convolution, booked, up_to

_HALF = 8
_BARRIER = 2 * PAGE  # one page, aligned to one
_NARROW = 3  # channels of a first layer
_MANY_LINES = 9  # of a plane, from which its lines are split as well
_LARGEST_BUFFER = 1 << 21
_LARGEST_BUFFER_A_THREAD = 3 * 5 * 5 * 16 * 16

Split = tuple[int, int, int]  # threads over the batch, over channels made, over channels read


def blocks_summed(c: Convolution, *, bias: bool, last: bool = False) -> int:
    """Bytes of gradients beside the result's, in blocks of 16 channels, with their barriers; `last`: channels are."""
    made = -(-c.group_outputs // LANES)
    batch, threads = _split(c, last=last) if c.threads >= c.groups else (1, c.threads)
    total = _bias_summed(c, threads) if bias else 0
    if batch == 1:
        return total
    inputs = c.inputs if _is_first(c) else up_to(c.group_inputs, LANES)
    numbers = c.groups * made * LANES * (inputs * prod(c.kernel) + 1)
    return total + booked(numbers * (batch - 1) * FLOAT) + _BARRIER


def _bias_summed(c: Convolution, threads: int) -> int:
    jobs = c.groups * -(-c.group_outputs // LANES)
    return _reduced(threads, LANES, jobs, c.batch, threads * _LARGEST_BUFFER_A_THREAD)


def _is_first(c: Convolution) -> bool:
    return c.groups == 1 and c.inputs <= _NARROW


def _split(c: Convolution, *, last: bool) -> tuple[int, int]:
    """Threads over the batch, and in all."""
    block = c.inputs if _is_first(c) else LANES
    read, made = -(-c.group_inputs // block), -(-c.group_outputs // LANES)
    planes = not last and len(c.points_in) == 2 and c.dilation[0] == 1 and c.points_out[0] > _MANY_LINES
    lines_in, lines_out = (c.points_in[-2], c.points_out[-2]) if planes else (1, 1)
    depth_in, depth_out, depth_step = (
        (c.points_in[0], c.points_out[0], c.stride[0]) if len(c.points_in) == 3 else (1, 1, 1)
    )
    rows_in, rows_out = prod(c.points_in[-2:]) // lines_in, prod(c.points_out[-2:]) // lines_out
    parts = c.batch * depth_out * max(1, lines_out // _MANY_LINES)

    def traffic(split: Split) -> int:
        batch, over_made, over_read = split
        x = _share(c.batch * lines_in, batch) * _share(read, over_read) * block * rows_in * depth_in
        x = x // depth_step // c.stride[-2] // c.stride[-1]
        y = _share(c.batch * lines_out, batch) * _share(made, over_made) * LANES * rows_out * depth_out
        weight = _share(made, over_made) * _share(read, over_read) * prod(c.kernel) * block * LANES
        return x + y + 8 * weight

    def work(split: Split) -> int:
        batch, over_made, over_read = split
        return _share(c.batch * lines_out, batch) * _share(made, over_made) * _share(read, over_read)

    splits = _splits(c.threads // c.groups, parts, made, read)
    best, least = _least(splits, traffic)
    lightest = work(best)
    for split in splits:
        if (work(split) <= lightest and traffic(split) < 1.1 * least) or 4 * work(split) <= 3 * lightest:
            best, lightest = split, work(split)
    batch = _evened(best[0], c.threads, parts)
    return batch, batch * c.groups * best[1] * best[2]


def points_summed(c: Convolution, *, bias: bool) -> tuple[int, int]:
    """The same for kernels of one point, and the threads that work."""
    points = prod(c.points_out)
    at_once = _divisor(points, 7, 16, largest=True)
    if points % at_once:
        at_once = _divisor(c.points_out[-1], 4, c.points_out[-1], largest=False)
    at_once = 1 if at_once > 256 else at_once
    steps = -(-points // at_once)
    read, made = -(-c.inputs // LANES), -(-c.outputs // LANES)

    def traffic(split: Split) -> int:
        batch, over_made, over_read = split
        parts = _share(c.batch * steps, batch) * LANES * at_once
        shares = _share(made, over_made), _share(read, over_read)
        return parts * sum(shares) + 12 * prod(shares) * LANES**2

    best, _ = _least(_splits(c.threads, c.batch * steps, made, read), traffic)
    batch = _evened(best[0], c.threads, c.batch)
    threads = batch * best[1] * best[2]
    total = _bias_summed(c, threads) if bias else 0
    if batch > 1:
        total += booked(read * made * LANES**2 * (batch - 1) * FLOAT) + _BARRIER
    return total, threads


def depthwise_summed(c: Convolution, *, bias: bool) -> int:
    """Bytes of gradients beside the result's for kernels of one channel each."""
    channels = up_to(c.groups, LANES)
    over_channels = min(channels // LANES, c.threads)
    summing = min(max(1, c.threads // over_channels), c.batch)
    extra = channels * (summing - 1) * FLOAT
    return booked(extra * prod(c.kernel)) + (booked(extra) if bias else 0)


def narrow_blocks_summed(c: Convolution, *, bias: bool) -> int:
    """Bytes of gradients beside the result's in blocks of 8 channels, with their barriers."""
    read, made = -(-c.group_inputs // _HALF), -(-c.group_outputs // _HALF)
    depth = c.points_out[0] if len(c.points_out) == 3 else 1
    summed = _reduced(c.threads, prod(c.kernel) * _HALF**2, c.groups * read * made, c.batch * depth, _LARGEST_BUFFER)
    return summed + (_reduced(c.threads, _HALF, c.groups * made, c.batch, _LARGEST_BUFFER) if bias else 0)


def _reduced(threads: int, size: int, jobs: int, parts: int, largest: int) -> int:
    """Bytes for jobs of so many numbers each, whose parts are summed by groups of threads."""
    fewest, most = max(1, jobs // threads), max(1, largest // (threads * size))

    def grouped(jobs_a_group: int) -> tuple[int, int, int]:
        groups = min(jobs // jobs_a_group, threads)
        return groups, min(threads // groups, parts), -(-jobs // groups)

    best, least = grouped(fewest), jobs * size * parts
    for jobs_a_group in range(fewest, jobs):
        groups, together, share = grouped(jobs_a_group)
        if together > 1 and share > most:
            continue
        cost = size * share * (-(-parts // together) + (together != 1))
        if cost < least:
            best, least = (groups, together, share), cost
    groups, together, share = best
    if together == 1:
        return 0
    return groups * (together - 1) * share * size * FLOAT + PAGE + (groups + 1) * PAGE


def _splits(threads: int, parts: int, made: int, read: int) -> list[Split]:
    return [
        (batch, over_made, min(threads // batch // over_made, read))
        for batch in range(1, min(threads, parts) + 1)
        for over_made in range(1, min(threads // batch, made) + 1)
    ]


def _least(splits: list[Split], traffic: Callable[[Split], int]) -> tuple[Split, int]:
    """The last of the splits that move least; all threads at one is where the search begins."""
    best: Split = (1, 1, 1)
    least = traffic(best)
    for split in splits:
        if traffic(split) <= least:
            best, least = split, traffic(split)
    return best, least


def _evened(summing: int, threads: int, parts: int) -> int:
    return min(parts, threads) if threads // 2 < summing < threads else summing


def _share(amount: int, threads: int) -> int:
    return -(-amount // threads)


def _divisor(number: int, smallest: int, most: int, *, largest: bool) -> int:
    """The one within bounds that leaves least over."""
    most = max(1, min(most, number))
    candidates = range(max(1, min(smallest, most)), most + 1)

    def left_over(divisor: int) -> float:
        filled = up_to(number, divisor)
        return (filled - number) / filled

    return min(candidates, key=lambda divisor: (left_over(divisor), -divisor if largest else divisor))
