"""Our engines in the words of other packages: what each adapter is given and returns is the engine's, in float32.

An adapter's first argument is the package's function. Both flash-linear-attention (arXiv 2312.06635; fla/ops) and this
package lay tensors out as [B,T,H,K] and states as [B,H,K,V], and take gates as logarithms; theirs scales queries by
1/√K unless told otherwise, wants one dtype for queries, keys and values, and answers in it. mamba-ssm's selective scan
(mamba_ssm/ops/selective_scan_interface.py) has the tokens last. Letters: as in the engines.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seqcost.errors import BadTarget
from seqcost.layers.ops.chunks import at_least_float32

Function = Callable[..., Any]
Result = tuple[Tensor, Tensor]

WRITING = 2.0**-16  # step size of the tokens that write a state: its decay is near 1 and its inverse exact


def linear_attention(
    chunk_simple_gla: Function, q_BTHK: Tensor, k_BTHK: Tensor, v_BTHV: Tensor, state_BHKV: Tensor, gate: Tensor | None
) -> Result:
    """Without a gate, with one per head [H], or one per token and head [B,T,H]."""
    gates: dict[str, Tensor] = {}
    if gate is not None and gate.dim() == 1 and not gate.requires_grad:
        gates["g_gamma"] = gate
    elif gate is not None:  # a constant that is learnt, too: theirs has no gradient
        gates["g"] = gate.expand(v_BTHV.shape[:3]).contiguous()
    return _once(*chunk_simple_gla(*_alike(q_BTHK, k_BTHK, v_BTHV), **gates, **_carrying(state_BHKV)))


def gated_linear_attention(
    chunk_gla: Function, q_BTHK: Tensor, k_BTHK: Tensor, v_BTHV: Tensor, state_BHKV: Tensor, gate_BTHK: Tensor
) -> Result:
    """With one gate per key feature."""
    return _once(*chunk_gla(*_alike(q_BTHK, k_BTHK, v_BTHV), gate_BTHK, **_carrying(state_BHKV)))


def delta_rule(
    chunk_delta_rule: Function, q_BTHK: Tensor, k_BTHK: Tensor, v_BTHV: Tensor, beta_BTH: Tensor, state_BHKV: Tensor
) -> Result:
    """Without a decay; the keys are normalised before."""
    return _once(*chunk_delta_rule(*_alike(q_BTHK, k_BTHK, v_BTHV), beta_BTH, **_carrying(state_BHKV)))


def gated_delta_rule(
    chunk_gated_delta_rule: Function,
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    beta_BTH: Tensor,
    log_decay_BTH: Tensor,
    state_BHKV: Tensor,
) -> Result:
    """With one decay per token and head."""
    q, k, v = _alike(q_BTHK, k_BTHK, v_BTHV)
    return _once(*chunk_gated_delta_rule(q, k, v, g=log_decay_BTH, beta=beta_BTH, **_carrying(state_BHKV)))


def ssd(
    chunk_simple_gla: Function, x_BTHV: Tensor, gate_BTH: Tensor, write_BTGN: Tensor, read_BTGN: Tensor, state: Tensor
) -> Result:
    """As linear attention: C_t is the query, B_t the key, x_t the value; the state [B,H,V,N] lies the other way."""
    heads = x_BTHV.shape[2] // write_BTGN.shape[2]
    write_BTHN, read_BTHN = (z.repeat_interleave(heads, dim=2) for z in (write_BTGN, read_BTGN))
    y_BTHV, end_BHNV = chunk_simple_gla(
        read_BTHN, write_BTHN, x_BTHV.contiguous(), g=gate_BTH, **_carrying(state.mT.contiguous())
    )
    return _once(y_BTHV, end_BHNV.mT.contiguous())


def selective_scan(
    selective_scan_fn: Function,
    x_BTE: Tensor,
    delta_BTE: Tensor,
    rate_NE: Tensor,
    write_BTN: Tensor,
    read_BTN: Tensor,
    state_BNE: Tensor,
) -> Result:
    """With N tokens before that write the state, and N after that read it.

    The kernel starts at 0 and gives no gradient to its last state. Token n of the first writes the nth number of the
    state under a one-hot B, as much larger as it will decay until the last of them; token n of the last has δ = 0, so
    that nothing changes, and reads the nth number under a one-hot C.
    """
    (B, T), N = x_BTE.shape[:2], rate_NE.shape[0]
    hot_BNN = torch.eye(N, dtype=x_BTE.dtype, device=x_BTE.device).expand(B, N, N)
    none_BNE, none_BNN = torch.zeros_like(state_BNE), torch.zeros_like(hot_BNN)
    left_N1 = torch.arange(N - 1, -1, -1, dtype=x_BTE.dtype, device=x_BTE.device).unsqueeze(1)
    x_BNE = state_BNE * (rate_NE * left_N1 * -WRITING).exp() / WRITING
    y_BEL = selective_scan_fn(
        _tokens_last(x_BNE, x_BTE, none_BNE),
        _tokens_last(torch.full_like(state_BNE, WRITING), delta_BTE, none_BNE),
        rate_NE.mT.contiguous(),
        _tokens_last(hot_BNN, write_BTN, none_BNN),
        _tokens_last(none_BNN, read_BTN, hot_BNN),
    )
    y_BLE = y_BEL.transpose(1, 2)
    return _once(y_BLE[:, N : N + T].contiguous(), y_BLE[:, N + T :].contiguous())


def _alike(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return q.to(v.dtype).contiguous(), k.to(v.dtype).contiguous(), v.contiguous()


def _carrying(state: Tensor) -> dict[str, Any]:
    return {"scale": 1.0, "initial_state": state.contiguous(), "output_final_state": True}


def _tokens_last(*pieces_BTE: Tensor) -> Tensor:
    return torch.cat(pieces_BTE, dim=1).transpose(1, 2).contiguous()


def _once(y: Tensor, state: Tensor) -> Result:
    return _Once.apply(at_least_float32(y), state)


class _Once(torch.autograd.Function):
    """The same, but for gradients of gradients: a kernel's backward is cut off from the graph without a word."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, state: Tensor) -> Result:
        return y.view_as(y), state.view_as(state)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        if torch.is_grad_enabled():  # create_graph=True
            raise BadTarget("a kernel gives no gradients of gradients; call the layer under use_kernels('torch').")
        return gradients
