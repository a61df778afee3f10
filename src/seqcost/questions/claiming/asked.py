"""A claim before it is answered: its sentence, the runs that it needs, how its evidence is made, and its rule."""

from collections.abc import Callable
from dataclasses import dataclass

from seqcost.questions.answers.claims import Claim, Evidence, Figures, Ruling, Verdict
from seqcost.questions.claiming.bench import Bench, Wanted

Rule = Callable[[Figures], Ruling]


@dataclass(frozen=True)
class Asked:
    """One claim. The rule sees nothing but the figures, and of what was disturbed no value."""

    number: int | None
    text: str
    evidence: Callable[[Bench], Evidence]
    rule: Rule
    runs: tuple[Wanted, ...] = ()
    asked_in: tuple[str, ...] = ()

    def answered(self, bench: Bench) -> Claim:
        """With its evidence, judged."""
        found = self.evidence(bench)
        return Claim(
            number=self.number,
            text=self.text,
            evidence=found,
            ruling=self.rule({name: figure.undisturbed for name, figure in found.figures.items()}),
            asked_in=self.asked_in,
        )


def true(sentence: str) -> Ruling:
    """It holds."""
    return Ruling(Verdict.TRUE, sentence)


def when(condition: str) -> Ruling:
    """It holds under a condition."""
    return Ruling(Verdict.WHEN, condition)


def false(sentence: str) -> Ruling:
    """It does not hold."""
    return Ruling(Verdict.FALSE, sentence)


def untold(sentence: str) -> Ruling:
    """A figure that the rule needs is missing, or intervals meet."""
    return Ruling(Verdict.OPEN, sentence)
