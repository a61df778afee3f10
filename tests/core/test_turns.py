"""A turn that stands for many: costs, chain and memory are those of all turns written out, whatever becomes of each."""

import pytest
from tape_and_torch import B, D, Written

from seqcost.algebra import symbol
from seqcost.formulas.core.workload import Workload
from seqcost.questions.answers.phases import by_formula


def carried(t, x, turns):
    """Each turn's result is the next one's operand, and then gone: but for what autograd keeps."""
    y = t.parts(x, (B, 1, D), (B, x.shape[1] - 1, D))[0]
    for _ in turns:
        y = t.unary("turn", t.unary("scale", y, "scale"), "exp")
    return y


def held(t, x, turns):
    """Each turn's result stays until all are added up."""
    y = t.parts(x, (B, 1, D), (B, x.shape[1] - 1, D))[0]
    made = [t.unary("turn", y, "exp") for _ in turns]
    return t.add("sum", made[0], made[-1])


PROGRAMS = {"carried": carried, "held": held}


@pytest.mark.parametrize("phase", ["forward", "train"])
@pytest.mark.parametrize("n", [6, 7, 20])
@pytest.mark.parametrize("name", PROGRAMS)
def test_as_if_written_out(name, n, phase):
    def answer(turns):
        body = Written(body=lambda t, x: PROGRAMS[name](t, x, turns(t)))
        return by_formula(body, Workload(B=B, T=3), phase, remembering=True)

    # `range` passes every turn by itself; the gradients of turns that nobody reads are not asked for
    by_loop, written_out = answer(lambda t: t.loop(n)), answer(lambda t: range(n))
    for bill in ("flops", "moved", "depth", "saved"):
        assert getattr(by_loop.bills, bill).total() == getattr(written_out.bills, bill).total(), bill
    assert sum(row.launches for row in by_loop.rows) == sum(row.launches for row in written_out.rows)
    assert by_loop.peak_bytes == written_out.peak_bytes


def test_in_a_letter():
    n = symbol("n")
    layer = Written(body=lambda t, x: carried(t, x, t.loop(n)))
    by_number = [Written(body=lambda t, x, k=k: carried(t, x, t.loop(k))) for k in (6, 50)]
    run = Workload(B=B, T=3)
    for k, numbers in zip((6, 50), by_number, strict=True):
        assert layer.flops(run).substitute(n=k).total() == numbers.flops(run).total()
        assert layer.depth(run).substitute(n=k).total() == numbers.depth(run).total() == 2 * k
