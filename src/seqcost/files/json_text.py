"""JSON of a configuration or of an index of weights."""

import json
from pathlib import Path
from typing import Any

from seqcost.errors import BadTarget

MOST_BYTES = 16 * 2**20  # the index of a model of 61 layers and 256 experts has nine million bytes


def read_json(path: Path, name: str) -> Any:
    """The value in a file; raises BadTarget for what is too long, cannot be read or is no JSON."""
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise BadTarget(f"{name} has {size:,} bytes; JSON of at most {MOST_BYTES:,} is read.")
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadTarget(f"{name} cannot be read ({error.strerror or error}); name a file of JSON.") from None
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits
        raise BadTarget(f"{name} is not JSON ({error}); download or write it again.") from None
