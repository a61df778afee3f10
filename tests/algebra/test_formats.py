import pytest
import torch

import seqcost
from seqcost.algebra.formats import ITEMSIZE, NAMES, dtype_named
from seqcost.errors import UnknownName
from seqcost.fakes.formats import check_dtype


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_the_format_that_torch_knows_it_by(name):
    full = dtype_named(name.upper())
    assert getattr(torch, full).itemsize == ITEMSIZE[full]
    assert dtype_named(getattr(torch, full)) == full
    assert check_dtype(name) == getattr(torch, full)


@pytest.mark.parametrize("given", ["bf61", "", "int8", 16, None, torch.int8, "torch"])
def test_what_is_none_is_refused(given):
    with pytest.raises(UnknownName, match="unknown dtype"):
        dtype_named(given)


def test_every_question_takes_short_names():
    assert seqcost.count("gru-layer", dtype="bf16").dtype == "bfloat16"
    assert seqcost.count("gru-layer", dtype=torch.float16, trace=True, sizes={"D": 8}).dtype == "float16"
    assert seqcost.diff("gru-layer", "rnn-layer", dtype="half").b.dtype == "float16"
    whole = seqcost.compare(["gru"], lengths="8", dtype="double", trace=False, sizes={"D": 8})
    assert whole.points[0].count.dtype == "float64"
    short, long = (seqcost.letters("gru-layer", "D", dtype=name) for name in ("bf16", "bfloat16"))
    assert short == long
