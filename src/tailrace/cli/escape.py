"""Text that agents, models and web pages wrote, made safe for a terminal.

Such text may hold sequences that move the cursor, set the clipboard, forge lines or reorder what is read (CWE-150).
Shown as escapes: every control (C0, DEL, C1), line and paragraph separators, bidi and zero-width characters and all
other format characters, lone surrogates, private and unassigned code points. Spaces of any width stay.
"""

from __future__ import annotations

import json
import unicodedata


def escape(text: str) -> str:
    r"""The text in one line, with Python's escapes (`\n`, `\x1b`, `\u202e`) for what must not reach a terminal."""
    if text.isprintable():
        return text
    return "".join(char if _is_safe(char) else char.encode("unicode_escape").decode() for char in text)


def escape_json(text: str) -> str:
    """JSON text that means the same, with JSON's escapes; its own line breaks stay."""
    if text.isprintable():
        return text
    return "".join(char if char == "\n" or _is_safe(char) else json.dumps(char)[1:-1] for char in text)


def _is_safe(char: str) -> bool:
    return char.isprintable() or unicodedata.category(char) == "Zs"
