"""Counts by formula: a config read in one phase, once for each length asked for and once for its functions of T."""

from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from seqcost.algebra import Curve, ceil_div, lift
from seqcost.algebra.quantity import QUANTITIES, Quantity, Told
from seqcost.algebra.work import Kernel
from seqcost.errors import BadSize
from seqcost.formulas.core.component import Component
from seqcost.formulas.core.rounding import block_sizes
from seqcost.questions.answers.count import Count, conventions
from seqcost.questions.answers.phases import Phase, by_formula, peak_by_formula
from seqcost.questions.answers.written import Written
from seqcost.questions.asked.request import Request

# Short lengths and far ones: a window longer than the text, or a chunk that is not full, shows itself.
LIFTED_AT = (1, 2, 3, 5, 8, 13, 21, 1021, 2050, 4099, 10007, 65537, 1000003)


class Reading:
    """A config and a request, whatever its length.

    Raises BadSize for a convention that the config has no number for; `phase` for a dtype of that kind.
    """

    def __init__(self, name: str, config: Component, request: Request) -> None:
        if request.causal == "half" and config.multiplies_masked and request.phase != "decode":
            raise BadSize(
                f"causal='half' was asked of {name}, which multiplies masked pairs in chunks or buckets; no convention "
                "leaves them out: use 'full', which counts what runs."
            )
        self._name, self._config, self._request = name, config, request
        self._known: dict[int, Phase] = {}

    def phase(self, T: int) -> Phase:
        """The answer at a length; the formula is asked for each once."""
        if T not in self._known:
            run = self._request.workload(self._config, T)
            found = by_formula(self._config, run, self._request.phase, remembering=True)
            if self._request.dtype == "float64" and any(row.kernel is Kernel.RECURRENCE for row in found.rows):
                raise BadSize(
                    f"dtype='float64' was asked of {self._name}, whose recurrence PyTorch runs then as a loop; "
                    "the formula is that of a fused kernel: give float32, bfloat16 or float16, or trace it (--trace)."
                )
            self._known[T] = found
        return self._known[T]

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """Every total as a function of T, in whole blocks where it is rounded up to them."""
        blocks = block_sizes(self._config)
        turned = [c for c in blocks if ceil_div(LIFTED_AT[-1], c) in self.phase(LIFTED_AT[-1]).turns]
        quantities = [row for row in QUANTITIES.told(Told.CURVE) if self.phase(LIFTED_AT[0]).total(row) is not None]

        def total(quantity: Quantity, T: int) -> Any:
            return self.phase(T).total(quantity)

        def curve(quantity: Quantity) -> Curve:
            """In the blocks over which a loop turns; where that is not all, in any: each costs eight lengths more."""
            found = lift(partial(total, quantity), LIFTED_AT, blocks=turned)
            if found.exact or turned == blocks:
                return found
            return lift(partial(total, quantity), LIFTED_AT, blocks=blocks)

        return {row.name: curve(row) for row in quantities}

    def at(self, T: int) -> Count:
        """The answer at a length."""
        config, request = self._config, self._request
        run, answer = request.workload(config, T), self.phase(T)
        bills = answer.bills
        declared = conventions()
        if run.causal == "half":
            whole_bills = by_formula(config, replace(run, causal="full"), request.phase).bills
            same = all(whole_bills.total(row) == bills.total(row) for row in QUANTITIES.told(Told.LETTERS))
            declared["causal"] = (
                "half: it has no causal attention, so that this is the full count"
                if same
                else "half: only the pairs that are not masked are counted"
            )
        most = longest_text(config)
        if most is not None and most < T:
            declared["positions"] = (
                f"T = {T:,} exceeds the {most:,} learned positions: the formula goes on, the layer refuses"
            )
        at = {"B": run.B, "T": T} | ({"S": run.S} if config.takes_source else {})
        return Count(
            target=self._name,
            sizes=at | letters_of(config),
            phase=request.phase,
            dtype=request.dtype or "float32",
            rung="formula",
            bills=bills,
            numbers={
                "trainable_params": int(bills.params.total()),  # nothing in our layers is frozen
                "peak_bytes": answer.peak_bytes,
            },
            uncounted=answer.uncounted,
            polynomials=self.curves,
            conventions=declared,
            memory=peak_by_formula(config, run, request.phase).to_dict(),
            origin=Written(config, run, request.phase, bills, answer.rows),
        )


def letters_of(config: Component) -> dict[str, Any]:
    """Sizes and choices of a config that it has."""
    return {letter: value for letter, value in config.sizes().items() if value is not None}


def longest_text(config: Component) -> int | None:
    """Tokens that the layer of a config takes at most: the rows of a learned table of positions; None without one."""
    return getattr(config, "M", None) if getattr(config, "positions", "") == "learned" else None
