"""URLs that name several hosts. Python's urllib takes them for one, and refuses `a,[::1]:9092` from version 3.12 on."""

from __future__ import annotations

import re
from typing import NamedTuple

_PARTS = re.compile(
    r"[^:/?#]+://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?", re.DOTALL
)
"""RFC 3986, appendix B, of a URL that has a scheme and an authority."""


class Parts(NamedTuple):
    """Of a URL, as they stand in it; empty where it does not have them."""

    authority: str
    path: str
    query: str
    fragment: str


def split(url: str) -> Parts:
    """The parts of `scheme://authority/path?query#fragment`; all empty where it has no such form."""
    found = _PARTS.fullmatch(url)
    return Parts(**found.groupdict("")) if found else Parts("", "", "", "")
