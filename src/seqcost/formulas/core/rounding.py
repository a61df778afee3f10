"""What an architecture may round a length up to: the chunks, blocks and windows among its sizes."""

import itertools
from typing import Any

LARGEST_BLOCK = 4096
NO_BLOCKS = frozenset("UDLFHGKVNAMEk")  # letters of what no length is rounded up to


def block_sizes(config: Any, *, products: bool = True) -> list[int]:
    """Sizes of a config, and of the mixers in it, that a length may be rounded up to; also products of two."""
    inner = [*getattr(config, "mixers", ()), *([config.body] if hasattr(config, "body") else [])]
    sizes = config.sizes().items()
    own = [v for letter, v in sizes if letter not in NO_BLOCKS and type(v) is int and v > 1]
    chunks_of_chunks = [a * b for a, b in itertools.combinations(own, 2)] if products else []
    found = {*own, *chunks_of_chunks, *(v for part in inner for v in block_sizes(part, products=products))}
    return sorted(v for v in found if v <= LARGEST_BLOCK)
