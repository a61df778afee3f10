"""Code as a target: `package.module:callable` by its name, or a live module or exported program as an object."""

from typing import TYPE_CHECKING, Any, ClassVar

from seqcost.errors import BadTarget
from seqcost.questions.targets.subject import Subject

if TYPE_CHECKING:
    from seqcost.programs import Target


class Code(Subject):
    """`package.module:callable`, which makes a module."""

    family: ClassVar[str] = "code"
    no_sizes: ClassVar[str] = "which is code; set them in the callable instead"

    def _spec(self) -> dict[str, Any]:
        return {"kind": "callable", "path": self.name}


class Live(Subject):
    """A live module, or a live program of torch.export, with the inputs that came with it."""

    family: ClassVar[str] = "code"
    takes_inputs: ClassVar[bool] = True

    def __init__(self, module: Any, inputs: Any = None) -> None:
        super().__init__(type(module).__name__)
        self.module, self.inputs = module, inputs

    def recipe(self, source: int | None = None) -> "Target":
        """The module itself."""
        if source is not None:
            raise BadTarget("a source was given for a live module; give its tokens among inputs=(…).")
        from seqcost.programs import Target

        return Target.of_module(self.module, self.inputs)

    def spec(self, source: int | None = None) -> dict[str, Any]:
        """A live module has none."""
        raise BadTarget(
            f"a live {self.name} cannot be sent to another process; name it as package.module:callable, which makes it."
        )
