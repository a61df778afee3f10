import struct
import time

import pytest
from mutated_files import ROOM, SOUND, mutated_header, packed

from seqcost.errors import BadTarget
from seqcost.files.safetensors_header import MOST_HEADER_BYTES, Stored, read_header, stored_at

CASES, SEED = 500, 20261121


@pytest.fixture
def read(tmp_path):
    def one(content):
        path = tmp_path / "model.safetensors"
        path.write_bytes(content)
        return [Stored(name, dtype, tuple(shape), nbytes) for name, dtype, shape, nbytes in read_header(path)]

    return one


def test_a_sound_header(read):
    found = {tensor.name: tensor for tensor in read(packed(SOUND))}
    assert found["h.0.attn.weight"].shape == (4, 4)
    assert found["scale"].numel == 1
    assert found["h.2.empty"].numel == 0
    assert sum(tensor.nbytes for tensor in found.values()) == ROOM


def test_the_package_itself_writes_what_is_read(read, tmp_path):
    numpy, safetensors = pytest.importorskip("numpy"), pytest.importorskip("safetensors.numpy")
    arrays = {"a.b": numpy.zeros((2, 3), "float32"), "c": numpy.zeros(5, "int8"), "d": numpy.zeros((), "float64")}
    found = read(safetensors.save(arrays, metadata={"x": "y"}))
    assert {t.name: (t.shape, t.nbytes) for t in found} == {n: (a.shape, a.nbytes) for n, a in arrays.items()}


@pytest.mark.parametrize("number", range(CASES))
def test_spoilt_ones_are_read_or_refused_in_one_sentence(read, number):
    content, said = mutated_header(SEED, number), ""
    try:
        assert sum(tensor.nbytes for tensor in read(content)) <= len(content) - 8
    except BadTarget as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 600


def test_mutations_are_mostly_seen(read):
    refused = 0
    for number in range(100):
        try:
            read(mutated_header(SEED, number))
        except BadTarget:
            refused += 1
    assert 50 < refused < 100


def changed(name, **fields):
    return packed(SOUND | {name: SOUND[name] | fields})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "8 bytes say how long it is"),
        (b"1234567", "the file has 7 bytes"),
        (struct.pack("<Q", 2**63) + b"{}", "its header would have 9,223,372,036,854,775,808 bytes"),
        (struct.pack("<Q", 3) + b"{}", "its header would have 3 bytes"),
        (packed(b"nothing"), "it is not JSON"),
        (packed(b"[" * 100000), "it is not JSON"),
        (packed(b"\xff\xfe{}"), "it is not JSON"),
        (packed(b'{"a": 1' + b"0" * 5000 + b"}"), "it is not JSON"),
        (packed(b"[1]"), "an object is allowed"),
        (packed(b'{"a": {}, "a": {}}'), "a stands in it twice"),
        (changed("scale", dtype="F7"), "unknown dtype F7"),
        (changed("scale", shape=[-1]), "the shape of scale is no list"),
        (changed("scale", shape=[True]), "the shape of scale is no list"),
        (changed("scale", data_offsets=[94, 86]), "no pair of rising whole numbers"),
        (changed("scale", shape=[2]), "scale has 8 bytes, its shape and dtype ask for another size"),
        (changed("scale", data_offsets=[87, 95]), "scale begins at byte 87, the tensor before it ends at 86"),
        (changed("h.0.attn.bias", data_offsets=[60, 76]), "begins at byte 60, the tensor before it ends at 64"),
        (packed(SOUND, ROOM + 1), "its tensors take 94 bytes, 95 follow the header"),
        (packed(SOUND, ROOM - 1), "its tensors take 94 bytes, 93 follow the header"),
    ],
)
def test_what_is_wrong_is_said(read, content, says):
    with pytest.raises(BadTarget) as raised:
        read(content)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_huge_header_is_not_read(read, tmp_path):
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", MOST_HEADER_BYTES + 1))
        file.truncate(MOST_HEADER_BYTES + 100)  # a hole, not bytes
    with pytest.raises(BadTarget, match="at most 100,000,000 are allowed"):
        read_header(path)


def test_a_process_of_its_own_reads_the_same(read, tmp_path):
    path = tmp_path / "model.safetensors"
    wanted = read(packed(SOUND))
    assert list(stored_at(path)) == wanted
    path.write_bytes(packed(b"[1]"))
    with pytest.raises(BadTarget, match=r"model\.safetensors is spoilt \(it is a JSON list, an object is allowed\)"):
        stored_at(path)


def test_many_names_take_no_time(read):
    """469 kB of names took over two minutes: each was looked for among all others."""
    names = [f'"{n}":{{}}' for n in range(40_000)]
    began = time.monotonic()
    with pytest.raises(BadTarget, match="39999 stands in it twice"):
        read(packed(("{" + ",".join([*names, names[-1]]) + "}").encode()))
    assert time.monotonic() - began < 5
