"""Mamba: Hugging Face's mixer, mambapy, the published counts, and a trained model run through our layers."""

import math
from importlib.util import find_spec
from pathlib import Path

import pytest
import small
import torch
import torch.nn.functional as F
from oracles import assert_agree, copy_weights, relative_error, same
from torch import nn

from seqcost.algebra import Kind
from seqcost.formulas import Workload
from seqcost.formulas.catalogue import configure
from seqcost.formulas.mixers.mamba import Mamba as Formula
from seqcost.layers import Mamba
from seqcost.layers.ops.selective_scan import chunked_scan
from seqcost.layers.ops.short_conv import short_conv

VARIANTS = (
    small.Variant("mamba-layer", "mamba-layer", small.mamba()),
    small.Variant("mamba-layer-widths-differ", "mamba-layer", small.mamba(free=True)),
    small.Variant("mamba-layer-sequential", "mamba-layer", small.mamba(), {"form": "sequential"}),
    small.Variant("mamba", "mamba", small.mamba(model=True)),
)

D = 24


def table(prefix="", ours=""):
    """Of Hugging Face, mambapy and mamba_ssm alike: their A and filter lie otherwise."""
    linear = {"input": "in_proj", "select": "x_proj", "delta": "dt_proj", "output": "out_proj"}
    return {f"{ours}{name}.weight": same(f"{prefix}{theirs}.weight") for name, theirs in linear.items()} | {
        f"{ours}delta.bias": same(f"{prefix}dt_proj.bias"),
        f"{ours}conv": lambda get: get(f"{prefix}conv1d.weight").squeeze(1),
        f"{ours}conv_bias": same(f"{prefix}conv1d.bias"),
        f"{ours}log_rate": lambda get: get(f"{prefix}A_log").T,
        f"{ours}skip": same(f"{prefix}D"),
    }


def randomised(module):
    """No weight as it is drawn at the start, where A and the skip are the same everywhere."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in module.parameters():
            weight += 0.1 * torch.randn_like(weight)
    return module


@pytest.fixture
def hugging_face():
    modeling = pytest.importorskip("transformers.models.mamba.modeling_mamba", reason="the oracle is Hugging Face's")
    config = modeling.MambaConfig(hidden_size=D, state_size=5, num_hidden_layers=1)
    theirs = randomised(modeling.MambaMixer(config, 0))
    ours = Mamba(D=D, N=5, C=4, J=2)
    copy_weights(ours, theirs, table())
    return ours, theirs


def both(x):
    return x.clone().requires_grad_(), x.clone().requires_grad_()


@pytest.mark.parametrize("form", ["chunked", "sequential"])
def test_equals_hugging_face_in_outputs_and_gradients(hugging_face, form):
    ours, theirs = hugging_face
    ours = Mamba(D=D, N=5, C=4, J=2, form=form)
    copy_weights(ours, theirs, table())
    our_x, their_x = both(torch.randn(2, 37, D))
    assert_agree(ours, theirs, table(), (ours(our_x), theirs(their_x)), ((our_x,), (their_x,)))


def test_equals_mambapy_in_outputs_and_gradients():
    mambapy = pytest.importorskip("mambapy.mamba", reason="the oracle is mamba.py")
    theirs = randomised(mambapy.MambaBlock(mambapy.MambaConfig(d_model=D, n_layers=1)))
    ours = Mamba(D=D, C=4, J=2)
    copy_weights(ours, theirs, table())
    our_x, their_x = both(torch.randn(2, 37, D))
    assert_agree(ours, theirs, table(), (ours(our_x), theirs(their_x)), ((our_x,), (their_x,)))


def loop(layer, x):
    """The whole layer in float64, token by token, from its weights; the state lies as the paper's, [E,N]."""
    w = {name: weight.detach().double() for name, weight in layer.named_parameters()}
    m = layer.config
    A = -w["log_rate"].T.exp()
    h, past = torch.zeros(x.shape[0], m.E, m.N).double(), torch.zeros(x.shape[0], m.k, m.E).double()
    rows = []
    for t in range(x.shape[1]):
        u, z = (x[:, t].double() @ w["input.weight"].T).split(m.E, dim=-1)
        past = torch.cat([past[:, 1:], u[:, None]], dim=1)
        v = F.silu((past * w["conv"].T).sum(1) + w["conv_bias"])
        r, B, C = (v @ w["select.weight"].T).split([m.R, m.N, m.N], dim=-1)
        delta = F.softplus(r @ w["delta.weight"].T + w["delta.bias"])
        h = torch.exp(delta[..., None] * A) * h + (delta * v)[..., None] * B[:, None]
        rows.append((((h * C[:, None]).sum(-1) + w["skip"] * v) * F.silu(z)) @ w["output.weight"].T)
    return torch.stack(rows, dim=1)


@pytest.mark.parametrize("pieces", [(16, 16, 16), (1, 0, 40, 7)])
def test_several_tokens_at_once_carry_the_state(hugging_face, pieces):
    # Hugging Face's mixer starts anew from an empty state here.
    ours, _ = hugging_face
    x, state, y = torch.randn(2, 48, D), ours.init_state(2), []
    with torch.no_grad():
        for piece in x.split(pieces, dim=1):
            out, state = ours.extend(piece, state)
            y.append(out)
    assert relative_error(torch.cat(y, dim=1).double(), loop(ours, x)) < 2e-6


def test_a_long_text_in_float32():
    layer, x = randomised(Mamba(D=D)), torch.randn(1, 2000, D)
    with torch.no_grad():
        assert relative_error(layer(x).double(), loop(layer, x)) < 2e-6 * math.sqrt(2000 / 64)


def test_parameters_of_the_measured_block():
    assert Formula(D=256).params().total() == 437_760


@pytest.mark.parametrize(
    ("name", "parameters", "published_state"),
    [
        ("mamba-130m", 129_135_360, 737_280),
        ("mamba-370m", 371_516_416, None),
        ("mamba-790m", 793_204_224, None),
        ("mamba-1.4b", 1_372_178_432, None),
        ("mamba-2.8b", 2_768_345_600, 6_553_600),
    ],
)
def test_the_published_sizes(name, parameters, published_state):
    model = configure(name)
    assert model.params().total() == parameters
    (mixer,) = model.mixers
    elements = model.state_bytes(Workload(T=1000)).total() // 4
    assert elements == model.L * mixer.E * (mixer.N + mixer.k - 1)
    # Mamba's own cache holds k columns of the convolution, of which the oldest is never read.
    assert published_state in (None, elements + model.L * mixer.E)


def test_products_as_hugging_face_executes_them():
    # Measured there: 107,360,256 T + 147,456 at 4 layers; the constant is the convolution's padding, which we have not.
    model = configure("mamba-130m", L=4)
    assert model.flops(Workload(T=64)).total(Kind.CONTRACTION) == 107_360_256 * 64


def scan_flops(form, **sizes):
    return Formula(D=64, form=form, **sizes).recurrence_flops(Workload(B=2, T=1024)).total(*Kind)


def test_flops_of_the_scan():
    EN = 128 * 16
    assert scan_flops("sequential") == 2 * 1024 * (7 * EN + 128)  # and δ x, which has no N
    assert scan_flops("chunked", C=16) == 2 * 1024 * (9 * EN + 2 * EN // 16 + 128 + 128)  # and Σ δ


def test_chunks_keep_less_than_steps():
    run = Workload(B=2, T=1024)
    chunked, sequential = (Formula(D=64, form=form).saved_bytes(run) for form in ("chunked", "sequential"))
    a_state_a_token = 2 * 1024 * 128 * 16 * 4
    assert sequential.total() > 2 * a_state_a_token
    assert chunked.total() < a_state_a_token


class Typeseg(nn.Module):
    """typeseg's bidirectional Mamba over bytes, put together from our operators: one class for each byte."""

    def __init__(self, weights):
        super().__init__()
        self.w = {name: torch.from_numpy(array) for name, array in weights.items()}

    def product(self, x, name):
        return x @ self.w[f"{name}/kernel"] + self.w[f"{name}/bias"]

    def norm(self, x, name):
        return F.layer_norm(x, x.shape[-1:], self.w[f"{name}/scale"], self.w[f"{name}/bias"], 1e-6)

    def mixed(self, x, block):
        u, z = self.product(self.norm(x, f"{block}/LayerNorm_0"), f"{block}/Dense_0").chunk(2, dim=-1)
        # Centred: what a causal filter of 4 gives 2 tokens later, before which stands 1 token of padding.
        kernel = self.w[f"{block}/Conv_0/kernel"].squeeze(1).T
        v, _ = short_conv(F.pad(u, (0, 0, 0, 2)), kernel, self.w[f"{block}/Conv_0/bias"], u.new_zeros(1, 3, 256))
        v = F.silu(v[:, 2:])
        r, B, C = self.product(v, f"{block}/Dense_1").split([16, 16, 16], dim=-1)
        delta = F.softplus(self.product(r, f"{block}/Dense_2")) + 1e-4
        rate, empty = -self.w[f"{block}/A_log"].T.exp(), u.new_zeros(1, 16, 256)
        forth, _ = chunked_scan(v, delta, rate, B, C, empty, C=16, J=4)
        back, _ = chunked_scan(*(s.flip(1) for s in (v, delta)), rate, B.flip(1), C.flip(1), empty, C=16, J=4)
        y = forth + back.flip(1) + 2 * self.w[f"{block}/D"] * v
        return x + self.product(y * F.silu(z), f"{block}/Dense_3")

    def forward(self, tokens):
        x = self.w["Embed_0/embedding"][tokens].unsqueeze(0)
        for i in range(6):
            x = self.mixed(x, f"CheckpointMambaBlock1D_{i}")
        return self.product(self.norm(x, "LayerNorm_0"), "Dense_0").squeeze(0)


def test_a_trained_model_gives_its_own_logits():
    np = pytest.importorskip("numpy")
    if find_spec("typeseg") is None:
        pytest.skip("the trained weights are in typeseg 0.2.7")
    kernel = pytest.importorskip("typeseg._mamba_kernel", reason="typeseg 0.2.7 has its forward pass here")
    weights = np.load(Path(find_spec("typeseg").submodule_search_locations[0]) / "data" / "mamba_al.npz")
    text = b"<div class='a'>hi</div>\nSELECT name FROM users WHERE id = 3;\ndef f(x):\n    return x + 1\n" * 2
    tokens = np.frombuffer(text, np.uint8)
    named = {name.replace("__", "/"): weights[name] for name in weights.files}
    theirs = torch.from_numpy(kernel.mamba_forward(np, named, tokens))
    with torch.no_grad():
        ours = Typeseg(named)(torch.from_numpy(tokens.astype(np.int64)))
    assert relative_error(ours, theirs) < 1e-5
    assert torch.equal(ours.argmax(-1), theirs.argmax(-1))
