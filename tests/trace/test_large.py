"""A model of 405 billion parameters is traced in little memory; how fast is in benchmarks/speed.md."""

import json
import subprocess
import sys
import textwrap

import pytest

LLAMA = """
    import json
    import torch
    from torch import nn
    from torch.nn import functional
    from seqcost.measure.resident import peak_resident_bytes
    from seqcost.programs import Target
    from seqcost.trace import trace


    class Block(nn.Module):
        def __init__(self, D, H, G, F):
            super().__init__()
            self.K = D // H
            self.norm_1, self.norm_2 = nn.RMSNorm(D), nn.RMSNorm(D)
            self.q, self.out = nn.Linear(D, D, bias=False), nn.Linear(D, D, bias=False)
            self.k, self.v = (nn.Linear(D, G * self.K, bias=False) for _ in range(2))
            self.gate, self.up = (nn.Linear(D, F, bias=False) for _ in range(2))
            self.down = nn.Linear(F, D, bias=False)

        def forward(self, x, cos, sin):
            h = self.norm_1(x)
            q, k, v = (part(h).unflatten(-1, (-1, self.K)).transpose(1, 2) for part in (self.q, self.k, self.v))
            q, k = (t * cos + torch.cat((-t[..., self.K // 2 :], t[..., : self.K // 2]), -1) * sin for t in (q, k))
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            x = x + self.out(y.transpose(1, 2).flatten(2))
            h = self.norm_2(x)
            return x + self.down(functional.silu(self.gate(h)) * self.up(h))


    class Llama(nn.Module):
        def __init__(self, U=128256, D=16384, L=126, H=128, G=8, F=53248):
            super().__init__()
            self.words, self.norm, self.head = nn.Embedding(U, D), nn.RMSNorm(D), nn.Linear(D, U, bias=False)
            self.blocks = nn.ModuleList(Block(D, H, G, F) for _ in range(L))
            self.K = D // H

        def forward(self, ids):
            x = self.words(ids)
            angles = torch.arange(ids.shape[1])[:, None] * 5e5 ** (-torch.arange(0, self.K, 2) / self.K)
            cos, sin = angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)
            for block in self.blocks:
                x = block(x, cos, sin)
            return self.head(self.norm(x))


    result = trace(Target("llama", Llama), phase="forward", B=1, T=8192)
    print(json.dumps({
        "params": result.params, "flops": str(result.polynomials["flops"]),
        "resident_bytes": peak_resident_bytes(),
    }))
"""


@pytest.mark.slow
def test_llama_405b_within_two_gibibytes():
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LLAMA)], capture_output=True, text=True, check=True, timeout=120
    )
    found = json.loads(run.stdout)
    assert found["params"] == 405_853_388_800
    assert found["flops"] == "8257536·T² + 807495794688·T"
    assert found["resident_bytes"] < 2 * 2**30
