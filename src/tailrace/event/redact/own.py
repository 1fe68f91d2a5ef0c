"""Patterns of the settings. Hyperscan alone runs them: in linear time, so that none can hang a logging call."""

from __future__ import annotations

from tailrace.errors import ConfigError
from tailrace.event.redact.scan import PLACES, TEXT, RefusedError, Scanner, scanner

_ANCHORS = ("^", "$", r"\A", r"\Z", r"\z")


class OwnPattern:
    """One expression of `redact.patterns`, in hyperscan's syntax: that of `re` without look-around and back references.

    Raises:
        ConfigError: hyperscan cannot take it.
    """

    def __init__(self, name: str, source: str) -> None:
        self.expression = source.replace("\0", r"\x00").encode()  # a NUL would end it
        try:
            self._scanner: Scanner = scanner(((self.expression, PLACES | TEXT),))
        except RefusedError as error:
            raise ConfigError(
                f"setting 'redact.patterns.{name}' is not valid: hyperscan cannot take {source!r}: {error}; it has no"
                " look-around, no back references and no expressions that match nothing"
            ) from error
        self._mask = f"[redacted:{name}]".encode()
        self.needs_whole_strings = any(anchor in source.replace("[^", "[") for anchor in _ANCHORS)
        """Whether it may find something in a string that it does not find in the string's place within an event."""

    def mask(self, text: bytes) -> bytes:
        """`text` with each longest match replaced; all of it where there are more than 10,000."""
        places = self._scanner.places(text)
        if places is None:
            return self._mask
        pieces: list[bytes] = []
        done = 0
        for start, end in _joined(places):
            pieces += [text[done:start], self._mask]
            done = end
        return b"".join([*pieces, text[done:]]) if pieces else text


def _joined(places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Places that overlap, as one."""
    joined: list[tuple[int, int]] = []
    for start, end in places:
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
