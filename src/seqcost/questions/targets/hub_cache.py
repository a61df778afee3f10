"""Configurations that lie on this machine already: the cache that Hugging Face's packages keep of what they fetched.

A model there is a folder `models--OWNER--NAME` with `refs/main`, the revision that was fetched last, and
`snapshots/REVISION/config.json`. Nothing is fetched.
"""

import os
import re
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_REVISION = re.compile(r"[0-9a-f]{4,64}")


def names_a_model(target: str) -> bool:
    """Whether a target is written as the hub writes a model: OWNER/NAME."""
    return _NAME.fullmatch(target) is not None


def cached_configuration(name: str) -> Path | None:
    """The `config.json` of a model as it was fetched last; None where it never was."""
    folder = cache_folder() / f"models--{name.replace('/', '--')}"
    try:
        revision = (folder / "refs" / "main").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    file = folder / "snapshots" / revision / "config.json"
    return file if _REVISION.fullmatch(revision) and file.is_file() else None


def cache_folder() -> Path:
    """Where the packages keep what they fetch, by the variables that they read themselves."""
    if cache := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(cache).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "huggingface" / "hub"
