"""What the layers with a delta rule have in common. Letters: see formulas; E = H·(2K + V) features of q, k, v."""

import dataclasses

import torch
from torch import Tensor, nn

from seqcost.formulas.parts import delta
from seqcost.layers.core.causal import CausalLayer
from seqcost.layers.core.layer import check_features
from seqcost.layers.core.state import State, empty
from seqcost.layers.ops.chunks import at_least_float32
from seqcost.layers.ops.delta_rule import delta_rule, delta_rule_step
from seqcost.layers.ops.row_norms import l2_norm, rms_norm
from seqcost.layers.ops.short_conv import conv_weight, short_conv


@dataclasses.dataclass(frozen=True)
class DeltaState(State):
    """S of each head [B,H,K,V], in float32 at least, and the convolution's last inputs [B,k−1,E]."""

    S_BHKV: Tensor
    past_BkE: Tensor


class Delta(CausalLayer):
    """See `seqcost.formulas.parts.delta`."""

    Config = delta.Delta

    def __init__(self, config: delta.Delta | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        self.query_key_value = nn.Linear(m.D, m.features, bias=False)
        self.conv = conv_weight(m.features, m.k)
        self.beta = nn.Linear(m.D, m.H, bias=False)
        self.gain = nn.Parameter(torch.ones(m.V))
        self.output = nn.Linear(m.H * m.V, m.D, bias=False)

    def log_decay(self, x_BTD: Tensor) -> Tensor | None:
        """Logarithm of the state's decay [B,T,H]; None where it does not decay."""
        return None

    def gated(self, x_BTD: Tensor, y_BTE: Tensor) -> Tensor:
        """The normalised outputs [B,T,H·V] on their way out."""
        return y_BTE

    def init_state(self, batch: int) -> DeltaState:
        m, weight = self.config, self.conv
        wide = torch.promote_types(weight.dtype, torch.float32)
        S_BHKV = torch.zeros(batch, m.H, m.K, m.V, dtype=wide, device=weight.device)
        return DeltaState(S_BHKV, empty(batch, m.k - 1, m.features, like=weight))

    def extend(self, x_BTD: Tensor, state: DeltaState) -> tuple[Tensor, DeltaState]:
        check_features(self, x_BTD)
        return self._mix(x_BTD, state, chunked=True)

    def step(self, x_BD: Tensor, state: DeltaState) -> tuple[Tensor, DeltaState]:
        y_B1D, state = self._mix(x_BD.unsqueeze(1), state, chunked=False)
        return y_B1D.squeeze(1), state

    def _mix(self, x_BTD: Tensor, state: DeltaState, *, chunked: bool) -> tuple[Tensor, DeltaState]:
        qkv_BTE, past_BkE = short_conv(self.query_key_value(x_BTD), self.conv, None, state.past_BkE)
        q_BTHK, k_BTHK, v_BTHV, beta_BTH = self._keys(x_BTD, qkv_BTE)
        log_BTH = self.log_decay(x_BTD)
        if chunked:
            y_BTHV, S_BHKV = delta_rule(q_BTHK, k_BTHK, v_BTHV, beta_BTH, log_BTH, state.S_BHKV, self.config.C)
        else:
            log_BH = None if log_BTH is None else log_BTH[:, 0]
            token = (q_BTHK[:, 0], k_BTHK[:, 0], v_BTHV[:, 0], beta_BTH[:, 0], log_BH)
            y_BHV, S_BHKV = delta_rule_step(*token, state.S_BHKV)
            y_BTHV = y_BHV.unsqueeze(1)
        return self._out(x_BTD, y_BTHV), DeltaState(S_BHKV, past_BkE)

    def _keys(self, x_BTD: Tensor, qkv_BTE: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        m = self.config
        q, k, v = nn.functional.silu(qkv_BTE).split([m.H * m.K, m.H * m.K, m.H * m.V], dim=-1)
        q_BTHK, k_BTHK = (l2_norm(at_least_float32(x).unflatten(-1, (m.H, m.K))) for x in (q, k))
        return q_BTHK, k_BTHK, v.unflatten(-1, (m.H, m.V)), self.beta(x_BTD).sigmoid()

    def _out(self, x_BTD: Tensor, y_BTHV: Tensor) -> Tensor:
        y_BTHV = rms_norm(y_BTHV, self.config.epsilon).to(x_BTD.dtype) * self.gain
        return self.output(self.gated(x_BTD, y_BTHV.flatten(2)))

    def reference(self, x_BTD: Tensor) -> Tensor:
        """A token at a time: forget, look up under the key, write the difference, read under the query."""
        m = self.config
        B, T, _ = x_BTD.shape
        qkv_BTE = self.query_key_value(x_BTD)
        past = [qkv_BTE.new_zeros(B, m.features)] * (m.k - 1) + list(qkv_BTE.unbind(1))
        taps = self.conv.unbind(1)
        qkv = [sum(w * past[t + j] for j, w in enumerate(taps)) for t in range(T)]
        q, k, v, beta = self._keys(x_BTD, torch.stack(qkv, dim=1))
        log_decay = self.log_decay(x_BTD)
        S_BHKV, out = self.init_state(B).S_BHKV, []
        for t in range(T):
            if log_decay is not None:
                S_BHKV = S_BHKV * log_decay[:, t].exp()[..., None, None]
            said_BHV = torch.einsum("bhk,bhkv->bhv", k[:, t], S_BHKV)
            new_BHV = beta[:, t].unsqueeze(-1) * (v[:, t] - said_BHV)
            S_BHKV = S_BHKV + torch.einsum("bhk,bhv->bhkv", k[:, t], new_BHV)
            out.append(torch.einsum("bhk,bhkv->bhv", q[:, t], S_BHKV))
        return self._out(x_BTD, torch.stack(out, dim=1))
