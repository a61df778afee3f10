"""One value, one text, one digest: what makes two jobs, or two machines, the same.

JSON with sorted keys and no spaces is the canonical text; the first 128 bits of its SHA-256 are the digest. Not
covered: values that JSON cannot tell apart or cannot hold (a tuple becomes a list; NaN is refused).
"""

import hashlib
import json


def canonical_json(value: object) -> str:
    """Text that equal values share, whatever the order of keys; TypeError or ValueError if JSON cannot hold it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: object) -> str:
    """128 bits of the canonical text, as 32 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:32]
