"""One kernel to be timed: PyTorch's operator, the sizes of a launch, a number format; and what it costs at least.

The kernels and their sizes are those of a row of work, so that a row finds its neighbours in a table of such cases.
FLOPs are those of contractions; bytes are read once and written once. Not covered: sparse formats, several devices.
"""

from dataclasses import dataclass
from math import log2, prod

from seqcost.algebra.work import Direction, Kernel

ITEMSIZE = {"float32": 4, "bfloat16": 2, "float16": 2}
GATES = {"rnn": 1, "gru": 3, "lstm": 4, "mkldnn_rnn_layer": 4, "mkldnn_rnn_layer_backward": 4}
BACKWARD_PRODUCTS = 2.5  # of fused attention, relative to forward: five products for two


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is launched.

    `pool`: bytes that operands take turns in, 0 where each launch has those of the one before; `again`: it follows
    itself at once. `tf32`: float32 products are rounded. `causal` belongs to attention.
    """

    kernel: Kernel
    operator: str
    sizes: tuple[int, ...]
    dtype: str
    direction: Direction = Direction.FORWARD
    pool: int = 0
    again: bool = False
    tf32: bool = False
    causal: bool = False

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return ITEMSIZE[self.dtype]

    @property
    def flops(self) -> int:
        """Contraction FLOPs of one launch; causal attention at half, which is what its kernels do for long texts."""
        if self.kernel in (Kernel.PRODUCT, Kernel.BATCHED_PRODUCT):
            return 2 * prod(self.sizes)
        if self.kernel == Kernel.ATTENTION:
            sequences, heads, queries, keys, K, V = self.sizes
            whole = 2 * sequences * heads * queries * keys * (K + V)
            forward = whole // 2 if self.causal and queries == keys else whole
            return int(forward * BACKWARD_PRODUCTS) if self.direction == Direction.BACKWARD else forward
        if self.kernel == Kernel.CONVOLUTION:
            sequences, channels_in, channels_out, taps, positions = self.sizes
            return 2 * sequences * channels_in * channels_out * taps * positions
        if self.kernel == Kernel.FFT:
            transforms, length = self.sizes
            return int(2.5 * transforms * length * log2(length))  # of real numbers
        if self.kernel == Kernel.RECURRENCE:
            steps, sequences, width, hidden = self.sizes
            gates = GATES[self.operator]
            forward = 2 * steps * sequences * gates * hidden * (width + hidden)
            return 2 * forward if self.direction == Direction.BACKWARD else forward
        return 0

    @property
    def bytes(self) -> int:
        """Least traffic of one launch, a forward one's where that is all that is known."""
        return self.itemsize * self._elements()

    def _elements(self) -> int:
        z = self.sizes
        if self.kernel == Kernel.PRODUCT:
            return z[0] * z[1] + z[1] * z[2] + z[0] * z[2]
        if self.kernel == Kernel.BATCHED_PRODUCT:
            return z[0] * (z[1] * z[2] + z[2] * z[3] + z[1] * z[3])
        if self.kernel == Kernel.ATTENTION:
            forward = z[0] * z[1] * (z[2] * (z[4] + z[5]) + z[3] * (z[4] + z[5]))
            return 2 * forward if self.direction == Direction.BACKWARD else forward
        if self.kernel == Kernel.CONVOLUTION:
            return z[0] * z[4] * (max(z[1], z[2]) + z[2]) + z[1] * z[2] * z[3]
        if self.kernel == Kernel.RECURRENCE:
            return z[0] * z[1] * (z[2] + z[3])
        return int(prod(z) * PASSES.get(self.operator, 2))


# tensors of the case's size that are read or written; 2 where not said
PASSES = {
    "add": 3, "mul": 3, "addcmul": 4, "fill": 1, "normal": 1, "dropout": 2.25, "sum": 1, "sum_rows": 1, "amax": 1,
    "adamw": 7, "softmax_backward": 3, "layer_norm_backward": 3, "cast": 1.5, "swiglu": 3,
}  # fmt: skip
