"""What a trace has to change for the whole process holds for its own thread alone, and one trace runs at a time.

PyTorch's hooks on every module and a function that is put into another's place are seen by all threads. Here they ask
which thread it is, so that the forward pass of another thread runs as if nothing were traced, and a function that
several threads put into the place of one goes back when the last of them is done.

Random numbers belong to the process: what another thread draws while a trace runs may be drawn again.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

# Traces that put the global random numbers back in another order than they took them would leave them changed.
ONE_AT_A_TIME = threading.RLock()

_changing = threading.Lock()
_changed: dict[tuple[int, str], "_Changed"] = {}


@dataclass
class _Changed:
    """A function of a module or class that some threads have put another in the place of."""

    plain: Any
    own: dict[int, list[Any]] = field(default_factory=dict)  # by thread, the newest last


def in_this_thread(hook: Callable[..., Any]) -> Callable[..., Any]:
    """A hook that does nothing in any other thread than the one that makes it."""
    thread = threading.get_ident()

    @wraps(hook)
    def minded(*args: Any, **kwargs: Any) -> Any:
        return hook(*args, **kwargs) if threading.get_ident() == thread else None

    return minded


@contextmanager
def replaced(owner: Any, name: str, change: Callable[[Any], Any]) -> Iterator[None]:
    """Have `owner.name` be what `change` makes of it, for this thread, while the block runs."""
    thread, key = threading.get_ident(), (id(owner), name)
    with _changing:
        known = _changed.get(key)
        if known is None:
            known = _changed[key] = _Changed(getattr(owner, name))
            setattr(owner, name, _switch(known))
        stack = known.own.setdefault(thread, [])
        stack.append(change(stack[-1] if stack else known.plain))
    try:
        yield
    finally:
        with _changing:
            stack.pop()
            if not stack:
                del known.own[thread]
            if not known.own:
                del _changed[key]
                setattr(owner, name, known.plain)


def _switch(known: _Changed) -> Callable[..., Any]:
    @wraps(known.plain)
    def call(*args: Any, **kwargs: Any) -> Any:
        stack = known.own.get(threading.get_ident())
        return (stack[-1] if stack else known.plain)(*args, **kwargs)

    return call
