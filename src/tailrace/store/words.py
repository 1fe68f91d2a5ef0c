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
_ASCII = "".join(char.lower() if char.isalnum() or char == "\x01" else " " for char in map(chr, range(128)))
_STRETCH = _LONGEST // 2


def words(text: str) -> list[str]:
    """The words of a text: letters and digits in a row, without case and accents; all else separates.

    A word of more than 100 characters counts as several in a row. Languages other than Chinese and Japanese that are
    written without spaces are not taken apart.
    """
    return spaced(text).split()


def spaced(text: str) -> str:
    """The words of a text with one space between."""
    if text.isascii() and _UNIT not in text:
        found = " ".join(text.translate(_ASCII).split())
        if not _may_hold_long_words(found):
            return found
    return " ".join(_WORD.findall(_fold(text)))


def marked(texts: list[str]) -> str:
    """The words of each text with one space between, and `MARK` between those of two texts."""
    whole = f"{_UNIT}".join(texts)
    if whole.isascii() and whole.count(_UNIT) == len(texts) - 1:
        found = " ".join(whole.translate(_ASCII).replace(_UNIT, f" {_UNIT} ").split())
        while f"{_UNIT} {_UNIT}" in found:  # texts without words
            found = found.replace(f"{_UNIT} {_UNIT}", _UNIT)
        if not _may_hold_long_words(found):
            return found.strip(f" {_UNIT}").replace(_UNIT, MARK)
    return f" {MARK} ".join(filter(None, map(spaced, texts)))


def _may_hold_long_words(found: str) -> bool:
    """Whether a stretch, of which a longer word would cover at least one, is without a space."""
    return any(" " not in found[at : at + _STRETCH] for at in range(0, len(found) - _STRETCH, _STRETCH))


def _fold(text: str) -> str:
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in parts if not unicodedata.combining(char))
