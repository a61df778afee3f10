from typing import Any, get_overloads, get_type_hints

import pytest

import seqcost
from seqcost.errors import BadSize
from seqcost.questions.answers.count import Count
from seqcost.questions.asked.lengths import parse_length, parse_lengths, parse_whole
from seqcost.questions.count import count


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("1024", 1024), ("128k", 131072), ("128K", 131072), ("1M", 1048576), ("2G", 2 * 1024**3),
        ("10^30", 10**30), ("1e6", 10**6), ("1_000", 1000), (" 64 ", 64),
    ],
)  # fmt: skip
def test_one_length(text, value):
    assert parse_length(text) == value


@pytest.mark.parametrize("text", ["0", "-1", "abc", "", "1.5", "k", "1kk", "0^3", "²", "1e", "--", "10^-3"])
def test_what_is_no_length_is_one_sentence(text):
    with pytest.raises(BadSize, match=r"^length .* was given; a whole number of at least 1 .* is allowed\.$"):
        parse_length(text)


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["64,256", "64"], [64, 256]),
        (["64..512"], [64, 128, 256, 512]),
        (["100..1000"], [100, 200, 400, 800]),
        (["1..10+3"], [1, 4, 7, 10]),
        (["8..1000*5"], [8, 40, 200, 1000]),
        (["128..1M"], [2**i for i in range(7, 21)]),
        (["7..7"], [7]),
    ],
)
def test_lists_and_ranges(texts, values):
    assert parse_lengths(texts) == values


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("8..4", "end is below its start"), ("1..8*1", "multiplies by 2 or more"),
        ("1..10^9+1", "over 5,000 lengths"), ("..8", "was given"), ("1..", "was given"),
    ],
)  # fmt: skip
def test_ranges_that_are_none(text, says):
    with pytest.raises(BadSize, match=says):
        parse_lengths([text])


@pytest.mark.parametrize("text", ["9" * 1001, "9" * 5000, "99999^999", "99^999", "99e999"])
def test_numbers_that_could_not_be_printed_squared_are_refused_quoted_short(text):
    with pytest.raises(BadSize, match="at most 1,000 digits is allowed") as refused:
        parse_length(text)
    assert len(str(refused.value)) < 160
    assert parse_length("10^999") == 10**999


def test_the_error_names_what_was_asked():
    with pytest.raises(BadSize, match="--batch 'x' was given"):
        parse_whole("x", "--batch")


def test_every_question_takes_lengths_as_text():
    small = {"D": 8}
    assert [answer.sizes["T"] for answer in seqcost.count("gru-layer", length="1k,128k")] == [1024, 131072]
    assert [answer.sizes["T"] for answer in seqcost.count("gru-layer", length=["4", 5, "6..12"])] == [4, 5, 6, 12]
    assert seqcost.count("gru-layer", length="2k", batch="4").sizes["B"] == 4
    traced = seqcost.count("gru-layer", length="8,16", sizes=small, trace=True)
    assert [answer.sizes["T"] for answer in traced] == [8, 16]
    assert seqcost.diff("gru-layer", "rnn-layer", length="1k").a.sizes["T"] == 1024
    assert seqcost.compare(["gru"], lengths="8..32", trace=False).lengths == (8, 16, 32)
    assert seqcost.letters("gru-layer", "D", length="1k").own
    assert seqcost.check("gru-layer", sizes=small, length="16", batch="2").length == 16


@pytest.mark.parametrize("text", ["1k,128k", "1..4"])
def test_a_difference_is_taken_at_one_length(text):
    with pytest.raises(BadSize, match="at one whole number"):
        seqcost.diff("gru-layer", "rnn-layer", length=text)


def test_count_is_typed_by_what_its_length_asks_for():
    one, text, several = (get_type_hints(overload) for overload in get_overloads(count))
    assert one["return"] is Count
    assert one["length"] == int | None
    assert text["return"] == Count | Any
    assert several["return"] == list[Count]
