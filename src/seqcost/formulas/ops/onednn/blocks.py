"""The blocks into which oneDNN cuts a strided convolution where it undoes its steps.

oneDNN tries blocks of channels, of points of a line and of the kernel, and takes those of which it expects most.

Source (oneDNN v3.12): src/cpu/x64/jit_brgemm_conv_bwd_utils.cpp `init_conf`, `calc_blocks`, `iterate_ker_block`,
`fast_check_ic_block`.
"""

from collections.abc import Iterator
from functools import lru_cache
from math import ceil, prod

from seqcost.formulas.ops.onednn.estimate import Blocks, Estimate, cache_bytes, deep, is_one_product
from seqcost.formulas.ops.onednn.sizes import FLOAT, Convolution, up_to

_LEAST = 0.00001  # estimate from which blocks are taken


@lru_cache(maxsize=4096)
def best_blocks(c: Convolution, lanes: int) -> Blocks | None:
    """The blocks of vectors of so many lanes; None where oneDNN expects too little of any."""
    most, found = 0.0, None
    for blocks in _tried(c, lanes):
        expected = Estimate(c, lanes, blocks).efficiency(most)
        if expected > most and expected >= _LEAST:
            most, found = expected, blocks
    return found


def beyond(c: Convolution) -> list[int]:
    """Points that are read along each dimension beyond those that there are, before and after."""
    sizes = zip(c.span, c.padding, c.padding_after, c.stride, strict=True)
    return [max(0, span - 1 - a) // step + max(0, span - 1 - b) // step for span, a, b, step in sizes]


def _tried(c: Convolution, lanes: int) -> Iterator[Blocks]:
    filled = up_to(c.group_inputs, lanes)
    for vectors in range(min(filled // lanes, 4), 0, -1):
        channels = vectors * lanes
        if not _fits(c, channels, filled):
            continue
        (depth, height, _), (step_d, step_h, _) = deep(c.kernel), deep(c.stride)
        for kernel_d in (depth, step_d)[: 2 if depth > 1 else 1]:
            for kernel_h in (height, step_h)[: 2 if height > 1 else 1]:
                planes, lines = _rows(c, channels)
                for line in _lines(c, channels):
                    yield Blocks(channels, line, lines, planes, (kernel_d, kernel_h, c.kernel[-1]))


def _fits(c: Convolution, channels: int, filled: int) -> bool:
    """Whether a block of channels is tried at all."""
    if is_one_product(c):
        if channels == 64:
            return filled % 64 == 0 and prod(c.points_in) >= 64 * prod(c.stride)
        return channels != 48 or c.group_inputs / up_to(c.group_inputs, 48) >= 0.95
    if channels == 64:
        return filled % 64 == 0 and filled < 192
    large = prod(c.points_out) > 81 * prod(c.stride)
    return channels != 48 or (filled % 48 == 0 and filled <= 384 and large)


def _rows(c: Convolution, channels: int) -> tuple[int, int]:
    """Planes and lines of a block: as many as half the second cache holds, and enough blocks for all threads."""
    second = cache_bytes()[1]
    (depth, height, width), (step_d, step_h, _) = deep(c.points_in), deep(c.stride)
    read_d, read_h, read_w = deep(tuple(a + b for a, b in zip(c.points_out, beyond(c), strict=True)))
    line_bytes = FLOAT * (2 * c.group_outputs * read_w + width * channels)
    other_bytes = FLOAT * channels * (prod(c.kernel) * c.group_outputs + 2 * 16)
    left = min(-(-second // 2), max(0, second - other_bytes))
    planes, lines = 1, height
    if read_d * read_h * line_bytes > left:
        planes = min(max(1, left // (read_h * line_bytes)), depth)
        lines = min(max(1, left // line_bytes), height) if planes == 1 else height
    groups = c.groups if c.group_inputs > 32 else 1
    sharing = -(-c.threads // (c.batch * -(-groups * c.group_inputs // channels)))
    shared = -(-depth // sharing)
    planes = min(planes, shared)
    lines = min(lines, -(-height // (sharing * -(-depth // shared))))
    return _whole_steps(planes, depth, step_d), _whole_steps(lines, height, step_h)


def _whole_steps(block: int, points: int, step: int) -> int:
    while block < points and (block % step or (points % step == 0 and points % block)):
        block += 1
    return block


def _lines(c: Convolution, channels: int) -> Iterator[int]:
    """Points along a line that are tried, most first."""
    width, step = c.points_in[-1], c.stride[-1]
    uneven = width % step != 0
    points = up_to(width, step)
    blocks = -(-c.group_inputs // channels)
    enough = ceil(c.batch * c.groups * blocks * prod(c.points_in) / (0.9 * c.threads))
    most = min(enough, points, width)
    most = up_to(most, step) if uneven else most
    before, parts = 0, 1
    while parts <= points:
        line = -(-points // parts)
        if line != before and line <= most and line % step == 0 and (uneven or width % line == 0):
            before = line
            yield line
        parts = parts + 1 if line == 1 else max(parts + 1, -(-points // (line - 1)))
