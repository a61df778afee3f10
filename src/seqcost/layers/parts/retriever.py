"""Finds the neighbours that chunked cross-attention reads: a database of chunks, searched by likeness.

It stands among the parts because it is torch and belongs to one layer, `mixers/retro`, as a rotary table belongs to
attention; it has no weights of its own and no formula: a search is paid once a chunk, by another machine if need be.

The search is exact, a product with all keys, unless an index is given: anything with the `add(x)` and `search(x, k)` of
faiss (`pip install seqcost[retrieval]`), whose inner product is the likeness.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seqcost.errors import BadSize

Embed = Callable[[Tensor], Tensor]  # token ids [n,C] → vectors [n,E]
_AT_ONCE = 4096  # chunks embedded, or queries searched, in one go
_FACTORS = (1_000_003, 8191, 31)


def trigrams(ids_nC: Tensor, *, E: int = 1024) -> Tensor:
    """Roots of the counts of each chunk's trigrams, hashed to E places: likeness by wording, without a model; C ≥ 3."""
    places = (ids_nC.unfold(1, 3, 1) * torch.tensor(_FACTORS)).sum(-1) % E
    counts = torch.zeros(ids_nC.shape[0], E)
    return counts.scatter_add_(1, places, torch.ones(1).expand(places.shape)).sqrt_()


class Retriever:
    """J neighbours for each complete chunk of C tokens; a neighbour is a chunk of the database and what follows it.

        retriever = Retriever(database_N, C=64, J=2, R=128)
        neighbours_BS = retriever(ids_BT)  # S = ⌊T/C⌋·J·R, as `ChunkedCrossAttention` takes them, to be embedded

    Parameters
    ----------
    database_N
        Token ids, cut into chunks of C. The last ones, which R tokens would run over the end of, are left out.
    C, J, R
        Tokens of a chunk; neighbours of a chunk; tokens of a neighbour, the chunk and its continuation.
    embed
        Token ids [n,C] to vectors [n,E]; RETRO takes the mean of BERT's features.
    index
        An empty faiss index over inner products; None: exact search.

    """

    def __init__(
        self, database_N: Tensor, *, C: int, J: int, R: int, embed: Embed = trigrams, index: Any = None
    ) -> None:
        if database_N.dim() != 1 or R < C or (database_N.numel() - R) // C + 1 < J:
            raise BadSize(
                f"Retriever: a database of shape {tuple(database_N.shape)} was given for C = {C}, J = {J}, R = {R}; "
                "one row of at least R + (J − 1)·C tokens with R ≥ C is allowed."
            )
        self.C, self.J, self.R = C, J, R
        self._database_N, self._embed, self._index = database_N, embed, index
        chunks_nC = database_N.unfold(0, C, C)[: (database_N.numel() - R) // C + 1]
        keys = [self._embedded(some) for some in chunks_nC.split(_AT_ONCE)]
        self.num_chunks = len(chunks_nC)
        self._keys_nE = torch.cat(keys) if index is None else None
        for some in keys if index is not None else ():
            index.add(some.numpy())

    def __call__(self, ids_BT: Tensor, *, position_B: Tensor | None = None) -> Tensor:
        """Neighbours [B, ⌊T/C⌋·J·R] of the texts, the most alike first.

        `position_B` says where in the database each text begins, if it was taken from there: chunks that share a token
        with the text are then no neighbours of it, nor those whose continuation does. −1: from elsewhere.
        """
        B, T = ids_BT.shape
        chunks_qC = ids_BT[:, : T // self.C * self.C].reshape(-1, self.C)
        forbidden_qn = None
        if position_B is not None:
            forbidden_qn = [r for r in self._overlapping(position_B, T) for _ in range(T // self.C)]
        found_qJ = self._search(chunks_qC, forbidden_qn)
        rows_qJR = (found_qJ * self.C)[..., None] + torch.arange(self.R)
        return self._database_N[rows_qJR].reshape(B, -1)

    def _embedded(self, ids_nC: Tensor) -> Tensor:
        return torch.nn.functional.normalize(self._embed(ids_nC).float(), dim=-1)

    def _overlapping(self, position_B: Tensor, T: int) -> list[range]:
        """The chunks of which some of the R tokens lie in each text."""
        before = -(-self.R // self.C) - 1
        last = self.num_chunks - 1
        return [
            range(0) if p < 0 else range(max(p // self.C - before, 0), min((p + T - 1) // self.C, last) + 1)
            for p in position_B.tolist()
        ]

    def _search(self, chunks_qC: Tensor, forbidden: list[range] | None) -> Tensor:
        """The J chunks most alike to each, [q,J]."""
        spare = max((len(r) for r in forbidden), default=0) if forbidden else 0
        wanted = self.J + spare
        if wanted > self.num_chunks:
            raise BadSize(
                f"Retriever: J = {self.J} neighbours beside a text of its own database were asked of "
                f"{self.num_chunks} chunks; give a larger database."
            )
        found = []
        for start in range(0, len(chunks_qC), _AT_ONCE):
            queries_qE = self._embedded(chunks_qC[start : start + _AT_ONCE])
            if self._keys_nE is not None:
                ranked_qw = (queries_qE @ self._keys_nE.T).topk(wanted).indices
            else:
                ranked_qw = torch.from_numpy(self._index.search(queries_qE.numpy(), wanted)[1])
                if bool((ranked_qw < 0).any()):
                    raise BadSize(
                        f"Retriever: the index found fewer than the {wanted} chunks asked for; let it search more "
                        "widely (efSearch of an HNSW index, nprobe of an IVF index)."
                    )
            found.append(ranked_qw)
        ranked_qw = torch.cat(found) if found else torch.empty(0, wanted, dtype=torch.long)
        if not spare or forbidden is None:
            return ranked_qw[:, : self.J]
        low, high = (torch.tensor([getattr(r, end) for r in forbidden])[:, None] for end in ("start", "stop"))
        hidden_qw = (ranked_qw >= low) & (ranked_qw < high)
        # A stable sort puts what is allowed first and leaves the ranks as they are.
        order_qw = hidden_qw.to(torch.int8).argsort(dim=1, stable=True)
        return ranked_qw.gather(1, order_qw)[:, : self.J]
