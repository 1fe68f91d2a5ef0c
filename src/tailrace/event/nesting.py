"""How deep JSON is nested. Decoders of Python 3.11 stop where its recursion does, later ones ten times as deep."""

from __future__ import annotations

import re
from itertools import accumulate

_STRING = re.compile(rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
"""Also one without an end. What was looked at is never looked at again, whatever it is."""
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_OTHERS = bytes(set(range(256)) - set(_STEPS))


def is_deeper(text: bytes, levels: int) -> bool:
    """Whether arrays and objects are nested deeper than that in JSON. Of what is no JSON it says one or the other.

    Two counts for nearly every text; else in a time that grows as the text does.
    """
    if text.count(b"[") + text.count(b"{") <= levels:
        return False
    brackets = _STRING.sub(b"", text).translate(None, _OTHERS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > levels
