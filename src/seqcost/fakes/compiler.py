"""PyTorch's compiler is not loaded for fake tensors, which read one of its settings and compile nothing.

`FakeTensorMode` imports `torch._dynamo` for that setting, and functions of PyTorch's that the compiler must not look
into import it at their first call: 0.8 s and 110 MiB. Here the settings are read by themselves, and those functions
are called as they are until somebody else has loaded the compiler.
"""

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import torch

_COMPILER, _SETTINGS = "torch._dynamo", "torch._dynamo.config"
_ONCE = "__dynamo_disable"  # where such a function keeps what the compiler made of it


def _nothing() -> None:
    pass


_APART = torch._compile._disable_dynamo(_nothing)  # all such functions have its code


class _NotLoaded(ModuleType):
    """What `torch._dynamo` says before it is loaded: its settings; for anything else it is loaded."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(import_module(_COMPILER), name)


def is_loaded() -> bool:
    """Whether the compiler is there, so that something may be compiled."""
    return _COMPILER in sys.modules


@contextmanager
def settings_alone() -> Iterator[None]:
    """Have the compiler's settings be enough while the block runs, which asks for nothing else of it by import."""
    if is_loaded():
        yield
        return
    package = vars(torch).get("_dynamo") or _not_loaded()
    sys.modules[_COMPILER], sys.modules[_SETTINGS] = package, package.config
    try:
        yield
    finally:
        for name in (_SETTINGS, _COMPILER):  # whoever imports it next gets the whole
            del sys.modules[name]


def _not_loaded() -> Any:
    place = _APART.__code__.co_freevars.index("fn")
    for apart in gc.get_referrers(_APART.__code__):
        if isinstance(apart, FunctionType) and apart.__closure__ is not None:
            function = apart.__closure__[place].cell_contents
            setattr(function, _ONCE, _until_loaded(function))
    found = PathFinder.find_spec(_SETTINGS, [str(Path(torch.__file__).parent / "_dynamo")])
    assert found is not None
    assert found.loader is not None
    package: Any = _NotLoaded(_COMPILER)
    package.config = sys.modules[_SETTINGS] = module_from_spec(found)
    found.loader.exec_module(package.config)
    vars(torch)["_dynamo"] = package
    return package


def _until_loaded(function: Any) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if not is_loaded():
            return function(*args, **kwargs)
        apart = torch._dynamo.disable(function, wrapping=False)
        setattr(function, _ONCE, apart)
        return apart(*args, **kwargs)

    return call
