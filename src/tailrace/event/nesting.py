"""How deep JSON is nested. Decoders of Python 3.11 stop where its recursion does, later ones ten times as deep."""

from __future__ import annotations

from itertools import accumulate

_KEPT = b'[]{}"'
_OTHERS = bytes(set(range(256)) - set(_KEPT))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_STEPS = {ord("["): 1, ord("]"): -1}
_PASSES = 8
"""What is deeper than that is counted bracket by bracket, at ten times the cost of a pass."""


def is_deeper(text: bytes, levels: int) -> bool:
    """Whether arrays and objects are nested deeper than that in JSON. Of what is no JSON it says one or the other.

    Two counts for nearly every text; else in a time that grows as the text does.
    """
    if text.count(b"[") + text.count(b"{") <= levels:
        return False
    brackets = _brackets(text)
    passes = 0
    while brackets and passes < _PASSES:
        brackets = brackets.replace(b"[]", b"")  # the innermost of every part
        passes += 1
    return passes + max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > levels


def _brackets(text: bytes) -> bytes:
    """Those outside strings, all as square ones."""
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Two quotes with no bracket between them leave it as it was what is inside a string.
    found = text.translate(None, _OTHERS).replace(b'""', b"")
    if b'"' in found:
        found = b"".join(found.split(b'"')[::2])
    return found.translate(_ONE_KIND)
