"""Our blocks against torch's Transformer layers with the same weights, in training mode (no fused fast path)."""

import pytest
import torch
from oracles import assert_agree, copy_weights, decoder_layer, encoder_layer
from torch import nn

from seqcost.formulas.stacks.transformer import TransformerBlock
from seqcost.layers import build

ORDERS = ("pre", "post")
ACTIVATIONS = ("relu", "gelu")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def twins(kind, order, activation, **choices):
    theirs = kind(16, 4, 24, dropout=0.0, activation=activation, batch_first=True, norm_first=order == "pre").train()
    with torch.no_grad():  # torch begins with biases of 0 and gains of 1
        for weight in theirs.parameters():
            weight += 0.1 * torch.randn_like(weight)
    ours = build(TransformerBlock(D=16, H=4, F=24, order=order, activation=activation, **choices))
    return ours, theirs


def pair(*shape):
    x = torch.randn(shape)
    return x.clone().requires_grad_(), x.clone().requires_grad_()


@pytest.mark.parametrize("causal", [True, False], ids=["causal", "bidirectional"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("order", ORDERS)
def test_equals_transformer_encoder_layer(order, activation, causal):
    ours, theirs = twins(nn.TransformerEncoderLayer, order, activation, causal=causal)
    copy_weights(ours, theirs, encoder_layer(order))
    x, z = pair(2, 63, 16)
    mask = nn.Transformer.generate_square_subsequent_mask(63) if causal else None
    y = theirs(z, src_mask=mask, is_causal=causal)
    assert_agree(ours, theirs, encoder_layer(order), (ours(x), y), ((x,), (z,)))


@pytest.mark.parametrize("order", ORDERS)
def test_equals_transformer_encoder_layer_with_padding(order):
    ours, theirs = twins(nn.TransformerEncoderLayer, order, "relu", causal=False)
    copy_weights(ours, theirs, encoder_layer(order))
    x, z = pair(2, 63, 16)
    keep = torch.arange(63).expand(2, 63) < torch.tensor([[50], [63]])
    y = theirs(z, src_key_padding_mask=~keep)
    assert_agree(ours, theirs, encoder_layer(order), (ours(x, keep=keep), y), ((x,), (z,)))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("order", ORDERS)
def test_equals_transformer_decoder_layer(order, activation):
    ours, theirs = twins(nn.TransformerDecoderLayer, order, activation, cross=True)
    copy_weights(ours, theirs, decoder_layer(order))
    x, z = pair(2, 63, 16)
    source, their_source = pair(2, 17, 16)
    mask = nn.Transformer.generate_square_subsequent_mask(63)
    y = theirs(z, their_source, tgt_mask=mask, tgt_is_causal=True)
    assert_agree(ours, theirs, decoder_layer(order), (ours(x, source), y), ((x, source), (z, their_source)))


def test_a_wrong_weight_is_noticed():
    ours, theirs = twins(nn.TransformerEncoderLayer, "pre", "gelu", causal=False)
    copy_weights(ours, theirs, encoder_layer("pre"))
    with torch.no_grad():
        ours.get_parameter("feed_forward.inner.inner.up.bias")[0] += 0.01
    x, z = pair(2, 63, 16)
    with pytest.raises(AssertionError):
        assert_agree(ours, theirs, encoder_layer("pre"), (ours(x), theirs(z)), ((x,), (z,)))
