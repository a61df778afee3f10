"""What is under way, told to whoever listens: the command shows it on standard error, everybody else hears nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_LISTENER: ContextVar[Callable[[str], object] | None] = ContextVar("_LISTENER", default=None)


@contextmanager
def listening(listener: Callable[[str], object]) -> Iterator[None]:
    """Have `listener` told, in this thread, of whatever is begun inside."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def tell(what: str) -> None:
    """Say what is begun, in a few words: "tracing gpt2, train, T = 64"."""
    listener = _LISTENER.get()
    if listener is not None:
        listener(what)
