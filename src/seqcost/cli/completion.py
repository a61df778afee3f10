"""What a shell offers where words are chosen: names of the catalogue, choices of an option, settings of a target.

Typer asks these functions with what was typed so far (`seqcost --install-completion` sets the shell up). They read the
catalogue and load no PyTorch, so that the answer is there at once.
"""

from collections.abc import Callable, Iterable
from typing import Any

from seqcost.algebra.formats import ITEMSIZE
from seqcost.algebra.quantity import QUANTITIES, Told
from seqcost.formulas.catalogue import CATALOGUE, load_registered
from seqcost.machines import known_machines
from seqcost.machines.shelf import HERE
from seqcost.questions.answers.views import WAYS, ranks
from seqcost.questions.asked.request import PHASES

Offer = list[str | tuple[str, str]]


def names(incomplete: str) -> Offer:
    """Architectures and presets, each with what it is."""
    load_registered()
    return [(name, entry.summary) for name, entry in CATALOGUE.items() if name.startswith(incomplete)]


def targets(incomplete: str) -> Offer:
    """The same, and how a model of transformers begins; files are the shell's own to offer."""
    return [*names(incomplete), *words(["hf:"])(incomplete)]


def machines(incomplete: str) -> Offer:
    """Machines by name, each with what it is; this one as it was calibrated."""
    named = {machine.name: machine.title for machine in known_machines()} | {HERE: "this machine, as calibrated"}
    return [(name, title) for name, title in named.items() if name.startswith(incomplete)]


def settings(ctx: Any, incomplete: str) -> Offer:
    """`D=` and the other settings of the targets that were named; after the `=` the words that are allowed."""
    # The option that is being completed has no value yet, and the parser stops there: what came before is left over.
    named = [CATALOGUE[name] for name in ctx.args if name in CATALOGUE]
    fields = {name: field for entry in named for name, field in entry.fields.items()}
    setting, equals, _ = incomplete.partition("=")
    if not equals:
        return words(f"{name}=" for name in fields)(incomplete)
    kind = fields[setting].type if setting in fields else None
    allowed = ("true", "false") if kind is bool else getattr(kind, "__args__", ())
    return words(f"{setting}={word}" for word in allowed if isinstance(word, str))(incomplete)


def words(allowed: Iterable[str]) -> Callable[[str], Offer]:
    """Those of some words that begin with what was typed."""
    kept = tuple(allowed)

    def offer(incomplete: str) -> Offer:
        return [word for word in kept if word.startswith(incomplete)]

    return offer


phases = words(PHASES)
formats = words([*ITEMSIZE, "bf16", "fp16"])
conventions = words(["full", "half"])
sights = words(["past", "both", "auto"])
ways = words(WAYS)
ranked = words(ranks())
explained = words(QUANTITIES.names(Told.COUNT))
found = words(["length", "batch", "D", "L"])
optimizers = words(["adamw", "adam", "sgd", "sgd:momentum=0.9", "adagrad", "rmsprop", "nadam"])
