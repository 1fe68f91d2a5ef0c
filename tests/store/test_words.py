import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.store.words import words


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
