import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.store.words import MARK, marked, spaced, words

ASCII = st.text(st.sampled_from("aB9 _-.,\n\x00"), max_size=12) | st.integers(95, 205).map("xY".__mul__)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("Connection-refused: host_1 (10.0.0.7)", ["connection", "refused", "host", "1", "10", "0", "0", "7"]),
        ("Caf\u00e9 CAFE\u0301 \u0130zmir Stra\u00dfe", ["cafe", "cafe", "izmir", "strasse"]),
        ("\u65e5\u672c\u8a9e tool", ["\u65e5", "\u672c", "\u8a9e", "tool"]),
        ("\ufb01le \uff21\uff22\u2460", ["file", "ab1"]),
        ("x" * 250, ["x" * 100, "x" * 100, "x" * 50]),
        ("\x00\u2028\N{PARTY POPPER}_*\"'", []),
        ("\udcffhalf\ud800", ["half"]),
    ],
)
def test_a_text_is_cut_into_words(text, expected):
    assert words(text) == expected


@given(st.text())
def test_words_hold_nothing_that_a_search_engine_reads_as_syntax(text):
    for word in words(text):
        assert word.isalnum()
        assert 1 <= len(word) <= 100


@given(st.text(), st.text())
def test_each_line_is_cut_on_its_own(first, second):
    assert words(f"{first}\n{second}") == words(first) + words(second)


@given(st.lists(ASCII, max_size=6).map(" ".join), st.sampled_from("éß\u0301"))
def test_text_in_ascii_is_cut_as_any_other_text(text, other):
    assert words(f"{text} {other}") == [*words(text), *words(other)]
    assert spaced(text) == " ".join(words(text))


@given(st.lists(ASCII | st.text(max_size=5), max_size=6))
def test_between_the_words_of_two_texts_stands_a_mark(texts):
    assert marked(texts) == f" {MARK} ".join(filter(None, map(spaced, texts)))
