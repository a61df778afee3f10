"""The machine that this runs on and its user: what tells it from others, and the folder where what is measured is kept.

Read without importing torch, so that whoever starts a run and the run itself agree.
"""

import hashlib
import os
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path

import platformdirs


@cache
def machine_id() -> str:
    """Tells machines apart and names none: a salted digest of what the system calls itself."""
    identity = ""
    for file in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        with suppress(OSError):
            identity = identity or Path(file).read_text().strip()
    if not identity:
        import platform

        identity = f"{uuid.getnode()} {platform.node()}"
    return hashlib.sha256(f"seqcost {identity}".encode()).hexdigest()[:12]


def store_path() -> Path:
    """$SEQCOST_STORE, else runs.sqlite in the user's data folder of this platform."""
    given = os.environ.get("SEQCOST_STORE")
    return Path(given) if given else platformdirs.user_data_path("seqcost", appauthor=False) / "runs.sqlite"
