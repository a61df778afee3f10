"""Our engines with a kernel: random inputs of each, and a call that gives outputs, final state and gradients."""

import torch

from seqcost.layers.ops.delta_rule import delta_rule
from seqcost.layers.ops.gated_linear_attention import gated_linear_attention
from seqcost.layers.ops.selective_scan import chunked_scan
from seqcost.layers.ops.ssd import chunked_ssd


def drawn(sizes, device="cpu", dtype=torch.float32):
    """Signals in a dtype, gates and state in float32; numbers are drawn on the CPU."""
    torch.manual_seed(0)
    z = dict(zip("BTHKVGNE", sizes, strict=True))

    def normal(*shape, dtype=dtype):
        return torch.randn(shape).to(device, dtype).requires_grad_()

    def uniform(low, high, *shape):
        return (torch.rand(shape) * (high - low) + low).to(device).requires_grad_()

    def keys():
        return torch.nn.functional.normalize(torch.randn(z["B"], z["T"], z["H"], z["K"]), dim=-1)

    tokens = (z["B"], z["T"])
    q, k = (keys().to(device, dtype).requires_grad_() for _ in "qk")
    v, state = normal(*tokens, z["H"], z["V"]), normal(z["B"], z["H"], z["K"], z["V"], dtype=torch.float32)
    return {
        "qkv": (q, k, v),
        "state": state,
        "by_head": uniform(-1, 0, z["H"]),
        "by_token": uniform(-1, 0, *tokens, z["H"]),
        "by_feature": uniform(-1, 0, *tokens, z["H"], z["K"]),
        "beta": uniform(0, 1, *tokens, z["H"]),
        "ssd": (
            normal(*tokens, z["H"], z["V"], dtype=torch.float32),
            uniform(-1, 0, *tokens, z["H"]),
            normal(*tokens, z["G"], z["N"], dtype=torch.float32),
            normal(*tokens, z["G"], z["N"], dtype=torch.float32),
            normal(z["B"], z["H"], z["V"], z["N"], dtype=torch.float32),
        ),
        "scan": (
            normal(*tokens, z["E"], dtype=torch.float32),
            uniform(0, 1, *tokens, z["E"]),
            uniform(-4, 0, z["N"], z["E"]),
            normal(*tokens, z["N"], dtype=torch.float32),
            normal(*tokens, z["N"], dtype=torch.float32),
            normal(z["B"], z["N"], z["E"], dtype=torch.float32),
        ),
    }


def attention(z, gate=None):
    given = (*z["qkv"], z["state"])
    outputs = gated_linear_attention(*given, C=16, J=4, gate=gate)
    return outputs, [*given, *((gate,) if gate is not None and gate.requires_grad else ())]


def rule(z, decay=None):
    given = (*z["qkv"], z["beta"], decay, z["state"])
    return delta_rule(*given, 16), [x for x in given if x is not None]


CASES = {
    "linear-attention": ("linear_attention", lambda z: attention(z)),
    "retention": ("linear_attention", lambda z: attention(z, z["by_head"].detach())),
    "learnt-constant": ("linear_attention", lambda z: attention(z, z["by_head"])),
    "gate-a-token": ("linear_attention", lambda z: attention(z, z["by_token"])),
    "gate-a-feature": ("gated_linear_attention", lambda z: attention(z, z["by_feature"])),
    "delta-rule": ("delta_rule", lambda z: rule(z)),
    "gated-delta-rule": ("gated_delta_rule", lambda z: rule(z, z["by_token"])),
    "ssd": ("ssd", lambda z: (chunked_ssd(*z["ssd"], C=16), z["ssd"])),
    "selective-scan": ("selective_scan", lambda z: (chunked_scan(*z["scan"], C=4, J=2), z["scan"])),
}


def outputs_and_gradients(run, z):
    (y, state), wanted = run(z)
    loss = sum((x * torch.randn(x.shape, generator=torch.Generator().manual_seed(i)).to(x.device)).sum()
               for i, x in enumerate((y, state)))  # fmt: skip
    return [y, state, *torch.autograd.grad(loss, wanted)]
