"""What oneDNN expects of a way to cut a strided convolution into blocks, where it undoes its steps.

The estimate is how well vectors and threads are filled, times how much of what is read still lies in a core's caches:
for each loop over blocks the numbers that one turn reads and makes, and how often it comes back to them. The caches'
sizes are the machine's.

Source (oneDNN v3.12, src/cpu/x64): jit_brgemm_conv_bwd_utils.cpp `est_eff`, `est_eff_1x1`, `io_k`; brgemm/
brgemm_utils.cpp `brgemm_blocking_vmm`.
"""

from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import NamedTuple

from seqcost.formulas.ops.onednn.sizes import FLOAT, Convolution, up_to

_NEAR, _FAR, _FARTHEST = 1, 3, 15  # what a number costs from the first cache, the second, and beyond
_GUESSED_BYTES = 32 * 1024, 512 * 1024  # of caches that the machine does not tell
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


@dataclass(frozen=True)
class Blocks:
    """Channels that are read, points along a line, lines, planes, and points of the kernel, all of one block."""

    channels: int
    line: int
    lines: int
    planes: int
    kernel: tuple[int, int, int]


class _Loop(NamedTuple):
    """Numbers read, weights and numbers made in one turn of a loop, and how often it comes back to each of them."""

    read: int
    weights: int
    made: int
    again: tuple[int, int, int] = (1, 1, 1)
    overlap: int = 1  # how often what is read is met in one turn


def deep(sizes: tuple[int, ...]) -> tuple[int, int, int]:
    """Sizes of planes, lines and points, whatever the dimensions."""
    return (1, *sizes) if len(sizes) == 2 else sizes  # type: ignore[return-value]


def is_one_product(c: Convolution) -> bool:
    """Whether the kernel is one point and meets no padding."""
    return c.is_one_point and all(n <= 0 for n in (*c.padding, *c.padding_after))


@cache
def cache_bytes() -> tuple[int, int]:
    """Bytes of a core's first and second cache, as Linux tells them."""
    found = dict(zip((1, 2), _GUESSED_BYTES, strict=True))
    names, own = ("level", "type", "size", "shared_cpu_map"), 1
    for folder in sorted(_CACHES.glob("index*")):
        level, kind, size, sharing = ((folder / name).read_text().strip() for name in names)
        if int(level) in found and kind != "Instruction" and size.endswith("K"):
            threads = int(sharing.replace(",", ""), 16).bit_count()
            own = threads if level == "1" else own  # of one core
            found[int(level)] = int(size[:-1]) * 1024 // max(1, threads // own)
    return found[1], found[2]


class Estimate:
    """What oneDNN expects of blocks."""

    def __init__(self, c: Convolution, lanes: int, blocks: Blocks) -> None:
        self._c, self._lanes, self._blocks = c, lanes, blocks
        self._points = up_to(c.points_in[-1], c.stride[-1])
        self._wide, self._tall, self._deep = deep(c.points_in)[::-1]
        uneven = c.points_in[-1] % c.stride[-1] != 0
        weights = c.group_inputs * prod(c.kernel)
        self._by_image = uneven or prod(c.points_out) >= weights  # the order of loops: blocks of channels innermost
        self._channel_blocks = -(-c.group_inputs // blocks.channels)
        self._line_blocks = -(-self._wide // blocks.line)
        self._row_blocks = -(-self._tall // blocks.lines)
        self._plane_blocks = -(-self._deep // blocks.planes)
        self._areas = self._plane_blocks * self._row_blocks * self._line_blocks
        self._work = c.batch * c.groups * self._channel_blocks * self._areas
        self._job = -(-self._work // c.threads)
        self._rows_at_once = self._registers()

    def efficiency(self, least: float) -> float:
        """A number to compare; 0 where it cannot be more than the least that matters."""
        c, blocks, ur, line = self._c, self._blocks, self._rows_at_once, self._blocks.line
        vectors = blocks.channels // self._lanes
        registers = 32 if self._lanes == 16 else 16
        kernel = vectors * ur / ((ur + vectors) * registers)
        product = (1 + ur * (2 - min(1.9, ur / line)) / 64) / 2
        channels = c.group_inputs / up_to(c.group_inputs, blocks.channels)
        filled = (self._points / up_to(self._points, line)) * (line / up_to(line, ur))
        alone = channels * kernel * filled * self._from_caches() * product
        return alone * self._shared() if alone > least else 0.0

    def _registers(self) -> int:
        """Rows of a product that vectors are kept for."""
        c, blocks = self._c, self._blocks
        rows = -(-blocks.line // c.stride[-1])
        columns = blocks.channels if c.group_inputs >= blocks.channels else c.group_inputs % blocks.channels
        vectors = columns // self._lanes
        beside = max(1, min(4, vectors))
        most = (31 - beside) // beside if self._lanes == 16 else (3 if beside == 4 else (15 - beside) // beside)
        best, chosen = 0.0, most
        for taken in range(most, 0, -1):
            expected = (rows / up_to(rows, taken)) * (beside * taken / ((beside + taken) * most))
            if FLOAT * taken * c.group_outputs <= cache_bytes()[0] and expected > best:
                best, chosen = expected, taken
        return chosen

    def _shared(self) -> float:
        """How evenly threads are busy."""
        threads, work = self._c.threads, self._work
        if self._job >= threads:
            return work / up_to(work, threads)
        fewer, more = work // threads, work % threads
        shares, start = [], 0
        for thread in range(min(work, threads)):
            taken = fewer + (thread < more)
            shares.append(self._share(start, taken))
            start += taken
        return sum(shares) / (max(shares) * threads)

    def _share(self, start: int, taken: int) -> int:
        """Numbers that a thread makes; areas are counted as oneDNN counts them, which passes over every second one."""
        c, blocks = self._c, self._blocks
        sizes = (c.batch, self._deep, self._tall, self._line_blocks, c.groups, self._channel_blocks)
        order = (0, 1, 2, 3, 4, 5) if self._by_image else (0, 4, 5, 1, 2, 3)
        place = [0] * 6
        for axis in reversed(order):
            start, place[axis] = divmod(start, sizes[axis])
        made = 0
        for _ in range(taken):
            points = min(self._points - place[3] * blocks.line, blocks.line)
            made += points * min(c.group_inputs - place[5] * blocks.channels, blocks.channels)
            for way in ((0, 1, 2, 3, 4, 5), order):
                for axis in reversed(way):
                    place[axis] = (place[axis] + 1) % sizes[axis]
                    if place[axis]:
                        break
        return made

    def _thread_parts(self) -> tuple[int, int, int, int, int]:
        """Channels, points along a line, lines, planes and images that one thread meets."""
        c, blocks, job = self._c, self._blocks, self._job
        of_channels = min(self._channel_blocks, -(-job // (1 if self._by_image else self._areas)))
        line_job = c.groups * self._channel_blocks if self._by_image else 1
        of_lines = min(self._line_blocks, -(-job // line_job))
        row_job = self._line_blocks * line_job
        of_rows = min(self._row_blocks, -(-job // row_job))
        of_planes = min(self._plane_blocks, -(-job // (self._row_blocks * row_job)))
        self._counts = of_channels, of_lines, of_rows, of_planes
        return (
            min(c.group_inputs, of_channels * blocks.channels),
            min(self._points, of_lines * blocks.line),
            min(self._tall, of_rows * blocks.lines),
            min(self._deep, of_planes * blocks.planes),
            min(c.batch, -(-job // (self._areas * c.groups * self._channel_blocks))),
        )

    def _from_caches(self) -> float:
        """Multiplications for what it costs to read and write."""
        c = self._c
        loops, operations, calls = self._products() if is_one_product(c) else self._kernels()
        costs = 0.0
        for operand in range(3):  # what is read, the weights, what is made
            cost, repeated = float(_FARTHEST), 1
            for loop in reversed(loops):
                times = loop.again[operand] * (loop.overlap if operand == 0 else 1)
                cost = self._cost(loop, times, cost, is_read=operand == 0)
                repeated *= loop.again[operand]
            costs += cost * operations[operand] * repeated
        done = c.batch * self._deep * self._tall * self._points * c.group_outputs * c.group_inputs
        return done / (c.threads * (costs + self._job * calls))

    def _cost(self, loop: _Loop, times: int, before: float, *, is_read: bool) -> float:
        if times <= 1:
            return before if times == 1 else 0.0
        first, second = cache_bytes()
        beside = _FAR if FLOAT * (loop.read + loop.weights + loop.made) < second else _FARTHEST
        again = _NEAR if is_read and FLOAT * loop.read < first else beside
        return (before + again * (times - 1)) / times

    def _simd(self, number: int) -> int:
        return up_to(number, self._lanes)

    def _read(self, made: int, kernel: int) -> int:
        """Points that so many points of a line are made of."""
        return min(self._c.points_out[-1], (made - 1) * min(kernel, self._c.stride[-1]) + kernel)

    def _read_numbers(self, made: int, kernel: int) -> int:
        points, channels = self._read(made, kernel), self._c.group_outputs
        return self._simd(points * channels) if self._c.stride[-1] == 1 else points * self._simd(channels)

    def _kernels(self) -> tuple[list[_Loop], tuple[int, int, int], int]:
        """The loops from the innermost on, each with numbers read, weights and numbers made in one turn of it."""
        c, blocks, ur, lanes = self._c, self._blocks, self._rows_at_once, self._lanes
        outputs, channels, line = c.group_outputs, blocks.channels, blocks.line
        channels_thread, points_thread, rows, planes, images = self._thread_parts()
        of_channels, of_lines, of_rows, of_planes = self._counts
        kernel_d, kernel_h, kernel_w = blocks.kernel
        depth, height, _ = deep(c.kernel)
        kernel_parts = -(-depth // kernel_d) * -(-height // kernel_h)
        plane = depth * height
        one, part = self._read_numbers(ur, kernel_w), kernel_d * kernel_h
        part_weights, weights = part * kernel_w * channels * outputs, plane * kernel_w * channels * outputs
        block_read = self._read_numbers(line, kernel_w)
        vectors = -(-channels_thread // lanes)
        made_channels = lanes * (vectors if self._by_image else channels // lanes)
        loops = [
            _Loop(self._read(ur, kernel_w) * lanes, channels, 0, overlap=lanes),
            _Loop(one, channels * outputs, 0, overlap=kernel_w),
            _Loop(one, kernel_w * channels * outputs, 0),
            _Loop(part * one, part_weights, ur * channels, (1, -(-line // ur), 1)),
            _Loop(part * block_read, part_weights, line * channels, (1, 1, kernel_parts)),
            _Loop(plane * block_read, weights, line * channels),
        ]
        all_weights = plane * kernel_w * (channels // lanes) * outputs * lanes
        if self._by_image:
            loops.append(_Loop(plane * block_read, weights, line * channels, (of_channels, 1, 1)))
            all_weights = plane * kernel_w * vectors * outputs * lanes
        read, made = plane * self._read_numbers(points_thread, kernel_w), points_thread * made_channels
        loops += [
            _Loop(plane * block_read, all_weights, line * made_channels, (1, of_lines, 1)),
            _Loop(blocks.lines * read, all_weights, made, (1, of_rows, 1)),
            _Loop(blocks.planes * rows * read, all_weights, rows * made, (1, of_planes, 1)),
        ]
        volume, points = planes * rows, planes * rows * points_thread
        if not self._by_image:
            loops.append(_Loop(volume * read, weights, channels * points, (of_channels, 1, 1)))
        last = plane * kernel_w * vectors * outputs
        loops.append(_Loop(volume * read, last * lanes, points * vectors * lanes, (1, images, 1)))
        operations = images * points * plane * kernel_w * outputs, last, images * points * vectors
        return loops, operations, kernel_parts

    def _products(self) -> tuple[list[_Loop], tuple[int, int, int], int]:
        """The same where the kernel is one point."""
        c, blocks, ur, lanes = self._c, self._blocks, self._rows_at_once, self._lanes
        outputs, channels, line, inputs = c.group_outputs, blocks.channels, blocks.line, c.group_inputs
        channels_thread, points_thread, rows, planes, images = self._thread_parts()
        of_channels, of_lines, of_rows, of_planes = self._counts
        vectors = -(-channels_thread // lanes)
        filled = self._simd(outputs)
        made_channels = lanes * (vectors if self._by_image else channels // lanes)
        loops = [
            _Loop(ur * lanes, channels, 0, overlap=lanes),
            _Loop(ur * filled, channels * outputs, ur * channels, (1, -(-line // ur), 1)),
            _Loop(line * outputs, channels * outputs, line * channels),
        ]
        weights = channels // lanes * outputs * lanes
        if self._by_image:
            loops.append(_Loop(line * self._simd(inputs), channels * inputs, line * channels, (of_channels, 1, 1)))
            weights = vectors * inputs * lanes
        lines, slab = blocks.lines * points_thread, blocks.planes * rows * points_thread
        loops += [
            _Loop(line * outputs, weights, line * made_channels, (1, of_lines, 1)),
            _Loop(lines * filled, weights, lines * made_channels, (1, of_rows, 1)),
            _Loop(slab * filled, weights, slab * made_channels, (1, of_planes, 1)),
        ]
        points = planes * rows * points_thread
        if not self._by_image:
            read = planes * rows * self._simd(points_thread * outputs)
            loops.append(_Loop(read, channels * outputs, channels * points, (of_channels, 1, 1)))
        loops.append(_Loop(points * filled, vectors * outputs * lanes, vectors * lanes * points, (1, images, 1)))
        operations = images * points * outputs, vectors * outputs, images * vectors * points
        return loops, operations, 1
