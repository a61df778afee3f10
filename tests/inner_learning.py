"""Test-time training by brute force: one sequence, one head, one token at a time, inner gradients by autograd.

Written from the equations of Sun et al. 2024 (arXiv 2407.04620, section 2), in float64, sharing no code with the layer.
The authors' own code is a single file that is on no package index, so no test can import it.
"""

import math

import torch
from oracles import relative_error
from torch import Tensor


def standardised(z: Tensor, epsilon: float) -> Tensor:
    return (z - z.mean()) / (z.var(correction=0) + epsilon).sqrt()


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def rotated(x: Tensor, place: int, frequency: Tensor) -> Tensor:
    """Features i and i + K/2 are the real and the imaginary part of a number that turns; cosines are float32."""
    real, imaginary = x.chunk(2)
    angle = place * frequency
    turned = torch.complex(real, imaginary) * torch.complex(angle.cos(), angle.sin()).to(torch.complex128)
    return torch.cat([turned.real, turned.imag])


def brute_force(layer: torch.nn.Module, x_BTD: Tensor) -> Tensor:
    """What the layer must give."""
    m, p = layer.config, dict(layer.named_parameters())
    names = [name for inner, *_ in m.inner for name in (inner, f"{inner}_bias")]

    def head(x_TD: Tensor, h: int) -> Tensor:
        rows = slice(h * m.K, (h + 1) * m.K)

        def model(weights: list[Tensor], a: Tensor) -> Tensor:
            for i in range(0, len(weights), 2):
                a = (gelu(a) if i else a) @ weights[i] + weights[i + 1][0]
            return standardised(a, m.epsilon) * p["gain"][h] + p["shift"][h]

        weights, answers = [p[name][h] for name in names], []
        for t, x in enumerate(x_TD):
            place = t % m.C
            if place == 0:
                first, sums = weights, [0.0] * len(weights)
            q = rotated(p["query.weight"][rows] @ x, place, layer.frequency)
            k = rotated(p["key.weight"][rows] @ x, place, layer.frequency)
            v = p["value.weight"][rows] @ x
            rate = m.base_rate / m.K * torch.sigmoid(p["rate.weight"][h] @ x + p["rate.bias"][h])
            loss = 0.5 * (model(first, k) - (v - k)).pow(2).sum()
            sums = [
                s + rate * g for s, g in zip(sums, torch.autograd.grad(loss, first, create_graph=True), strict=True)
            ]
            pace = torch.clamp(1 / (place + 1) + p["place_rate"][place], min=0)
            weights = [w - pace * s for w, s in zip(first, sums, strict=True)]
            answers.append(q + model(weights, q))
        return torch.stack(answers)

    rows = []
    for x_TD in x_BTD:
        y = torch.cat([head(x_TD, h) for h in range(m.H)], dim=1)
        y = torch.stack([standardised(one, m.epsilon) for one in y]) * p["post_norm.weight"] + p["post_norm.bias"]
        if m.gate:
            y = y * gelu(x_TD @ p["gate.weight"].T)
        rows.append(y @ p["output.weight"].T)
    return torch.stack(rows)


def learner(kind: type[torch.nn.Module], dtype: torch.dtype = torch.float64, **sizes: object) -> torch.nn.Module:
    """A layer no weight of which is exactly 0 or 1."""
    torch.manual_seed(0)
    layer = kind(**sizes).to(dtype)
    with torch.no_grad():
        for weight in layer.parameters():
            weight += 0.1 * torch.randn_like(weight)
    return layer


def difference(layer: torch.nn.Module, x: Tensor, ours: Tensor, theirs: Tensor) -> float:
    """Of outputs, and of the gradients of the input and every weight: the worst."""
    seed = torch.randn(theirs.shape, generator=torch.Generator().manual_seed(1), dtype=theirs.dtype)
    wanted = [x, *layer.parameters()]
    ours_d, theirs_d = (torch.autograd.grad((y * seed).sum(), wanted, retain_graph=True) for y in (ours, theirs))
    scale = max(float(g.abs().max()) for g in theirs_d)
    worst = max(float((a - b).abs().max()) for a, b in zip(ours_d, theirs_d, strict=True))
    return max(relative_error(ours, theirs), worst / scale)


def in_pieces(layer: torch.nn.Module, x: Tensor, pieces: list[int]) -> Tensor:
    """The sequence through a carried state."""
    state, outputs = layer.init_state(len(x)), []
    for piece in x.split(pieces, dim=1):
        y, state = layer.extend(piece, state)
        outputs.append(y)
    return torch.cat(outputs, dim=1)
