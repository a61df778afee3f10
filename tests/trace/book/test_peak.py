"""Peak bytes of a traced run against what PyTorch's allocator reached in a real one."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from seqcost.programs import Target
from seqcost.programs.inputs import example_inputs
from seqcost.programs.program import prepare
from seqcost.trace import trace

D, H, U = 64, 4, 97


class Attention(nn.Module):
    def __init__(self, *, fused, causal=False):
        super().__init__()
        self.qkv, self.out = nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.fused, self.causal = fused, causal

    def forward(self, x_BTD):
        B, T, _ = x_BTD.shape
        q, k, v = (t.view(B, T, H, D // H).transpose(1, 2) for t in self.qkv(x_BTD).chunk(3, -1))
        if self.fused:
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        else:
            scores = q @ k.transpose(-1, -2) * (D // H) ** -0.5
            if self.causal:
                scores = scores.masked_fill(torch.ones(T, T, dtype=torch.bool).triu(1), float("-inf"))
            y = scores.softmax(-1) @ v
        return self.out(y.transpose(1, 2).reshape(B, T, D))


class FeedForward(nn.Module):
    def __init__(self, activation, *, gated=False):
        super().__init__()
        self.up, self.down = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)
        self.gate = nn.Linear(D, 4 * D) if gated else None
        self.activation = activation

    def forward(self, x):
        hidden = self.activation(self.up(x) if self.gate is None else self.gate(x))
        return self.down(hidden if self.gate is None else hidden * self.up(x))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(U, D), nn.Embedding(1024, D)
        self.mixers = nn.ModuleList(Attention(fused=True, causal=True) for _ in range(2))
        self.mlps = nn.ModuleList(FeedForward(functional.gelu) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(D) for _ in range(5))
        self.head = nn.Linear(D, U, bias=False)
        self.head.weight = self.words.weight

    def forward(self, ids):
        x = self.words(ids) + self.places(torch.arange(ids.shape[1]))
        for i, (mixer, mlp) in enumerate(zip(self.mixers, self.mlps, strict=True)):
            x = x + mixer(self.norms[2 * i](x))
            x = x + mlp(self.norms[2 * i + 1](x))
        return self.head(self.norms[-1](x))


CASES = {
    "attention": lambda: Attention(fused=False),
    "attention-causal": lambda: Attention(fused=False, causal=True),
    "fused": lambda: Attention(fused=True),
    "fused-causal": lambda: Attention(fused=True, causal=True),
    "relu": lambda: FeedForward(functional.relu),
    "gelu": lambda: FeedForward(functional.gelu),
    "swiglu": lambda: FeedForward(functional.silu, gated=True),
    "layer-norm": lambda: nn.LayerNorm(D),
    "rms-norm": lambda: nn.RMSNorm(D),
    "embedding-head": lambda: nn.Sequential(nn.Embedding(1000, D), nn.Linear(D, 1000)),
    "rnn": lambda: nn.RNN(D, D, batch_first=True),
    "lstm": lambda: nn.LSTM(D, D, batch_first=True),
    "lstm-widening": lambda: nn.LSTM(48, D, batch_first=True),
    "gru": lambda: nn.GRU(D, D, batch_first=True),
    "gpt": GPT,
    "encoder-layer": lambda: nn.TransformerEncoderLayer(D, H, 4 * D, batch_first=True),
    "multi-head": lambda: nn.MultiheadAttention(D, H, batch_first=True),
}
LOOPS = ("rnn", "gru")


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["forward", "train"])
@pytest.mark.parametrize("name", CASES)
def test_traced_peak_is_the_allocators(name, phase, measured_peak):
    for T in (64, 200) if name in LOOPS else (64, 200, 512):
        module = CASES[name]()
        # An empty list of lengths: the run at T alone. Loops beyond 160 steps are derived from short ones instead.
        lengths = None if name in LOOPS and T > 160 else ()
        traced = trace(Target.of_module(module), phase=phase, B=2, T=T, lengths=lengths)
        program = prepare(module, example_inputs(module, 2, T), phase=phase)
        real = measured_peak(program)
        assert traced.rung == "fake tensors"
        assert traced.peak_bytes == pytest.approx(real, abs=64), (T, traced.peak_bytes - real)
