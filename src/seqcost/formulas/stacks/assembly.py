"""How sublayers make a block, and blocks make a model: the same for every mixer."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from seqcost.algebra import Size
from seqcost.formulas.core.component import Component
from seqcost.formulas.parts.embedding import Embedding
from seqcost.formulas.parts.head import Head, Pooler
from seqcost.formulas.parts.norm import Norm
from seqcost.formulas.parts.positions import LearnedPositions, SinusoidalPositions, TokenType
from seqcost.formulas.stacks.chain import Chain, Repeat, Residual

Order = Literal["pre", "post"]
Positions = Literal["learned", "sinusoidal", "rope", "none"]
Ending = Literal["logits", "pooler", "none"]


def block_chain(sublayers: Mapping[str, Component], norm: Norm, order: Order) -> Chain:
    """Each sublayer around a residual connection, normalised before (pre) or after (post) it."""
    links: list[tuple[str, Component]] = []
    for name, sublayer in sublayers.items():
        if order == "pre":
            links.append((name, Residual(Chain((("norm", norm), ("", sublayer))))))
        else:
            links += [(name, Residual(sublayer)), (f"{name}_norm", norm)]
    return Chain(tuple(links))


def model_chain(
    blocks: Component | Repeat,
    *,
    U: Size,
    D: Size,
    M: Size,
    A: Size,
    positions: Positions,
    norm: Norm,
    embedding_norm: bool,
    order: Order,
    head: Ending,
    head_bias: bool,
    tied: bool,
    streams: int = 1,
) -> Chain:
    """Embedding, positions and token types where there are any, the blocks, the last norm of pre-norm, the ending.

    `streams` is how many vectors of width D the blocks give a token: 2 where they are reversible.
    """
    links: dict[str, Component | Repeat] = {"embedding": Embedding(U=U, D=D)}
    if positions == "learned":
        links["positions"] = LearnedPositions(M=M, D=D)
    elif positions == "sinusoidal":
        links["positions"] = SinusoidalPositions(D=D)
    if not (isinstance(A, int) and A == 0):
        links["token_type"] = TokenType(A=A, D=D)
    if embedding_norm:
        links["embedding_norm"] = norm
    links["blocks"] = blocks
    if order == "pre":
        links["norm"] = replace(norm, D=streams * D)
    if head == "logits":
        links["head"] = Head(D=streams * D, U=U, bias=head_bias, tied=tied)
    elif head == "pooler":
        links["pooler"] = Pooler(D=streams * D)
    return Chain.of(**links)
