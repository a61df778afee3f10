"""Sequence classification: a body over any mixer, one vector per sequence, cross-entropy over the classes."""

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from seqcost.algebra import Size
from seqcost.formulas.core.component import check_sizes
from seqcost.formulas.parts.classify import ClassHead, Pool
from seqcost.formulas.stacks.chain import Assembled, Chain
from seqcost.formulas.stacks.language_model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class Classifier(Assembled):
    """Tokens [B,T] → logits [B, classes]. Its `body` is a LanguageModel with head "none"."""

    SOURCE: ClassVar[str] = (
        "Vaswani et al. 2017, arXiv 1706.03762; Tay et al. 2020, arXiv 2011.04006, section 2 (long text)"
    )
    EQUATIONS: ClassVar[tuple[str, ...]] = (*LanguageModel.EQUATIONS, *ClassHead.EQUATIONS)

    body: LanguageModel
    classes: Size
    pool: Pool = "mean"

    def __post_init__(self) -> None:
        check_sizes(self, "classes")
        assert self.body.head == "none", "the body of a classifier has no head of its own"

    @property
    def D(self) -> Size:
        """Width."""
        return self.body.D

    @property
    def chain(self) -> Chain:
        head = ClassHead(D=self.body.width_out, classes=self.classes, pool=self.pool)
        return Chain((*self.body.chain.links, ("head", head)))

    def sizes(self) -> dict[str, Any]:
        """The body's letters, the classes and the pooling."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "body"}
        return {name: value for name, value in self.body.sizes().items() if name != "head"} | own
