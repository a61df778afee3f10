"""Random modules over forty-eight operators, and their FLOPs by a count of its own: a mode that sees real products."""

import random
from math import prod

import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

B, T, D = 2, 6, 8


def _square(x):
    return torch.matmul(x, x.transpose(1, 2)) @ x


def _attention(x):
    return torch.softmax(x @ x.mT / D**0.5, -1) @ x


def _heads(x):
    q = x.view(B, T, 2, D // 2).transpose(1, 2)
    return torch.einsum("bhts,bhsd->bhtd", torch.einsum("bhtd,bhsd->bhts", q, q), q).transpose(1, 2).reshape(B, T, D)


FUNCTIONS = {
    "relu": torch.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "tanh": torch.tanh,
    "exp": torch.exp,
    "sigmoid": torch.sigmoid,
    "softmax": lambda x: torch.softmax(x, -1),
    "log_softmax": lambda x: x.log_softmax(-1),
    "neg": torch.neg,
    "abs": torch.abs,
    "sin": torch.sin,
    "square": torch.square,
    "clamp": lambda x: x.clamp(-1, 1),
    "mean": lambda x: x - x.mean(1, keepdim=True),
    "sum": lambda x: x + x.sum(-1, keepdim=True),
    "cumsum": lambda x: x.cumsum(1),
    "flip": lambda x: x.flip(1),
    "roll": lambda x: x.roll(1, 1),
    "transposed": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    "max": lambda x: x.max(1, keepdim=True)[0] + x,
    "where": lambda x: torch.where(x > 0, x, 0.1 * x),
    "cat": lambda x: torch.cat([x[:, 1:], x[:, :1]], 1),
    "pad": lambda x: functional.pad(x, (0, 0, 1, 0))[:, :-1],
    "chunk": lambda x: torch.cat(x.chunk(2, -1)[::-1], -1),
    "glu": lambda x: functional.glu(torch.cat([x, x], -1), -1),
    "matmul": _square,
    "attention": _attention,
    "einsum": _heads,
    "outer": lambda x: torch.einsum("btd,bte->btde", x, x).sum(-1),
    "norm": lambda x: x / (1 + x.norm()),
    "tril": lambda x: (x @ x.mT).tril() @ x,
    "lerp": lambda x: torch.lerp(x, x.flip(1), 0.5),
    "addcmul": lambda x: torch.addcmul(x, x, x),
    "unfold": lambda x: x.unfold(1, 2, 2).sum(-1).repeat_interleave(2, 1),
    "gather": lambda x: x.gather(1, torch.zeros(B, T, D, dtype=torch.int64)),
    "hardtanh": functional.hardtanh,
    "addmm": lambda x: torch.addmm(x[0], x[0], torch.ones(D, D)) + x,
    "baddbmm": lambda x: torch.baddbmm(x, x @ x.mT, x),
}


class Convolved(nn.Module):
    def __init__(self, groups, width):
        super().__init__()
        self.inner = nn.Conv1d(D, D, width, padding=width - 1, groups=groups)

    def forward(self, x):
        return self.inner(x.transpose(1, 2))[..., :T].transpose(1, 2)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.RNNCell(D, D)

    def forward(self, x):
        h, out = x[:, 0], []
        for t in range(T):
            h = self.cell(x[:, t], h)
            out.append(h)
        return torch.stack(out, 1)


class Function(nn.Module):
    def __init__(self, name):
        super().__init__()
        self.name = name

    def forward(self, x):
        return FUNCTIONS[self.name](x)


LAYERS = {
    "linear": lambda: nn.Linear(D, D),
    "linear_without_bias": lambda: nn.Linear(D, D, bias=False),
    "wide": lambda: nn.Sequential(nn.Linear(D, 4 * D), nn.GELU(), nn.Linear(4 * D, D)),
    "layer_norm": lambda: nn.LayerNorm(D),
    "rms_norm": lambda: nn.RMSNorm(D),
    "conv": lambda: Convolved(1, 3),
    "depthwise": lambda: Convolved(D, 4),
    "grouped": lambda: Convolved(2, 2),
    "cell": Recurrent,
    "batch_norm": lambda: nn.Sequential(nn.Unflatten(1, (T, 1)), nn.Flatten(1, 2), nn.BatchNorm1d(T)),
}
NAMES = (*FUNCTIONS, *LAYERS)


class Residual(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return x + self.inner(x)


def random_module(seed, number):
    """A chain of one to six operators, some inside a residual, some twice; and their names."""
    draw = random.Random(f"modules/{seed}/{number}")
    names = [draw.choice(NAMES) for _ in range(draw.randint(1, 6))]
    layers = [nn.Linear(D, D)]  # something to train
    for name in names:
        layer = Function(name) if name in FUNCTIONS else LAYERS[name]()
        layers.append(Residual(layer) if draw.random() < 0.3 else layer)
    if draw.random() < 0.3:
        layers.append(layers[0])
    return ", ".join(names), nn.Sequential(*layers).train(draw.random() < 0.5)


class Products(TorchDispatchMode):
    """FLOPs of matrix products and convolutions as they run, two for each multiplication and addition."""

    def __init__(self):
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func._schema.name
        if name in ("aten::mm", "aten::bmm"):
            self.flops += 2 * out.numel() * args[0].shape[-1]
        elif name in ("aten::addmm", "aten::baddbmm"):
            self.flops += 2 * out.numel() * args[1].shape[-1]
        elif name in ("aten::mv", "aten::dot"):
            self.flops += 2 * args[0].numel()
        elif name == "aten::convolution":
            self.flops += 2 * out.numel() * prod(args[1].shape[1:])
        elif name == "aten::convolution_backward":
            grad, _, weight = args[:3]
            wanted = args[-1]
            self.flops += sum(wanted[:2]) * 2 * grad.numel() * prod(weight.shape[1:])
        return out


def counted(module, *, train):
    """FLOPs of a run on real tensors: forward, or forward and backward from the sum."""
    x = torch.randn(B, T, D)
    with Products() as products:
        if not train:
            with torch.no_grad():
                module(x)
        else:
            module(x).sum().backward()
    return products.flops
