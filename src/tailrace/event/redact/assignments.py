"""Secrets that a text gives to a name: `password=...`, `"api_key": "..."`, `Authorization: Basic ...`.

Works on UTF-8, in one pass forwards: each step goes on behind what the last one looked at.
"""

from __future__ import annotations

import itertools
import re

from tailrace.event.redact.keys import SecretKeys

MASK = b"[redacted]"

_MOST = 10_000
"""Of a text with more keys, the rest is masked: no text may keep the caller waiting."""

_MASK_BEGINS = b"[redacted:"
_MASKED = re.compile(rb"\[redacted(?::[^\]]*)?\]")
_IN_KEYS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-" + bytes(range(0x80, 0x100))
_MAX_BEFORE = 60
_ESCAPE = re.compile(rb"\\[bfnrt]|\\u[0-9A-Fa-f]{4}|%[0-9A-Fa-f]{2}|[;\[][0-9]{1,2}m")

_GAP = rb"\s*+(?:\\+[nrt]\s*+)*"
_QUOTE = re.compile(_GAP + rb"(\\*)([\"'`])")
_OPENING = re.compile(_GAP + rb"([\[{])(?=\s*\\*[\"'\[{0-9])")
_BRACKET = re.compile(rb"[\[\]{}]")
_HEADER_KEY = re.compile(rb"(?i)authorization|cookie")
_HEADER = re.compile(
    rb"\s*((?i:bearer|basic|token|apikey|negotiate|ntlm)\s+[^\s\"'`\\,;]+"
    rb"|(?i:digest|aws4-hmac-sha256)\s[^\r\n\"'`\\]+"
    rb"|[\w.-]+=[^\r\n\"'`\\]*)"  # cookies
)
_IN_WORDS = rb"[^\s\"'`&;,()<>{}\[\]\\|]"
_TIGHT = re.compile(rb"(%b+)" % _IN_WORDS)
_LOOSE = re.compile(rb"\s*(%b+)" % _IN_WORDS)
_UNLIKE_PROSE = re.compile(rb"[0-9!@#$%^*+=~]")
_LINE_ENDS = re.compile(rb"[ \t]*(?:[\r\n]|\\+[nr]|\Z)")
_MIN_LOOSE = 4
_NO_SECRET = frozenset(
    b"any bool bytes false int nil none null number object optional required str string true undefined".split()
)
"""Words of types and of absence."""


class Assignments:
    """Masks the values that a text gives to secret-like keys. Linear in the text's length."""

    def __init__(self, keys: SecretKeys) -> None:
        self._keys = keys
        # Possessive, which hyperscan has not: a run of names without a sign is gone through once.
        self._named = re.compile(keys.expression.replace("{0,40}", "{0,40}+").encode())

    def mask(self, text: bytes) -> bytes:
        pieces: list[bytes] = []
        done = looked = 0
        lower = text.lower()  # of bytes: ASCII alone, so that places stay the same
        named = self._named.search(lower)
        while named is not None:
            looked += 1
            if looked > _MOST:
                return b"".join([*pieces, text[done : named.start()], MASK])
            start = end = named.end()
            if key := self._key(text, named):
                start, end = _value(text, key, end)
            if start < end and not _MASKED.fullmatch(text, start, end):
                pieces += [text[done:start], MASK]
                done = end
            named = self._named.search(lower, end)
        return b"".join([*pieces, text[done:]]) if pieces else text

    def _key(self, text: bytes, named: re.Match[bytes]) -> bytes:
        """The whole key, with its sign, if it names a secret; else nothing."""
        before = text[max(0, named.start() - _MAX_BEFORE) : named.start()]
        start = named.start() - len(before) + len(before.rstrip(_IN_KEYS))
        escape = _ESCAPE.match(text, max(0, start - 1), named.start())
        if escape:
            start = escape.end()
        if text.endswith(_MASK_BEGINS, 0, start):
            return b""
        key = text[start : named.end()]
        if key.endswith(b">") and not key.endswith(b"=>") and text[start - 1 : start] != b"<":
            return b""  # `<password>` and `password =>`, but not `node.password->next`
        name = key.rstrip(b" \t\r\n\\\"'`:=>").decode("utf-8", "replace")
        return key if self._keys.names_a_secret(name) else b""


def _value(text: bytes, key: bytes, at: int) -> tuple[int, int]:
    """Where the secret given to `key` stands; an empty span where there is none, behind what was looked at."""
    if quote := _QUOTE.match(text, at):
        return quote.end(), _quoted_end(text, quote.end(), quote[2], len(quote[1]))
    if key.endswith(b":") and (opening := _OPENING.match(text, at)):
        return opening.start(1), _closing(text, opening.start(1))
    if _HEADER_KEY.search(key) and (header := _HEADER.match(text, at)):
        return header.span(1)
    tight = _TIGHT.match(text, at) if key.endswith((b"=", b">")) else None
    word = tight or _LOOSE.match(text, at)
    if word is None:
        return at, at
    start, end = word.span(1)
    is_call = text[end : end + 1] == b"("
    if is_call or word[1].lower() in _NO_SECRET or not (tight or _stands_out(text, start, end)):
        return end, end
    return start, end


def _stands_out(text: bytes, start: int, end: int) -> bool:
    """After `key: `, which prose has too: a word that prose has not, or the last one of its line."""
    if end - start < _MIN_LOOSE:
        return False
    return _UNLIKE_PROSE.search(text, start, end) is not None or _LINE_ENDS.match(text, end) is not None


def _quoted_end(text: bytes, start: int, quote: bytes, depth: int) -> int:
    """Where the string ends whose opening quote has `depth` backslashes (JSON within JSON); at most its line's end.

    One more level of quoting turns n backslashes before a quote into 2n + 1.
    """
    line_end = text.find(b"\n", start)
    limit = len(text) if line_end < 0 else line_end
    at = text.find(quote, start, limit)
    while at >= 0:
        before = at
        while before > start and text[before - 1] == 0x5C:  # noqa: PLR2004 - a backslash
            before -= 1
        extra = at - before - depth
        if extra < 0:
            return before  # the text around ends first
        if extra % (2 * depth + 2) == 0:
            return at - depth
        at = text.find(quote, at + 1, limit)
    return limit


def _closing(text: bytes, opening: int) -> int:
    """Behind the bracket that closes the one at `opening`; the text's end if none of the next 10,000 does."""
    depth = 0
    for bracket in itertools.islice(_BRACKET.finditer(text, opening), _MOST):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth == 0:
            return bracket.end()
    return len(text)
