"""The bytes of an element as a sweep or a symbol give what each number gives: known by asking for the numbers."""

from operator import attrgetter

import pytest
from strategies import VARIANTS, typical

from seqcost.algebra import Kind, sweep, symbol
from seqcost.algebra.expr import is_symbolic
from seqcost.errors import BadSize
from seqcost.formulas import Workload

SIZES = (2, 4, 8, 16)
QUESTIONS = ("backward_flops", "bytes_moved", "saved_bytes", "depth")
I = symbol("I")

every_name = {variant.name: variant for variant in reversed(VARIANTS)}.values()


def asked(config, question, itemsize):
    run = Workload(B=2, T=9, S=5 if config.takes_source else 0, itemsize=itemsize)
    return getattr(config, question)(run)


@pytest.mark.parametrize("variant", every_name, ids=attrgetter("id"))
def test_a_sweep_or_a_symbol_is_the_numbers_one_by_one(variant):
    config = typical(variant)
    for question in QUESTIONS:
        numbers = [asked(config, question, size).total(*Kind) for size in SIZES]
        swept = asked(config, question, sweep(SIZES)).total(*Kind)
        assert (swept if hasattr(swept, "tolist") else sweep(SIZES) * 0 + swept).tolist() == numbers
        if question == "saved_bytes" and variant.name.startswith("lstm"):
            with pytest.raises(BadSize, match=r"rounded up to whole pages\); give a number"):
                asked(config, question, I)
            continue
        formula = asked(config, question, I).total(*Kind)
        assert [formula.subs({I: size}) if is_symbolic(formula) else formula for size in SIZES] == numbers
