"""No look-up of a network, whatever the environment says: a configuration is numbers, and nothing is fetched for it."""

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from seqcost.fakes.threads import replaced

# Where the packages that would fetch something ask whether they may.
_ASKED = (
    "huggingface_hub.constants", "huggingface_hub", "transformers.utils.hub", "transformers.dynamic_module_utils",
    "transformers.modeling_utils", "transformers.configuration_utils",
)  # fmt: skip


@contextmanager
def offline() -> Iterator[None]:
    """Have the packages know that they are offline, and addresses resolve to nothing, in this thread."""
    with ExitStack() as stack:
        for name in _ASKED:
            if callable(getattr(sys.modules.get(name), "is_offline_mode", None)):
                stack.enter_context(replaced(sys.modules[name], "is_offline_mode", lambda plain: lambda: True))
        stack.enter_context(replaced(socket, "getaddrinfo", _refusing))
        yield


def _refusing(plain: Callable[..., Any]) -> Callable[..., Any]:
    def refuse(host: Any, *args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(f"{host} was to be looked up, and nothing is fetched for a configuration")

    return refuse
