"""Files written whole or not at all."""

import os
import tempfile
from pathlib import Path

from seqcost.errors import BadTarget


def check_folder(folder: Path) -> None:
    """Refuse at once a folder that cannot be made or written to, before an answer for it is worked out.

    Raises BadTarget where the path, or what it would lie in, is a file or may not be written.
    """
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise BadTarget(f"{folder} cannot be written ({place} is a file, no folder); give a place that can be.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise BadTarget(f"{folder} cannot be written ({place} may not be changed); give a place that can be.")


def check_file(path: Path) -> None:
    """The same for a file, which may be there already: it is written anew."""
    if path.is_dir():
        raise BadTarget(f"{path} cannot be written (it is a folder); give a name for a file.")
    check_folder(path.parent)


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
