"""Independent implementations of our layers, their weights copied over, and how closely two results agree.

A `Table` says for each of our parameters how to read it out of theirs. The same table copies the weights and, after a
backward pass on both sides, compares the gradients.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Get = Callable[[str], Tensor]
Table = dict[str, Callable[[Get], Tensor]]


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference over the largest number."""
    ours, theirs = ours.detach(), theirs.detach()
    scale = theirs.abs().max().clamp_min(torch.finfo(theirs.dtype).tiny)
    return float((ours - theirs).abs().max() / scale)


def copy_weights(ours: nn.Module, theirs: nn.Module, table: Table) -> None:
    """Their weights in our layer; every parameter of ours must be in the table."""
    assert set(table) == {name for name, _ in ours.named_parameters()}
    with torch.no_grad():
        for name, read in table.items():
            ours.get_parameter(name).copy_(read(lambda their_name: theirs.get_parameter(their_name).detach()))


def assert_agree(
    ours: nn.Module,
    theirs: nn.Module,
    table: Table,
    outputs: tuple[Tensor, Tensor],
    inputs: tuple[tuple[Tensor, ...], tuple[Tensor, ...]] = ((), ()),
    *,
    tolerance: float = 1e-5,
) -> None:
    """Outputs, gradients of the inputs and of every weight agree."""
    our_y, their_y = outputs
    assert our_y.shape == their_y.shape
    assert relative_error(our_y, their_y) < tolerance
    seed = torch.randn(our_y.shape, generator=torch.Generator().manual_seed(1), dtype=our_y.dtype)
    our_y.backward(seed)
    their_y.backward(seed)
    for x, z in zip(*inputs, strict=True):
        assert relative_error(x.grad, z.grad) < tolerance

    def gradient(their_name: str) -> Tensor:
        return theirs.get_parameter(their_name).grad

    # A key's bias has a gradient of 0 up to rounding, so errors are held against the largest gradient of all.
    scale = max(float(read(gradient).abs().max()) for read in table.values())
    for name, read in table.items():
        error = float((ours.get_parameter(name).grad - read(gradient)).abs().max())
        assert error < tolerance * scale, name


def same(their_name: str) -> Callable[[Get], Tensor]:
    """Their parameter as it is."""
    return lambda get: get(their_name)


def rows(their_name: str, part: int, parts: int) -> Callable[[Get], Tensor]:
    """One of several equal parts of a parameter, along its first axis."""
    return lambda get: get(their_name).chunk(parts)[part]


def columns(their_name: str, part: int = 0, parts: int = 1) -> Callable[[Get], Tensor]:
    """One of several equal parts of a transposed weight (Hugging Face's Conv1D)."""
    return lambda get: get(their_name).chunk(parts, dim=-1)[part].mT


def renamed(pairs: dict[str, str], *, bias: bool = True) -> Table:
    """Ours.weight ← theirs.weight, and the bias likewise."""
    kinds = ("weight", "bias") if bias else ("weight",)
    return {f"{ours}.{kind}": same(f"{theirs}.{kind}") for ours, theirs in pairs.items() for kind in kinds}


def multihead(ours: str = "", theirs: str = "") -> Table:
    """`nn.MultiheadAttention`: q, k and v one below the other."""
    table: Table = {}
    for part, name in enumerate(("query", "key", "value")):
        table[f"{ours}{name}.weight"] = rows(f"{theirs}in_proj_weight", part, 3)
        table[f"{ours}{name}.bias"] = rows(f"{theirs}in_proj_bias", part, 3)
    return table | renamed({f"{ours}output": f"{theirs}out_proj"})


def encoder_layer(order: str) -> Table:
    """`nn.TransformerEncoderLayer` against our block."""
    return _torch_layer(order, {"attention": "self_attn"})


def decoder_layer(order: str) -> Table:
    """`nn.TransformerDecoderLayer` against our block with cross-attention."""
    return _torch_layer(order, {"attention": "self_attn", "cross_attention": "multihead_attn"})


def _torch_layer(order: str, attentions: dict[str, str]) -> Table:
    inner = "inner.inner" if order == "pre" else "inner"
    table: Table = {}
    for ours, theirs in attentions.items():
        table |= multihead(f"{ours}.{inner}.", f"{theirs}.")
    table |= renamed({f"feed_forward.{inner}.up": "linear1", f"feed_forward.{inner}.down": "linear2"})
    for i, name in enumerate([*attentions, "feed_forward"], start=1):
        norm = f"{name}.inner.norm" if order == "pre" else f"{name}_norm"
        table |= renamed({f"{norm}.norm": f"norm{i}"})
    return table


def cell() -> Table:
    """`nn.RNN`, `nn.LSTM`, `nn.GRU`: one layer."""
    return {f"cell.{name}_l0": same(f"{name}_l0") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}


def gpt2(layers: int) -> Table:
    """`GPT2LMHeadModel`: weights stand transposed, q, k and v side by side."""
    table: Table = {
        "embedding.weight": same("transformer.wte.weight"),
        "positions.weight": same("transformer.wpe.weight"),
    } | renamed({"norm.norm": "transformer.ln_f"})
    for i in range(layers):
        ours, theirs = f"blocks.{i}", f"transformer.h.{i}"
        table |= renamed({f"{ours}.attention.inner.norm.norm": f"{theirs}.ln_1"})
        table |= renamed({f"{ours}.feed_forward.inner.norm.norm": f"{theirs}.ln_2"})
        products = {"output": "attn.c_proj", "up": "mlp.c_fc", "down": "mlp.c_proj"}
        for name, their_name in products.items():
            sublayer = "attention" if name == "output" else "feed_forward"
            table[f"{ours}.{sublayer}.inner.inner.{name}.weight"] = columns(f"{theirs}.{their_name}.weight")
            table[f"{ours}.{sublayer}.inner.inner.{name}.bias"] = same(f"{theirs}.{their_name}.bias")
        for part, name in enumerate(("query", "key", "value")):
            table[f"{ours}.attention.inner.inner.{name}.weight"] = columns(f"{theirs}.attn.c_attn.weight", part, 3)
            table[f"{ours}.attention.inner.inner.{name}.bias"] = rows(f"{theirs}.attn.c_attn.bias", part, 3)
    return table


def bert(layers: int) -> Table:
    """`BertModel` with its pooler."""
    table: Table = {
        "embedding.weight": same("embeddings.word_embeddings.weight"),
        "positions.weight": same("embeddings.position_embeddings.weight"),
        "token_type.weight": same("embeddings.token_type_embeddings.weight"),
    } | renamed({"embedding_norm.norm": "embeddings.LayerNorm", "pooler.dense": "pooler.dense"})
    for i in range(layers):
        ours, theirs = f"blocks.{i}", f"encoder.layer.{i}"
        table |= renamed(
            {f"{ours}.attention.inner.{n}": f"{theirs}.attention.self.{n}" for n in ("query", "key", "value")}
            | {
                f"{ours}.attention.inner.output": f"{theirs}.attention.output.dense",
                f"{ours}.attention_norm.norm": f"{theirs}.attention.output.LayerNorm",
                f"{ours}.feed_forward.inner.up": f"{theirs}.intermediate.dense",
                f"{ours}.feed_forward.inner.down": f"{theirs}.output.dense",
                f"{ours}.feed_forward_norm.norm": f"{theirs}.output.LayerNorm",
            }
        )
    return table


def llama(layers: int) -> Table:
    """`LlamaForCausalLM`, head not tied."""
    pairs = {"embedding": "model.embed_tokens", "norm.norm": "model.norm", "head": "lm_head"}
    for i in range(layers):
        ours, theirs = f"blocks.{i}", f"model.layers.{i}"
        pairs |= {
            f"{ours}.attention.inner.norm.norm": f"{theirs}.input_layernorm",
            f"{ours}.attention.inner.inner.query": f"{theirs}.self_attn.q_proj",
            f"{ours}.attention.inner.inner.key": f"{theirs}.self_attn.k_proj",
            f"{ours}.attention.inner.inner.value": f"{theirs}.self_attn.v_proj",
            f"{ours}.attention.inner.inner.output": f"{theirs}.self_attn.o_proj",
            f"{ours}.feed_forward.inner.norm.norm": f"{theirs}.post_attention_layernorm",
            f"{ours}.feed_forward.inner.inner.gate": f"{theirs}.mlp.gate_proj",
            f"{ours}.feed_forward.inner.inner.up": f"{theirs}.mlp.up_proj",
            f"{ours}.feed_forward.inner.inner.down": f"{theirs}.mlp.down_proj",
        }
    return renamed(pairs, bias=False)


def assert_equals_definition(layer: nn.Module, x: Tensor, definition: Callable[[nn.Module, Tensor], Tensor]) -> None:
    """Output and gradients of the input and of every weight are those of a definition over the layer's weights."""
    results = []
    for y in (definition(layer, x), layer(x)):
        loss = (y * torch.arange(y.numel()).view_as(y).cos()).sum()
        results.append((y, *torch.autograd.grad(loss, (x, *layer.parameters()))))
    scale = max(float(g.abs().max()) for g in results[0][1:])
    assert relative_error(results[1][0], results[0][0]) < 1e-5
    for ours, theirs in zip(results[1][1:], results[0][1:], strict=True):
        assert float((ours - theirs).abs().max()) < 1e-5 * scale  # a key's bias has a gradient of 0
