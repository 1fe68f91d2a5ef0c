"""What a word is: the one definition that every store searches by.

Stores are given text already cut into words, so that SQLite's and Lucene's own ideas of a word never differ.
"""

from __future__ import annotations

import re
import unicodedata

# Written without spaces: each sign is a word, and a phrase of them is found as consecutive words.
_SIGNS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Lucene cuts words of more than 255 units; cutting earlier, and in queries too, keeps the stores alike.
_WORD = re.compile(rf"(?=\w)[{_SIGNS}]|[^\W_{_SIGNS}]{{1,100}}")


def words(text: str) -> list[str]:
    """The words of a text: letters and digits in a row, without case and accents; all else separates.

    A word of more than 100 characters counts as several in a row. Languages other than Chinese and Japanese that are
    written without spaces are not taken apart.
    """
    return _WORD.findall(_fold(text))


def _fold(text: str) -> str:
    if text.isascii():
        return text.lower()
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in parts if not unicodedata.combining(char))
