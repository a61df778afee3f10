"""Counts by formula: a config read in one phase, once for each length asked for and once for its functions of T."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from seqcost.algebra import Curve, lift, sweep
from seqcost.algebra.expr import is_array
from seqcost.algebra.lift import lengths_for
from seqcost.algebra.quantity import QUANTITIES, Told
from seqcost.errors import BadSize
from seqcost.formulas.core.component import Component
from seqcost.formulas.core.rounding import block_sizes
from seqcost.questions.answers.count import Bills, Count, Missing, conventions
from seqcost.questions.answers.phases import by_formula
from seqcost.questions.answers.written import BRANCHES, Written
from seqcost.questions.asked.request import Request

# Short lengths and far ones: a window longer than the text, or a chunk that is not full, shows itself.
LIFTED_AT = (1, 2, 3, 5, 8, 13, 21, 1021, 2050, 4099, 10007, 65537, 1000003)


class Reading:
    """A config and a request, whatever its length.

    Raises BadSize for a convention that the config has no number for.
    """

    def __init__(self, name: str, config: Component, request: Request) -> None:
        if request.causal == "half" and config.multiplies_masked and request.phase != "decode":
            raise BadSize(
                f"causal='half' was asked of {name}, which multiplies masked pairs in chunks or buckets; no convention "
                "leaves them out: use 'full', which counts what runs."
            )
        self._name, self._config, self._request = name, config, request

    def bills(self, T: Any) -> tuple[Bills, Missing]:
        """Bills at a length, or over a sweep of lengths, and what they leave out."""
        return by_formula(self._config, self._request.workload(self._config, T), self._request.phase)

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """Every total as a function of T, in whole blocks where it is rounded up to them."""
        blocks = block_sizes(self._config)
        seen: dict[int, Mapping[str, Any]] = {}

        def total(quantity: str, T: int) -> Any:
            if T not in seen:
                asked = LIFTED_AT if T in LIFTED_AT else lengths_for(blocks)
                seen.update(self._totals([n for n in asked if n not in seen]))
            return seen[T][quantity]

        known = [name for name in QUANTITIES.names(Told.CURVE) if total(name, LIFTED_AT[0]) is not None]
        return {name: lift(partial(total, name), LIFTED_AT, blocks=blocks) for name in known}

    def _totals(self, lengths: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Totals by length. The formula is asked for the first token, which may find an empty state, then at once.

        Where it branches on a length it is asked for one after the other; for few lengths too, unless NumPy, whose
        import takes longer, is there already.
        """
        first, rest = [n for n in lengths if n == 1], [n for n in lengths if n > 1]
        if len(lengths) <= len(LIFTED_AT) and "numpy" not in sys.modules:
            first, rest = list(lengths), []
        try:
            found = self._totals_of(sweep(rest, exact=True), rest) if rest else {}
        except BRANCHES:
            first, found = list(lengths), {}
        for T in first:
            found |= self._totals_of(T, [T])
        return found

    def _totals_of(self, T: Any, lengths: Sequence[int]) -> dict[int, dict[str, Any]]:
        bills, _ = self.bills(T)
        found: dict[int, dict[str, Any]] = {n: {} for n in lengths}
        for row in QUANTITIES.told(Told.CURVE):
            amount: Any = bills.total(row)
            amounts = list(amount) if is_array(amount) else [amount] * len(lengths)
            assert not any(isinstance(value, float) for value in amounts), f"{row.name} of {self._name} is not exact"
            for n, value in zip(lengths, amounts, strict=True):
                found[n][row.name] = value
        return found

    def at(self, T: int) -> Count:
        """The answer at a length."""
        config, request = self._config, self._request
        run, (bills, missing) = request.workload(config, T), self.bills(T)
        reason = "formulas do not follow allocations; ask the trace (trace=True, --trace)"
        missing = (*missing, *({"quantity": quantity, "reason": reason} for quantity in ("peak_bytes", "memory")))
        declared = conventions()
        if run.causal == "half":
            whole_bills, _ = by_formula(config, replace(run, causal="full"), request.phase)
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
            numbers={"trainable_params": int(bills.params.total())},  # nothing in our layers is frozen
            uncounted=missing,
            polynomials=self.curves,
            conventions=declared,
            origin=Written(config, run, request.phase, bills),
        )


def letters_of(config: Component) -> dict[str, Any]:
    """Sizes and choices of a config that it has."""
    return {letter: value for letter, value in config.sizes().items() if value is not None}


def longest_text(config: Component) -> int | None:
    """Tokens that the layer of a config takes at most: the rows of a learned table of positions; None without one."""
    return getattr(config, "M", None) if getattr(config, "positions", "") == "learned" else None
