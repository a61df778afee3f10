"""What a program begins with: what is handed in, weights, buffers, constants, the carried state."""

from collections.abc import Sequence
from typing import Any

from seqcost.algebra import Size
from seqcost.algebra.work import Kernel
from seqcost.formulas.core.recorder import Recorder
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import Workload


class Leaves(Recorder):
    """Tensors that no operator on others has made: see `Tape`."""

    def __init__(self, run: Workload, **how: Any) -> None:
        super().__init__(run, **how)
        self._shared: dict[str, Value] = {}

    def given(self, shape: Sequence[Size], *, belongs: str = "input", gradient: bool = True) -> Value:
        """A tensor that is handed in."""
        return self.resident(belongs, shape, belongs=belongs, flows=gradient, on_chain=True)

    def weight(self, *shape: Size) -> Value:
        """A parameter."""
        return self.resident("weight", shape, belongs="weight", flows=True, on_chain=False)

    def shared(self, name: str, *shape: Size) -> Value:
        """A parameter that several parts of a model read."""
        if name not in self._shared:
            self._shared[name] = self.weight(*shape)
        return self._shared[name]

    def buffer(self, *shape: Size, itemsize: Size | None = None) -> Value:
        """A tensor that the layer holds and that is not trained."""
        return self.resident("buffer", shape, belongs="weight", itemsize=itemsize, flows=False, on_chain=False)

    def constant(
        self,
        name: str,
        *shape: Size,
        operator: str | None = "zeros",
        itemsize: Size | None = None,
        happens: Size = 1,
        note: str = "",
    ) -> Value:
        """A tensor made on the way from nothing: zeros, positions; `operator` None: from plain numbers, by none."""
        out = self.new(name, shape, itemsize)
        if not isinstance(happens, int):
            out.storage.elements = out.storage.elements * happens  # what is not made is not kept
        if operator is not None:
            self.launch(name, Kernel.FILL, [], [out], operator=operator, happens=happens, note=note)
        return out

    def carried(self, name: str, *shape: Size, itemsize: Size | None = None) -> Value:
        """A tensor of the state that is handed in."""
        return self.resident(name, shape, belongs="state", itemsize=itemsize, flows=False, on_chain=True)

    def state(self, name: str, *shape: Size, operator: str = "zeros", itemsize: Size | None = None) -> Value:
        """What is carried in: handed in where the run has started, else zeros."""
        if not self.run.started:
            return self.constant(name, *shape, operator=operator, itemsize=itemsize)
        return self.carried(name, *shape, itemsize=itemsize)
