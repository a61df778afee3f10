"""Thirty small modules of the kinds that people train, for peaks of memory: MODULES gives each with its inputs."""

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

B, T, D, H, U = 2, 24, 48, 4, 90


class Of(nn.Module):
    """A function of the inputs and of parts by their order."""

    def __init__(self, function, *parts):
        super().__init__()
        self.function = function
        self.parts = nn.ModuleList(part for part in parts if isinstance(part, nn.Module))
        self.weights = nn.ParameterList(torch.randn(part) * 0.1 for part in parts if isinstance(part, tuple))

    def forward(self, *inputs):
        return self.function(*inputs, *self.parts, *self.weights)


def linear(width_in=D, width_out=D, **kwargs):
    return nn.Linear(width_in, width_out, **kwargs)


def heads(x):
    return x.view(*x.shape[:2], H, -1).transpose(1, 2)


def merged(x):
    return x.transpose(1, 2).flatten(2)


def attended(x, qkv, out, *, causal=True):
    q, k, v = (heads(part) for part in qkv(x).chunk(3, -1))
    return out(merged(functional.scaled_dot_product_attention(q, k, v, is_causal=causal)))


def decoder(ids, words, places, norm1, qkv, out, norm2, up, down, norm3):
    x = words(ids) + places(torch.arange(ids.shape[1]))
    x = x + attended(norm1(x), qkv, out)
    x = x + down(functional.gelu(up(norm2(x)), approximate="tanh"))
    return functional.linear(norm3(x), words.weight)


def rotated(x, qkv, out):
    q, k, v = (heads(part) for part in qkv(x).chunk(3, -1))
    angles = torch.arange(x.shape[1])[:, None] * torch.logspace(0, -2, q.shape[-1] // 2)
    cos, sin = torch.cos(angles), torch.sin(angles)

    def turned(y):
        a, b = y.chunk(2, -1)
        return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)

    weights = (turned(q) @ turned(k).mT / q.shape[-1] ** 0.5).softmax(-1)
    return out(merged(weights @ v))


def recurrent(x, cell):
    h, outputs = x.new_zeros(x.shape[0], D), []
    for x_BD in x.unbind(1):
        h = cell(x_BD, h)
        outputs.append(h)
    return torch.stack(outputs, 1)


def long_short(x, cell):
    state, outputs = (x.new_zeros(x.shape[0], D), x.new_zeros(x.shape[0], D)), []
    for t in range(x.shape[1]):
        state = cell(x[:, t], state)
        outputs.append(state[0])
    return torch.stack(outputs, 1)


def residual_planes(x, first, norm1, second, norm2):
    return functional.relu(norm2(second(functional.relu(norm1(first(x))))) + x)


def dilated(x, *convolutions):
    for convolution in convolutions:
        x = x + functional.gelu(convolution(functional.pad(x, (2 * convolution.dilation[0], 0))))
    return x


def convolved_by_fourier(x, kernel_DT, skip_D):
    n = 2 * x.shape[1]
    y = torch.fft.irfft(torch.fft.rfft(x.mT, n=n) * torch.fft.rfft(kernel_DT, n=n), n=n)[..., : x.shape[1]]
    return y.mT + x * skip_D


def summed_attention(x, qkv, out):
    q, k, v = (heads(part) for part in qkv(x).chunk(3, -1))
    q, k = functional.elu(q) + 1, functional.elu(k) + 1
    state = (k[..., None] * v[..., None, :]).cumsum(2)
    norm = (q * k.cumsum(2)).sum(-1, keepdim=True)
    return out(merged((q[..., None, :] @ state)[..., 0, :] / norm))


def root_mean_square(x, up, down, weight):
    normed = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * weight
    return x + down(functional.silu(up(normed)))


def mixed(x, norm, over_time, up, down):
    x = x + over_time(norm(x).transpose(1, 2)).transpose(1, 2)
    return x + down(functional.gelu(up(norm(x))))


def perceived(x, queries, keys_values, out, latents):
    k, v = (heads(part) for part in keys_values(x).chunk(2, -1))
    q = heads(queries(latents.expand(x.shape[0], -1, -1)))
    return out(merged(functional.scaled_dot_product_attention(q, k, v)))


def on_a_graph(x, edges, first, second):
    def passed(h):
        return torch.zeros_like(h).index_add(1, edges[1], h[:, edges[0]])

    return second(passed(functional.relu(first(passed(x)))))


def coded(x, encode, decode):
    mean, log_variance = encode(x).chunk(2, -1)
    z = mean + torch.randn_like(mean) * torch.exp(log_variance / 2)
    divergence = (mean.square() + log_variance.exp() - log_variance - 1).sum() / 2
    return functional.mse_loss(decode(z), x) + divergence


def compared(x, tower):
    a, b = tower(x[:, ::2]).mean(1), tower(x[:, 1::2]).mean(1)
    return functional.cosine_similarity(a, b)


def weighed_experts(x, router, up, down):
    weights = router(x).softmax(-1)
    hidden = functional.gelu(torch.einsum("btd,edf->btef", x, up))
    return torch.einsum("btef,efd,bte->btd", hidden, down, weights)


def sharpest(x, project):
    scores = project(x) @ project(x).mT
    kept = scores.topk(4, -1).values[..., -1:]
    return scores.masked_fill(scores < kept, float("-inf")).softmax(-1) @ x


def excited(x, convolution, squeeze, excite):
    y = convolution(x)
    return y * torch.sigmoid(excite(functional.relu(squeeze(y.mean((2, 3))))))[..., None, None]


def on_a_grid(x, weights):
    centres = torch.linspace(-2, 2, 8)
    return torch.einsum("btdg,dgo->bto", torch.exp(-((x[..., None] - centres) ** 2)), weights)


def highway(x, *gates):
    for gate in gates:
        h, t = gate(x).chunk(2, -1)
        t = torch.sigmoid(t)
        x = torch.relu(h) * t + x * (1 - t)
    return x


def scanned(x, gates):
    a, b = gates(x).chunk(2, -1)
    a, h, outputs = torch.sigmoid(a), torch.zeros_like(b[:, 0]), []
    for t in range(x.shape[1]):
        h = a[:, t] * h + (1 - a[:, t]) * b[:, t]
        outputs.append(h)
    return torch.stack(outputs, 1)


def recomputed(x, *blocks):
    for block in blocks:
        x = x + checkpoint(block, x, use_reentrant=False)
    return x


def set_step_by_step(x, project):
    out = torch.zeros_like(x)
    for t in range(x.shape[1]):
        out[:, t] = torch.tanh(project(x[:, t]))
    return out


def features(*shape):
    return lambda: torch.randn(*(shape or (B, T, D)), requires_grad=True)


def ids():
    return torch.randint(0, U, (B, T))


def mlp(*extra):
    return nn.Sequential(linear(D, 4 * D), nn.GELU(), *extra, linear(4 * D, D))


MODULES = {
    "feed-forward with dropout": (lambda: mlp(nn.Dropout(0.1)), features()),
    "activations in place": (lambda: nn.Sequential(linear(), nn.ReLU(True), linear(), nn.SiLU(True)), features()),
    "language model, tied": (
        lambda: Of(decoder, nn.Embedding(U, D), nn.Embedding(T, D), nn.LayerNorm(D), linear(D, 3 * D), linear(),
                   nn.LayerNorm(D), linear(D, 4 * D), linear(4 * D, D), nn.LayerNorm(D)), ids),
    "encoder and decoder": (
        lambda: nn.Transformer(D, H, 1, 1, 2 * D, batch_first=True), lambda: (features()(), features(B, 11, D)())),
    "rotated attention": (lambda: Of(rotated, linear(D, 3 * D, bias=False), linear(bias=False)), features()),
    "summed attention": (lambda: Of(summed_attention, linear(D, 3 * D), linear()), features()),
    "sharpest scores": (lambda: Of(sharpest, linear()), features()),
    "latents": (lambda: Of(perceived, linear(), linear(D, 2 * D), linear(), (5, D)), features()),
    "root mean square": (lambda: Of(root_mean_square, linear(D, 3 * D), linear(3 * D, D), (D,)), features()),
    "mixer": (lambda: Of(mixed, nn.LayerNorm(D), linear(T, T), linear(D, 2 * D), linear(2 * D, D)), features()),
    "recomputed": (lambda: Of(recomputed, mlp(), mlp(), mlp()), features()),
    "weighed experts": (lambda: Of(weighed_experts, linear(D, 3), (3, D, 2 * D), (3, 2 * D, D)), features()),
    "lstm, two ways": (lambda: nn.LSTM(D, 20, 2, bidirectional=True, batch_first=True), features()),
    "gru": (lambda: nn.GRU(D, D, batch_first=True), features()),
    "rnn cell": (lambda: Of(recurrent, nn.RNNCell(D, D)), features()),
    "gru cell": (lambda: Of(recurrent, nn.GRUCell(D, D)), features()),
    "lstm cell": (lambda: Of(long_short, nn.LSTMCell(D, D)), features()),
    "gated scan": (lambda: Of(scanned, linear(D, 2 * D)), features()),
    "set step by step": (lambda: Of(set_step_by_step, linear()), features()),
    "highway": (lambda: Of(highway, linear(D, 2 * D), linear(D, 2 * D)), features()),
    "dilated convolutions": (
        lambda: Of(dilated, *(nn.Conv1d(D, D, 3, dilation=2**i) for i in range(3))), features(B, D, T)),
    "residual planes": (
        lambda: Of(residual_planes, nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16),
                   nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16)), features(B, 16, 12, 12)),
    "squeezed and excited": (
        lambda: Of(excited, nn.Conv2d(16, 32, 3, padding=1), linear(32, 8), linear(8, 32)), features(B, 16, 10, 10)),
    "image classifier": (
        lambda: nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3),
                              nn.GroupNorm(4, 32), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear(32, 10)),
        lambda: torch.randn(B, 3, 20, 20)),
    "convolved by Fourier": (lambda: Of(convolved_by_fourier, (D, T), (D,)), features()),
    "bag of words": (lambda: nn.Sequential(nn.EmbeddingBag(U, D), linear(), nn.ReLU(), linear(D, 3)), ids),
    "graph": (
        lambda: Of(on_a_graph, linear(), linear()), lambda: (features()(), torch.randint(0, T, (2, 60)))),
    "code and noise": (lambda: Of(coded, linear(D, 2 * D), linear()), features()),
    "compared towers": (lambda: Of(compared, mlp()), features()),
    "functions on a grid": (lambda: Of(on_a_grid, (D, 8, D)), features()),
}  # fmt: skip
_NUMBER = "8 bytes: the number that autograd keeps of `x / number` shows itself to nobody"
# Where the peak of a training step is not the profiler's: why, and the most bytes that it is too low by.
NAMED = {
    "rotated attention": (_NUMBER, 8),
    "code and noise": (_NUMBER, 8),
}
