"""The scratchpad of oneDNN's gradient of a strided convolution's input, and the blocks of channels of its weights.

Each thread copies the gradient that it reads, padded, with channels last, and keeps a mask of what it has copied and
the addresses of products; where a line is no whole number of steps, it keeps the block of a line that it makes, too.

Source (oneDNN v3.12): src/cpu/x64/jit_brgemm_conv_bwd_utils.cpp `init_conf`, `init_scratchpad`.
"""

from math import prod

from seqcost.formulas.ops.onednn.blocks import beyond
from seqcost.formulas.ops.onednn.estimate import Blocks
from seqcost.formulas.ops.onednn.sizes import FLOAT, PAGE, Convolution, up_to

_ADDRESSES = 40  # bytes of a brgemm_batch_element_t


def scratchpad_bytes(c: Convolution, blocks: Blocks) -> int:
    """Bytes of all threads."""
    padded = prod(made + more for made, more in zip(c.points_out, beyond(c), strict=True))
    addresses = -(-up_to(prod(blocks.kernel) * _ADDRESSES, PAGE) // _ADDRESSES) * _ADDRESSES
    plane = c.points_in[0] if len(c.points_in) == 3 else 1
    sizes = ((plane, blocks.planes), (c.points_in[-2], blocks.lines), (c.points_in[-1], blocks.line))
    areas = prod(-(-points // block) for points, block in sizes)
    arrays = [addresses, up_to(padded * c.outputs, PAGE) * FLOAT, up_to(areas * c.groups, PAGE)]
    if c.points_in[-1] % c.stride[-1]:
        arrays.append(up_to(blocks.line * c.stride[-1] * c.inputs, PAGE) * FLOAT)
    return sum(c.threads * array + PAGE for array in arrays)
