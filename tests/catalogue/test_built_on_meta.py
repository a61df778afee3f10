"""Built without memory and filled from a checkpoint: the very layer, tables that no checkpoint holds included."""

import copy
import pickle
from operator import attrgetter

import pytest
import torch
from strategies import KINDS, typical

from seqcost.layers import build

every_kind = pytest.mark.parametrize("variant", KINDS, ids=attrgetter("id"))


def given_memory(layer):
    """What `to_empty` leaves behind is whatever stood there: here numbers that no table would have."""
    layer.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in layer.state_dict().values():
            tensor.fill_(7)
    return layer


@every_kind
def test_filled_from_a_checkpoint(variant, bench):
    config = typical(variant)
    saved = bench.layer(config)
    inputs = bench.inputs(saved, 2, 7, 3)
    with torch.device("meta"):
        empty, assigned, cast = build(config), build(config), build(config)
    given_memory(empty).load_state_dict(saved.state_dict())
    assigned.load_state_dict(copy.deepcopy(saved.state_dict()), assign=True)
    given_memory(cast.to(torch.float64)).load_state_dict(saved.state_dict())
    assert not any(t.is_meta for t in (*assigned.parameters(), *assigned.buffers()))
    exact = saved(*inputs)
    for layer in (empty, assigned, cast.float(), pickle.loads(pickle.dumps(empty)), copy.deepcopy(assigned)):
        assert torch.equal(layer(*inputs), exact)
        assert len(list(layer.parameters())) == len(list(saved.parameters()))  # what is shared stays shared


@every_kind
def test_there_and_back(variant, bench):
    """Through a narrower format only the weights are rounded, not the tables."""
    config = typical(variant)
    layer = bench.layer(config)
    tables = {name: buffer.clone() for name, buffer in layer.named_buffers()}
    layer.to(torch.bfloat16).to(torch.float32)
    saved = layer.state_dict()
    for name, buffer in layer.named_buffers():
        if name not in saved:
            assert torch.equal(buffer, tables[name])
