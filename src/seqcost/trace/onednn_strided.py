"""The scratchpad of oneDNN's gradient of a strided convolution's input, and the blocks of channels of its weights.

Each thread copies the gradient that it reads, padded, with channels last, and keeps a mask of what it has copied and
the addresses of products; where a line is no whole number of steps, it keeps the line that it makes, too.

Source (oneDNN v3.12): src/cpu/x64/jit_brgemm_conv_bwd_utils.cpp `init_conf`, `init_scratchpad`, `fast_check_ic_block`.
"""

from math import prod

from seqcost.trace.convolution_sizes import FLOAT, Convolution, up_to

_PAGE = 4096  # every array is whole pages, aligned to one
_ADDRESSES = 40  # bytes of a brgemm_batch_element_t


def scratchpad_bytes(c: Convolution, lanes: int) -> int:
    """Bytes of all threads."""
    before = _beyond(c, c.padding)
    after = _beyond(c, c.padding_after)
    padded = prod(a + n + b for a, n, b in zip(before, c.points_out, after, strict=True))
    addresses = -(-up_to(prod(c.kernel) * _ADDRESSES, _PAGE) // _ADDRESSES) * _ADDRESSES
    arrays = [addresses, up_to(padded * c.outputs, _PAGE) * FLOAT, up_to(c.groups, _PAGE)]
    if c.points_in[-1] % c.stride[-1]:
        line = up_to(c.points_in[-1], c.stride[-1]) * c.stride[-1]
        arrays.append(up_to(line * c.inputs, _PAGE) * FLOAT)
    return sum(c.threads * array + _PAGE for array in arrays)


def channel_block(c: Convolution, lanes: int) -> int:
    """Channels that the weights are filled up to."""
    blocks = -(-c.group_inputs // lanes)
    if lanes == 8:
        return lanes * (blocks if blocks <= 4 else 2)
    return lanes * min(blocks, 2)


def _beyond(c: Convolution, padding: tuple[int, ...]) -> tuple[int, ...]:
    """Points that are read beyond those that there are."""
    sizes = zip(c.span, padding, c.stride, strict=True)
    return tuple(max(0, span - 1 - points) // step for span, points, step in sizes)
