"""A program from a file as a module: its nodes run one by one, each as if inside the module that it came from.

The tree of modules is made from the paths that exporters leave at the nodes. Nothing in it has weights of its own: a
weight has a shape and a type, never values, so a program whose shapes depend on values cannot be followed.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from seqcost.errors import BadTarget
from seqcost.fakes.formats import main_format
from seqcost.programs.files.axes import Axes

MOST_PATHS = 100_000


class Scope(nn.Module):
    """A module of a program: what it is given runs as a call of it, so that its operators bear its path."""

    def forward(self, run: Callable[..., Any], *args: Any) -> Any:
        """Run it."""
        return run(*args)


class Replayed(nn.Module):
    """Base of programs: weights and scopes by path, inputs of any size that the axes allow.

    `trains_unknown` says why it is not known which parameters are trained, where that is so.
    """

    trains_unknown = ""

    def __init__(self, axes: Axes, dtypes: dict[str, torch.dtype]) -> None:
        super().__init__()
        self.axes, self._dtypes = axes, dtypes
        self._scopes: dict[str, nn.Module] = {}
        self._weights: dict[str, tuple[nn.Module, str]] = {}

    def inside(self, path: str, run: Callable[..., Any], *args: Any) -> Any:
        """Run something as a part of the module at a path."""
        return self.scope(path)(run, *args) if path else run(*args)

    def scope(self, path: str) -> nn.Module:
        """The scope of a path, made with everything above it where it is new."""
        if not path:
            return self
        if path not in self._scopes:
            if len(self._scopes) > MOST_PATHS:
                raise BadTarget(f"{self.axes.target} has nodes in over {MOST_PATHS:,} modules; give a smaller program.")
            above, _, name = path.rpartition(".")
            parent, new = self.scope(above), Scope()
            parent.add_module(_free(parent, name), new)
            self._scopes[path] = new
        return self._scopes[path]

    def hold(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        *,
        parameter: bool,
        trained: bool,
        beside: str | None = None,
    ) -> None:
        """Give a weight its place: the last part of its name is what its module calls it.

        It lies in the memory of the weight `beside`, where one is named.
        """
        path, _, last = name.rpartition(".")
        scope = self.scope(path)
        free = _free(scope, last)
        made = torch.empty(shape, dtype=dtype, device="cpu") if beside is None else self.weight(beside).detach()
        if parameter:
            scope.register_parameter(free, nn.Parameter(made, requires_grad=trained))
        else:
            scope.register_buffer(free, made)
        self._weights[name] = (scope, free)

    def tie(self, name: str, held: str) -> None:
        """Another name of a weight that is held already."""
        self._weights[name] = self._weights[held]

    def weight(self, name: str) -> Tensor:
        """What stands under this name now."""
        scope, attribute = self._weights[name]
        return getattr(scope, attribute)

    @property
    def dtype(self) -> str:
        """The floating-point type of most weights, else of the inputs, else float32."""
        return main_format(self, self._dtypes.values())

    def example_inputs(self, B: int, T: int) -> tuple[Tensor, ...]:
        """Tensors for every input; raises BadSize for what the program was not made for."""
        shapes = self.axes.shapes_at(B, T)
        return tuple(_input(shape, self._dtypes[name]) for name, shape in shapes.items())


def name_of(module: nn.Module) -> str:
    """What a sentence calls a module: its class, or what a program was read from."""
    return module.axes.target if isinstance(module, Replayed) else type(module).__name__


def _input(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.zeros(shape, dtype=dtype).requires_grad_(dtype.is_floating_point)


def _free(parent: nn.Module, name: str) -> str:
    """A name that a module can give to a part of itself."""
    name = name.replace(".", "_") or "unnamed"
    while hasattr(parent, name):
        name += "_"
    return name
