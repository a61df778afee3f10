"""Importing the code that a user names: from the current folder, without letting that folder stand in for Python.

The folder joins the import path only if the named module lies in it, and then behind Python's own library: a
`statistics.py` or `copy.py` beside the user's model is never taken for Python's, whoever imports it.
"""

import importlib
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from seqcost.errors import BadTarget

_PACKAGES = ("site-packages", "dist-packages")


def imported(name: str) -> ModuleType:
    """The module of that name, the current folder's before an installed one.

    Raises BadTarget where the name is Python's own and a file here bears it, too; else whatever the import raises.
    """
    here = Path.cwd()
    top = name.partition(".")[0]
    lies_here = top.isidentifier() and PathFinder.find_spec(top, [str(here)]) is not None
    if top in sys.stdlib_module_names:
        if lies_here:
            raise BadTarget(f"{top} is the name of a module of Python itself; give the one in {here} another name.")
    elif lies_here and str(here) not in sys.path:
        sys.path.insert(_behind_python(), str(here))
        importlib.invalidate_caches()
    return importlib.import_module(name)


def _behind_python() -> int:
    """Before the first folder of installed packages, which all of Python's own library precedes."""
    found = (at for at, entry in enumerate(sys.path) if Path(entry).name in _PACKAGES)
    return next(found, len(sys.path))
