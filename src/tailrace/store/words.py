"""What a word is: the one definition that every store searches by.

Stores are given text already cut into words, so that SQLite's and Lucene's own ideas of a word never differ.
"""

from __future__ import annotations

import re
import unicodedata

# Written without spaces: each sign is a word, and a phrase of them is found as consecutive words.
_SIGNS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Lucene cuts words of more than 255 units; cutting earlier, and in queries too, keeps the stores alike.
MARK = "\u00b6"
"""Stands between two values: a word to the stores' indexes, and never one of a query, because it holds no letters."""

_LONGEST = 100
_WORD = re.compile(rf"(?=\w)[{_SIGNS}]|[^\W_{_SIGNS}]{{1,{_LONGEST}}}")
# Most text is ASCII, which goes without regular expressions, ten times as fast.
_UNIT = "\x01"  # a mark that is ASCII too
_ASCII = bytes(ord(char.lower()) if char.isalnum() or char == _UNIT else 32 for char in map(chr, range(128))).ljust(256)
"""Byte -> itself in lower case where it belongs to a word, else a space."""


def words(text: str) -> list[str]:
    """The words of a text: letters and digits in a row, without case and accents; all else separates.

    A word of more than 100 characters counts as several in a row. Languages other than Chinese and Japanese that are
    written without spaces are not taken apart.
    """
    return spaced(text).split()


def spaced(text: str) -> str:
    """The words of a text with one space between."""
    if text.isascii() and _UNIT not in text:
        found = _single_spaced(_ascii(text)).strip()
        if not _holds_long_word(found):
            return found
    return " ".join(_WORD.findall(_fold(text)))


def marked(texts: list[str]) -> str:
    """The words of each text with one space between, and `MARK` between those of two texts."""
    whole = f" {_UNIT} ".join(texts)
    if whole.isascii() and whole.count(_UNIT) == len(texts) - 1:
        found = _single_spaced(_ascii(whole))
        while f"{_UNIT} {_UNIT}" in found:  # texts without words
            found = found.replace(f"{_UNIT} {_UNIT}", _UNIT)
        if not _holds_long_word(found):
            return found.strip(f" {_UNIT}").replace(_UNIT, MARK)
    return f" {MARK} ".join(filter(None, map(spaced, texts)))


def _ascii(text: str) -> str:
    """What separates words as spaces, the rest in lower case; of ASCII only."""
    return text.encode("ascii").translate(_ASCII).decode("ascii")


def _single_spaced(text: str) -> str:
    while "  " in text:
        text = text.replace("  ", " ")
    return text


def _holds_long_word(found: str) -> bool:
    """From the begin of a word to that of the last one that begins within the longest that a word may be."""
    begin = 0
    while len(found) - begin > _LONGEST:
        begin = found.rfind(" ", begin, begin + _LONGEST + 1) + 1
        if not begin:
            return True
    return False


def _fold(text: str) -> str:
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in parts if not unicodedata.combining(char))
