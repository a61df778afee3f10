"""Files of programs as targets: of torch.export (.pt2), and graphs of ONNX. They have shapes and no weights to run."""

from typing import Any, ClassVar, NoReturn

from seqcost.errors import BadTarget
from seqcost.questions.targets.subject import Subject


class ProgramFile(Subject):
    """A program in a file; `kind` is its word in a spec."""

    family: ClassVar[str] = "program"
    kind: ClassVar[str]
    changeable: ClassVar[bool] = False

    def _spec(self) -> dict[str, Any]:
        return {"kind": self.kind, "path": self.name}

    def runnable(self) -> NoReturn:
        """A program is followed by its shapes."""
        raise BadTarget(
            f"a real run was asked of {self.name}, which is followed by its shapes; name the code behind it."
        )


class Exported(ProgramFile):
    """A program of torch.export."""

    kind: ClassVar[str] = "exported-program"
    no_sizes: ClassVar[str] = "an exported program, whose sizes are fixed; export it anew"


class Onnx(ProgramFile):
    """A graph of ONNX."""

    kind: ClassVar[str] = "onnx"
    reader: ClassVar[tuple[str, str] | None] = ("onnx", "ONNX graphs need")
    no_sizes: ClassVar[str] = "an ONNX graph, whose sizes are fixed; export it anew"
