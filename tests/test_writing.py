import pytest

from seqcost.errors import BadTarget
from seqcost.writing import write_text


def test_a_file_is_written_whole(tmp_path):
    write_text(tmp_path / "deep" / "page.html", "é")
    assert (tmp_path / "deep" / "page.html").read_bytes() == "é".encode()
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["page.html"]


def test_a_place_that_is_none_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadTarget, match="cannot be written"):
        write_text(tmp_path / "file" / "page.html", "x")


def test_what_cannot_be_renamed_leaves_nothing(tmp_path):
    (tmp_path / "taken" / "inside").mkdir(parents=True)
    with pytest.raises(BadTarget, match="cannot be written"):
        write_text(tmp_path / "taken", "x")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]
