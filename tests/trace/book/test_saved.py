"""What forward keeps for backward, against hooks of the test's own that lose what the graph loses, on real tensors."""

import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from seqcost.programs import Target
from seqcost.trace import trace

B, T, D = 2, 25, 64
STORAGE = B * T * D * 4


class Held:
    def __init__(self, tensor):
        self.tensor = tensor.detach()


def kept_at_the_end(module, x):
    """Bytes of distinct storages that the graph holds once the call has returned, weights excepted."""
    packed = []

    def pack(tensor):
        held = Held(tensor)
        packed.append(weakref.ref(held))
        return held

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda held: held.tensor):
        result = module(x)
    weights = {p.untyped_storage()._cdata for p in module.parameters()}
    found = [held.tensor.untyped_storage() for reference in packed if (held := reference()) is not None]
    del result
    return sum({s._cdata: s.nbytes() for s in found if s._cdata not in weights}.values())


class DropsABranch(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.other = nn.Linear(D, D), nn.Linear(D, D)

    def forward(self, x):
        self.other(x * x.exp()).tanh().softmax(-1)  # nobody reads it
        return self.layer(x).relu()


class DropsAState(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(D, D)

    def forward(self, x):
        state, outputs = x.new_zeros(B, D), []
        for token in x.unbind(1):
            outputs.append((state * token).tanh())
            state = self.layer(token).sigmoid() * (state + token.exp())  # the last one is not read
        return torch.stack(outputs, 1)


class KeepsABranch(DropsABranch):
    def forward(self, x):
        self.last = self.other(x * x.exp()).tanh().softmax(-1)
        return self.layer(x).relu()


class GradientPenalty(nn.Module):
    def __init__(self, create_graph=True):
        super().__init__()
        self.layer, self.create_graph = nn.Sequential(nn.Linear(D, 2 * D), nn.Tanh(), nn.Linear(2 * D, 1)), create_graph

    def forward(self, x):
        with torch.enable_grad():
            x = x if x.requires_grad else x.detach().requires_grad_()
            score = self.layer(x)
            (slope,) = torch.autograd.grad(score.sum(), x, create_graph=self.create_graph)
        return slope.square() + self.layer(x)


class WithoutAGraph(GradientPenalty):
    def __init__(self):
        super().__init__(create_graph=False)


class PartlyWithoutGradients(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(D, D)

    def forward(self, x):
        with torch.no_grad():
            gate = self.layer(x).sigmoid()
        return F.silu(self.layer(x)) * gate


MODULES = [DropsABranch, DropsAState, KeepsABranch, GradientPenalty, WithoutAGraph, PartlyWithoutGradients]


@pytest.mark.parametrize("kind", MODULES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("phase", ["forward", "train"])
def test_it_is_what_the_graph_holds_at_the_end(kind, phase):
    torch.manual_seed(0)
    module, x = kind(), torch.randn(B, T, D, requires_grad=True)
    found = trace(Target.of_module(module, (x,)), phase=phase, B=B, T=T, lengths=())
    assert found.saved.total() == kept_at_the_end(module, x)


def test_by_hand():
    def saved(kind):
        x = torch.randn(B, T, D, requires_grad=True)
        return trace(Target.of_module(kind(), (x,)), phase="train", B=B, T=T, lengths=()).saved.total()

    assert saved(DropsABranch) == 2 * STORAGE  # the input of the product, the result of relu
    assert saved(KeepsABranch) == saved(DropsABranch) + 4 * STORAGE  # exp, its product with x, tanh, softmax
