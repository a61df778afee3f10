"""Carrying on: any split gives what the whole gives, gradients pass through the state, and the state's size is told."""

from collections.abc import Iterator

import torch

from seqcost.questions.invariants.bench import NOT_FINITE, Bench, Row, tried

_SIZE = "size of what is carried"


def splits(bench: Bench) -> Iterator[Row]:
    """Any split of a sequence gives what the whole gives."""
    T = bench.T
    third = T // 3
    cases = {
        "three pieces = whole": [third, third, T - 2 * third],
        "pieces of 7 = whole": [7] * (T // 7) + ([T % 7] if T % 7 else []),
        "one token, then the rest": [1, T - 1],
        "a prefill, then single steps": [third] + [1] * (T - third),
        "single steps = whole": [1] * T,
    }
    for what, pieces in cases.items():
        if bench.carrier.pieces or set(pieces[1:]) <= {1}:
            yield tried(
                what,
                lambda what=what, pieces=pieces: bench.row(what, bench.carried(bench.x, pieces)[0], bench.y),  # type: ignore[misc]
            )
        else:
            yield Row(what, "not asked", remark="it takes one token at a time after the first call")


def state_size(bench: Bench) -> Row:
    """How large what is carried is, and how it grows; it must be what the state itself says."""
    carrier, half = bench.carrier, bench.T // 2
    states = [bench.carried(bench.x, [tokens])[1] for tokens in (half, bench.T)]
    small, large = map(carrier.num_bytes, states)
    if not large:
        hidden = "it is hidden inside the module" if carrier.hidden else "no tensors are found in it"
        return Row(_SIZE, "not asked", remark=hidden)
    claimed = carrier.claimed_bytes(states[1])
    if claimed is not None and claimed != large:
        return Row(_SIZE, "fails", remark=f"it says {claimed:,} bytes and holds {large:,}")
    growth = (large - small) / (bench.T - half) / bench.B
    words = f"{large:,} bytes after {bench.T} tokens, " + (f"{growth:,.6g} a token" if growth else "constant")
    return Row(_SIZE, "holds", remark=words)


def gradients(bench: Bench) -> Row:
    """Gradients reach earlier tokens through what is carried, by further tokens and by steps."""
    what = "gradients through the state"
    features = bench.x.is_floating_point()
    weights = [] if features else [p for p in bench.carrier.module.parameters() if p.requires_grad]
    seed = torch.randn(bench.y.shape, generator=torch.Generator().manual_seed(5), dtype=bench.y.dtype)
    # A cache that is filled in place by design cannot be stepped through: what backward needs is written over.
    pieces = bench.few_pieces() if bench.carrier.functional or not bench.carrier.pieces else [bench.T // 3]
    pieces += [bench.T - sum(pieces)] if bench.carrier.pieces else [1] * (bench.T - sum(pieces))
    found = []
    for split in (None, pieces):
        x = bench.x.detach().clone().requires_grad_(features)
        y = bench.carrier.whole(x) if split is None else bench.carried(x, split)[0]
        asked = [x] if features else weights
        found.append(torch.autograd.grad((y * seed).sum(), asked, allow_unused=True, materialize_grads=True))
    scale = max((float(g.abs().max()) for g in found[0]), default=0.0) or 1.0
    gaps = [float((a - b).abs().nan_to_num(nan=float("inf")).max()) for a, b in zip(*found, strict=True)]
    error = max(gaps, default=0.0) / scale
    if error == float("inf"):
        return Row(what, "fails", remark=NOT_FINITE)
    return Row(what, "holds" if error <= 10 * bench.tolerance else "fails", error)
