import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.cli.escape import escape, escape_json

CONTROLS = [*range(0x20), *range(0x7F, 0xA0)]
BIDI = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
ZERO_WIDTH = [0x00AD, 0x180E, 0x200B, 0x200C, 0x200D, *range(0x2060, 0x2065), 0xFEFF]
SEPARATORS = [0x2028, 0x2029]
INVISIBLE = [*range(0x206A, 0x2070), *range(0xFFF9, 0xFFFC), 0xE0001, *range(0xE0020, 0xE0080), 0xD800, 0xDFFF]
DANGEROUS = [*CONTROLS, *BIDI, *ZERO_WIDTH, *SEPARATORS, *INVISIBLE]


@pytest.mark.parametrize("code", DANGEROUS, ids="{:04x}".format)
def test_a_character_that_steers_a_terminal_is_shown_as_an_escape(code):
    shown = escape(f"a{chr(code)}b")
    assert shown.isascii()
    assert shown.isprintable()
    assert shown.startswith("a\\")
    assert shown.endswith("b")
    assert shown.encode().decode("unicode_escape") == f"a{chr(code)}b"


def test_printable_text_below_u00a0_and_common_scripts_stay_as_they_are():
    text = "".join(map(chr, range(0x20, 0x7F))) + "\u00a0é ü 日本\u3000語 العربية 🙂"
    assert escape(text) == text
    assert escape_json(text) == text


def test_no_control_format_or_surrogate_character_of_all_unicode_passes():
    passed = [code for code in range(sys.maxunicode + 1) if escape(chr(code)) == chr(code)]
    assert {unicodedata.category(chr(code))[0] for code in passed} & {"C"} == set()
    assert {unicodedata.category(chr(code)) for code in passed} & {"Zl", "Zp"} == set()


def test_known_attacks_lose_their_teeth():
    assert escape("\x1b]52;c;ZXZpbA==\x07") == "\\x1b]52;c;ZXZpbA==\\x07"
    assert escape("ok\r\n2026 forged line") == "ok\\r\\n2026 forged line"
    assert escape("\x1b]8;;http://evil\x1b\\click") == "\\x1b]8;;http://evil\\x1b\\click"


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_escaped_json_means_the_same_and_is_safe(value):
    text = json.dumps(value, ensure_ascii=False, indent=2)
    escaped = escape_json(text)
    assert json.loads(escaped) == value
    assert all(escape(part) == part for part in escaped.split("\n"))
