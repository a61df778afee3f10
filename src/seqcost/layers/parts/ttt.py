"""What TTT-Linear and TTT-MLP have in common: all but the shape of the inner model. See formulas/parts/ttt."""

import dataclasses
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqcost.formulas.parts import ttt
from seqcost.layers.core.causal import CausalLayer
from seqcost.layers.core.layer import check_features
from seqcost.layers.core.open_length import is_open, refuse_open
from seqcost.layers.core.state import State
from seqcost.layers.ops.chunks import at_least_float32, chunked, joined
from seqcost.layers.ops.ttt import (
    Inner,
    Rule,
    Tokens,
    fallen,
    mini_batches,
    one_token,
    open_mini_batches,
    part_of_mini_batch,
    sum_gradients,
)
from seqcost.layers.parts.rope import rope_frequency, rope_tables, rope_turn


@dataclasses.dataclass(frozen=True)
class Learner(State):
    """The inner model at the beginning of the mini-batch, the gradients since then, and the place in it.

    `weights` holds W [B,H,X,Y] and b [B,H,1,Y] of each layer of the inner model in turn, `sums` their gradients times
    the tokens' rates, summed. At place 0 a mini-batch has just closed: `weights` has its gradients already, and `sums`
    is not looked at. In float32 at least.
    """

    weights: tuple[Tensor, ...]
    sums: tuple[Tensor, ...]
    place: int = 0


class TttLayer(CausalLayer):
    """See `seqcost.formulas.parts.ttt`. A subclass says which inner model: the config's `inner`."""

    Config: ClassVar[type[ttt.Ttt]]
    frequency: Tensor

    def __init__(self, config: ttt.Ttt | None = None, /, **sizes: Any) -> None:
        super().__init__(config, **sizes)
        m = self.config
        width = m.H * m.K
        self.query = nn.Linear(m.D, width, bias=False)
        self.key = nn.Linear(m.D, width, bias=False)
        self.value = nn.Linear(m.D, width, bias=False)
        self.rate = nn.Linear(m.D, m.H)
        self.place_rate = nn.Parameter(torch.zeros(m.C))
        for name, read, given in m.inner:
            self.register_parameter(name, nn.Parameter(torch.empty(m.H, read, given).normal_(0, 0.02)))
            self.register_parameter(f"{name}_bias", nn.Parameter(torch.zeros(m.H, 1, given)))
        self.gain, self.shift = nn.Parameter(torch.ones(m.H, m.K)), nn.Parameter(torch.zeros(m.H, m.K))
        self.post_norm = nn.LayerNorm(width, eps=m.epsilon)
        if m.gate:
            self.gate = nn.Linear(m.D, width, bias=False)
        self.output = nn.Linear(width, m.D, bias=False)
        self.make_constants()
        nn.init.normal_(self.rate.weight, 0, 0.02)
        nn.init.zeros_(self.rate.bias)

    def constants(self) -> dict[str, Tensor | None]:
        m = self.config
        return {"frequency": rope_frequency(m.K, m.rope_base, self.query.weight.device)}

    def whole(self, x_BTD: Tensor) -> Tensor:
        B, T, _ = x_BTD.shape
        if not T:
            return x_BTD
        tokens, rule = self._prepared(x_BTD, self.config.C, place=0)
        if is_open(T):
            y_ZnCK = open_mini_batches(self._start(B), tokens, rule)
        else:
            y_ZnCK, *_ = mini_batches(self._start(B), tokens, rule)
        return self._output(x_BTD, self._answers(tokens, y_ZnCK, x_BTD))

    def init_state(self, batch: int) -> Learner:
        start = self._start(batch)
        sums = [(torch.zeros_like(W), torch.zeros_like(b)) for W, b in start]
        return Learner(self._carried(start), self._carried(sums))

    def extend(self, x_BTD: Tensor, state: Learner) -> tuple[Tensor, Learner]:
        check_features(self, x_BTD)
        T, C = x_BTD.shape[1], self.config.C
        if not T:
            return x_BTD, state
        refuse_open(T, "TTT's extend", "how many tokens there are decides which mini-batch is left half full")
        inner, sums, place = self._inner(state.weights), self._inner(state.sums), state.place
        rest = min(C - place, T) if place else 0
        pieces = []
        if rest:
            x = x_BTD[:, :rest]
            tokens, rule = self._prepared(x, rest, place)
            y_ZnCK, sums = part_of_mini_batch(inner, sums, tokens, rule)
            pieces.append(self._answers(tokens, y_ZnCK, x))
            place = (place + rest) % C
            if not place:
                inner = fallen(inner, sums, rule.fall_C[-1:])
        if rest < T:
            x = x_BTD[:, rest:]
            tokens, rule = self._prepared(x, C, 0)
            y_ZnCK, inner, seen = mini_batches(inner, tokens, rule)
            pieces.append(self._answers(tokens, y_ZnCK, x))
            sums = sum_gradients(seen, tokens.rate_ZnC1[:, -1])
            # Made whether the last mini-batch has closed or not, so that lengths of one count cost the same.
            after = fallen(inner, sums, rule.fall_C[-1:])
            place = (T - rest) % C
            inner = inner if place else after
        y_BTHK = torch.cat(pieces, dim=1) if len(pieces) > 1 else pieces[0]
        return self._output(x_BTD, y_BTHK), Learner(self._carried(inner), self._carried(sums), place)

    def step(self, x_BD: Tensor, state: Learner) -> tuple[Tensor, Learner]:
        x_BTD = x_BD.unsqueeze(1)
        check_features(self, x_BTD)
        inner, sums, place = self._inner(state.weights), self._inner(state.sums), state.place
        tokens, rule = self._prepared(x_BTD, 1, place)
        y_ZnCK, sums, after = one_token(inner, sums, tokens, rule, first=place == 0)
        y_BTD = self._output(x_BTD, self._answers(tokens, y_ZnCK, x_BTD))
        place = (place + 1) % self.config.C
        return y_BTD.squeeze(1), Learner(self._carried(inner if place else after), self._carried(sums), place)

    def reference(self, x_BTD: Tensor) -> Tensor:
        """The definition, token by token: gradients at the mini-batch's first weights, by automatic differentiation."""
        m = self.config
        (B, T, _), shape = x_BTD.shape, (m.H, m.K)
        q, k, v = (at_least_float32(p(x_BTD)).unflatten(-1, shape) for p in (self.query, self.key, self.value))
        rate_BTH = m.base_rate / m.K * at_least_float32(self.rate(x_BTD)).sigmoid()
        gain_H1K, shift_H1K = (at_least_float32(p).unsqueeze(1) for p in (self.gain, self.shift))

        def normalised(z_BH1K: Tensor) -> Tensor:
            # Written out: PyTorch's own takes mean and deviation for constants from its third derivative on.
            centred = z_BH1K - z_BH1K.mean(-1, keepdim=True)
            deviation = (centred.square().mean(-1, keepdim=True) + m.epsilon).rsqrt()
            return centred * deviation * gain_H1K + shift_H1K

        def f(weights: tuple[Tensor, ...], h_BH1K: Tensor) -> Tensor:
            for i in range(0, len(weights), 2):
                h_BH1K = (F.gelu(h_BH1K, approximate="tanh") if i else h_BH1K) @ weights[i] + weights[i + 1]
            return h_BH1K

        def loss(weights: tuple[Tensor, ...], k_BH1K: Tensor, v_BH1K: Tensor) -> Tensor:
            return (normalised(f(weights, k_BH1K)) - (v_BH1K - k_BH1K)).square().sum() / 2

        first = weights = self._carried(self._start(B))
        rows = []
        for t in range(T):
            place = t % m.C
            if not place:
                first, sums = weights, tuple(torch.zeros_like(W) for W in weights)
            cos, sin = rope_tables(place, 1, self.frequency, q)
            q_t, k_t = (rope_turn(p[:, t, :, None], cos, sin) for p in (q, k))
            slopes = torch.func.grad(loss)(first, k_t, v[:, t, :, None])
            sums = tuple(S + rate_BTH[:, t, :, None, None] * g for S, g in zip(sums, slopes, strict=True))
            fall = (1 / (place + 1) + at_least_float32(self.place_rate[place])).relu()
            weights = tuple(W - fall * S for W, S in zip(first, sums, strict=True))
            rows.append(q_t + normalised(f(weights, q_t)))
        return self._output(x_BTD, torch.cat(rows, dim=2).transpose(1, 2).to(x_BTD.dtype))

    def _prepared(self, x_BTD: Tensor, C: int, place: int) -> tuple[Tokens, Rule]:
        """The tokens in mini-batches of C, or parts of one, whose first stands at `place`."""
        m = self.config
        B, T, _ = x_BTD.shape
        q, k, v = (
            at_least_float32(chunked(p(x_BTD).view(B, T, m.H, m.K), C)) for p in (self.query, self.key, self.value)
        )
        cos, sin = (table.squeeze(1) for table in rope_tables(place, C, self.frequency, q))
        q, k = rope_turn(q, cos, sin), rope_turn(k, cos, sin)
        rate_BTH = at_least_float32(self.rate(x_BTD)).sigmoid() * (m.base_rate / m.K)
        gain_HK, shift_HK = at_least_float32(self.gain), at_least_float32(self.shift)
        error = (k - v).view(B, m.H, *k.shape[1:]) + shift_HK[:, None, None]
        scale = gain_HK.square()[:, None].expand(B, m.H, 1, m.K).clone(memory_format=torch.contiguous_format)
        tokens = Tokens(q, k, (error * gain_HK[:, None, None]).view_as(q), chunked(rate_BTH.unsqueeze(-1), C))
        return tokens, Rule(scale.view(B * m.H, 1, m.K), self._falls(q.dtype)[place : place + C], m.epsilon)

    def _falls(self, dtype: torch.dtype) -> Tensor:
        """−t of each place in the mini-batch: t = 1/(place + 1) + what is learned, not below 0."""
        own = torch.arange(1, self.config.C + 1, dtype=dtype, device=self.place_rate.device).reciprocal()
        return -(own + at_least_float32(self.place_rate)).relu()

    def _answers(self, tokens: Tokens, z_ZnCK: Tensor, x_BTD: Tensor) -> Tensor:
        """The query and LN(f(q)), added and back in [B,T,H,K]."""
        m = self.config
        B, T, _ = x_BTD.shape
        shape = (B, m.H, *z_ZnCK.shape[1:])
        normal = F.layer_norm(z_ZnCK, (m.K,), eps=m.epsilon).view(shape)
        gain, shift = (at_least_float32(p)[:, None, None] for p in (self.gain, self.shift))
        y = normal * gain + shift + tokens.q_ZnCK.view(shape)
        return joined(y.view(z_ZnCK.shape).to(x_BTD.dtype), B, T, m.H)

    def _output(self, x_BTD: Tensor, y_BTHK: Tensor) -> Tensor:
        y = self.post_norm(y_BTHK.flatten(2))
        return self.output(F.gelu(self.gate(x_BTD), approximate="tanh") * y if self.config.gate else y)

    def _start(self, batch: int) -> Inner:
        """The inner model that every sequence begins with: learned."""

        def copies(name: str) -> Tensor:
            weight = at_least_float32(getattr(self, name))
            one_each = weight.expand(batch, *weight.shape).clone(memory_format=torch.contiguous_format)
            return one_each.flatten(0, 1)

        return [(copies(name), copies(f"{name}_bias")) for name, *_ in self.config.inner]

    def _inner(self, tensors: tuple[Tensor, ...]) -> Inner:
        flat = [x.flatten(0, 1) for x in tensors]
        return list(zip(flat[::2], flat[1::2], strict=True))

    def _carried(self, inner: Inner) -> tuple[Tensor, ...]:
        return tuple(x.unflatten(0, (-1, self.config.H)) for pair in inner for x in pair)
