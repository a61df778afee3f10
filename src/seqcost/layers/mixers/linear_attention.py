"""Linear attention with its feature maps and forms. Letters: see formulas.

Definition, cost and source: `seqcost.formulas.mixers.linear_attention`.
"""

import dataclasses
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqcost.errors import BadSize
from seqcost.formulas.mixers import linear_attention
from seqcost.layers.core.causal import CausalLayer
from seqcost.layers.core.full_precision import full_precision
from seqcost.layers.core.layer import check_features, check_keep
from seqcost.layers.core.open_length import Tensors, Turn, walk
from seqcost.layers.core.state import State, start_state
from seqcost.layers.ops.chunks import at_least_float32
from seqcost.layers.ops.gated_linear_attention import (
    gated_linear_attention,
    gated_linear_attention_step,
    masked_attention,
    summed_attention,
)


@dataclasses.dataclass(frozen=True)
class Sums(State):
    """Σ φ(k) vᵀ [B,H,K,V] and, where the layer normalises, Σ φ(k) [B,H,K]: float32 at least."""

    S_BHKV: Tensor
    z_BHK: Tensor | None


class LinearAttention(CausalLayer):
    """See `seqcost.formulas.mixers.linear_attention`.

    `keep` [B,T] is True for tokens that count and False for padding. The random features of
    feature="favor" are drawn when the layer is made and saved with the weights; `redraw` draws new ones.
    """

    Config = linear_attention.LinearAttention
    random_RK: Tensor

    def __init__(self, config: linear_attention.LinearAttention | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        self.query = nn.Linear(m.D, m.H * m.K, bias=m.bias)
        self.key = nn.Linear(m.D, m.H * m.K, bias=m.bias)
        self.value = nn.Linear(m.D, m.H * m.V, bias=m.bias)
        self.output = nn.Linear(m.H * m.V, m.D, bias=m.bias)
        if m.feature == "favor":
            self.register_buffer("random_RK", orthogonal_features(m.R, m.K, like=self.query.weight))

    def settle_buffers(self, before: Mapping[str, Tensor | None]) -> None:
        super().settle_buffers(before)
        drawn = before.get("random_RK")
        if drawn is not None and self.random_RK.dtype.itemsize < torch.float32.itemsize:
            self.random_RK = drawn.to(self.random_RK.device, torch.float32)  # features are float32 at least

    def redraw(self) -> None:
        """New random features, from PyTorch's global generator."""
        m = self.config
        if m.feature != "favor":
            raise BadSize(f"redraw was asked of feature={m.feature!r}; only 'favor' has random features.")
        self.random_RK.copy_(orthogonal_features(m.R, m.K, like=self.random_RK))

    def forward(self, x_BTD: Tensor, *, keep: Tensor | None = None) -> Tensor:
        m = self.config
        if m.causal:
            return super().forward(x_BTD, keep=keep)
        check_features(self, x_BTD)
        q, k, v = self._features(x_BTD)
        if keep is not None:
            check_keep(self, x_BTD, keep)
            k = k.masked_fill(~keep[:, :, None, None], 0)
        y = summed_attention(q, k, v)
        return self._joined(self._over(y, q, k.sum(1).unsqueeze(1)) if m.normalise else y, x_BTD)

    def whole(self, x_BTD: Tensor) -> Tensor:
        if self.config.form != "parallel":
            return super().whole(x_BTD)
        q, k, v = self._features(x_BTD)
        y, _ = masked_attention(q, k, v)
        return self._joined(self._over(y, q, k.cumsum(1)) if self.config.normalise else y, x_BTD)

    def init_state(self, batch: int) -> Sums:
        m = self.config
        if not m.causal:
            raise BadSize(
                "linear attention with causal=False sees the future and has no state; call it on the whole sequence."
            )
        weight = self.query.weight
        S = start_state(batch, m.H, m.features, m.V, like=weight)
        return Sums(S, start_state(batch, m.H, m.features, like=weight) if m.normalise else None)

    def extend(self, x_BTD: Tensor, state: Sums) -> tuple[Tensor, Sums]:
        m = self.config
        check_features(self, x_BTD)
        if m.form == "recurrent" and x_BTD.shape[1]:
            y, state = self._steps(x_BTD, state)
            return self._joined(y, x_BTD), state
        q, k, v = self._features(x_BTD)
        if x_BTD.shape[1] == 0:
            return self._joined(v, x_BTD), state
        S: Tensor | None
        if m.form == "parallel":
            y, S = masked_attention(q, k, v, state.S_BHKV)
            assert S is not None
        else:
            y, S = gated_linear_attention(q, k, v, state.S_BHKV, C=m.C)
        if state.z_BHK is None:
            return self._joined(y, x_BTD), Sums(S, None)
        z_BTHK = state.z_BHK.unsqueeze(1) + k.cumsum(1)
        after = Sums(S, z_BTHK[:, -1].clone(memory_format=torch.contiguous_format))
        return self._joined(self._over(y, q, z_BTHK), x_BTD), after

    def step(self, x_BD: Tensor, state: Sums) -> tuple[Tensor, Sums]:
        y, state = self._token(*self._features(x_BD), state)
        return self._joined(y, x_BD), state

    def _features(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """φ(q), φ(k) and v of [B,T,D] or [B,D] by heads, in float32 at least."""
        m = self.config
        q, k, v = (
            at_least_float32(project(x).unflatten(-1, (m.H, width)))
            for project, width in ((self.query, m.K), (self.key, m.K), (self.value, m.V))
        )
        return self._feature(q, query=True), self._feature(k, query=False), v

    def _feature(self, x: Tensor, *, query: bool) -> Tensor:
        match self.config.feature:
            case "identity":
                return x
            case "relu":
                return F.relu(x)
            case "elu":
                return F.elu(x) + 1
        return favor(x, self.random_RK, stabilise=query)

    def _over(self, y: Tensor, q: Tensor, z: Tensor) -> Tensor:
        return y / ((q * z).sum(-1, keepdim=True) + self.config.normaliser_epsilon)

    def _token(self, q_BHK: Tensor, k_BHK: Tensor, v_BHV: Tensor, state: Sums) -> tuple[Tensor, Sums]:
        y, S = gated_linear_attention_step(q_BHK, k_BHK, v_BHV, state.S_BHKV)
        if state.z_BHK is None:
            return y, Sums(S, None)
        z = state.z_BHK + k_BHK
        return self._over(y, q_BHK, z), Sums(S, z)

    def _steps(self, x_BTD: Tensor, state: Sums) -> tuple[Tensor, Sums]:
        x_TBD = x_BTD.transpose(0, 1).clone(memory_format=torch.contiguous_format)  # so that a token is one piece

        def token(before: Tensors, signals: Tensors) -> Turn:
            q, k, v = signals
            y, after = self._token(q, k, v, _sums(*before))
            return tuple(after.tensors()), (y,)

        last, (y_BTHV,) = walk(token, tuple(state.tensors()), self._features(x_TBD), dim=0, into=1)
        return y_BTHV, _sums(*last)

    def _joined(self, y: Tensor, x: Tensor) -> Tensor:
        """Heads side by side, through the output projection, in the dtype of the input."""
        return self.output(y.flatten(-2).to(x.dtype))

    def reference(self, x_BTD: Tensor) -> Tensor:
        """Two sums over the tokens seen, read by each token's query."""
        m = self.config
        q, k, v = self._features(x_BTD)
        rows = []
        S, z = torch.einsum("bthk,bthv->bhkv", k, v), k.sum(1)
        if m.causal:
            S, z = torch.zeros_like(S), torch.zeros_like(z)
        for t in range(x_BTD.shape[1]):
            if m.causal:
                S = S + torch.einsum("bhk,bhv->bhkv", k[:, t], v[:, t])
                z = z + k[:, t]
            y = torch.einsum("bhkv,bhk->bhv", S, q[:, t])
            if m.normalise:
                y = y / (torch.einsum("bhk,bhk->bh", z, q[:, t]) + m.normaliser_epsilon)[..., None]
            rows.append(y)
        return self._joined(torch.stack(rows, dim=1), x_BTD)


def _sums(S_BHKV: Tensor, z_BHK: Tensor | None = None) -> Sums:
    return Sums(S_BHKV, z_BHK)


@full_precision
def favor(x: Tensor, random_RK: Tensor, *, stabilise: bool) -> Tensor:
    """Positive random features [...,R] of x [...,K]: exp(Ω x' − ‖x'‖²/2)/√R with x' = x/K^¼.

    `stabilise` takes the greatest exponent off each row, which cancels where a query's features appear above and below
    a fraction; a key's do not, since its row is summed with others.
    """
    R, K = random_RK.shape
    x = x * K**-0.25
    exponent = F.linear(x, random_RK) - x.square().sum(-1, keepdim=True) / 2
    if stabilise:
        exponent = exponent - exponent.detach().amax(-1, keepdim=True)
    return exponent.exp() * R**-0.5


def orthogonal_features(R: int, K: int, like: Tensor) -> Tensor:
    """Ω [R,K]: blocks of K orthogonal directions, each row as long as a Gaussian vector; float32 at least."""
    q, r = torch.linalg.qr(torch.randn(-(-R // K), K, K))
    # Householder's signs lean to one side; those of r's diagonal make every direction as likely as any other.
    directions = (q * r.diagonal(dim1=1, dim2=2).sign().unsqueeze(1)).flatten(0, 1)
    rows = directions[:R] * torch.randn(R, K).norm(dim=1, keepdim=True)
    return rows.to(like.device, torch.promote_types(like.dtype, torch.float32))
