"""Files written whole or not at all."""

import os
import tempfile
from pathlib import Path

from seqcost.errors import BadTarget


def write_bytes(path: Path, content: bytes) -> None:
    """Write through a temporary file beside the target and rename it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise BadTarget(f"{path} cannot be written ({error.strerror}); give a place that can be.") from None
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BadTarget(f"{path} cannot be written ({error.strerror}); give a place that can be.") from None


def write_text(path: Path, content: str) -> None:
    """The same for text, as UTF-8."""
    write_bytes(path, content.encode())
