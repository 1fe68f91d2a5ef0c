"""Masks secrets in what was logged, before it leaves the process.

One hyperscan pass over an event's encoded `data` finds what may be a secret; it sees through JSON's escapes, and its
false hits cost time alone. Only on a hit the payload is decoded and masked exactly; one that holds no secret comes back
byte for byte. The envelope (ids, names, times) is never looked at.

Masked are whole values under secret-like keys (`[redacted]`) and, in any text, what looks like a secret
(`[redacted:<name>]`) or is given to a secret-like key (`password=[redacted]`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from tailrace.config import RedactSettings
from tailrace.errors import ConfigError
from tailrace.event.redact.assignments import Assignments
from tailrace.event.redact.keys import SecretKeys
from tailrace.event.redact.shapes import SHAPES
from tailrace.event.redact.tree import Mask, TreeMask

if TYPE_CHECKING:
    from tailrace.event.redact.own import OwnPattern
    from tailrace.event.redact.scan import Scanner


class Redactor:
    """Masks by the settings. For any thread, in signal handlers, and after a fork.

    Making the first one of a process takes about 80 ms, importing hyperscan and compiling, so that no logging call
    waits for it. Where hyperscan does not run, every event takes the exact way, and `warn` is told so.

    Raises:
        ConfigError: an own pattern or key cannot be used; the message names it.
    """

    def __init__(self, settings: RedactSettings, warn: Callable[[str], None]) -> None:
        self._keys = SecretKeys(settings.keys)
        self._own = _own_patterns(settings)
        # Own patterns go first: they are written for what was logged, not for masks.
        self._masks: list[Mask] = [each.mask for each in self._own]
        self._masks += [each.mask for each in SHAPES]
        self._masks += [Assignments(self._keys).mask]
        self._all = [*range(len(self._masks))]
        self._needs_whole_strings = any(pattern.needs_whole_strings for pattern in self._own)
        scanner = _scanner(self._own, self._keys, warn)
        found = scanner.found if scanner else lambda _: self._all
        self.search: Callable[[bytes], list[int]] = partial(self._searched, found) if self._own else found
        """Numbers of what an encoded payload may hold, for `mask`; none where it holds no secret. Who calls this itself
        saves the call of `redact` for nearly every event."""

    def redact(self, data: bytes) -> bytes:
        """A payload, encoded as a JSON object, with every secret masked; the same object if there is none.

        Raises:
            MsgspecError, RecursionError: it cannot be read back; what it holds is not known.
        """
        found = self.search(data)
        return self.mask(data, found) if found else data

    def _searched(self, found: Callable[[bytes], list[int]], data: bytes) -> list[int]:
        numbers = found(data)
        if self._needs_whole_strings or b"\\" in data:  # escapes may hide what own patterns look for
            return [*range(len(self._own)), *numbers]
        return numbers

    def mask(self, data: bytes, found: list[int]) -> bytes:
        """As `redact`, of a payload in which `search` found these."""
        tree = msgspec.json.decode(data)
        is_secret = self._keys.names_a_secret if self._all[-1] in found else _never
        mask = TreeMask(is_secret, [self._masks[number] for number in sorted(set(found))])
        mask.mask(tree)
        return msgspec.json.encode(tree) if mask.changed else data


def _never(_: str) -> bool:
    return False


def _own_patterns(settings: RedactSettings) -> list[OwnPattern]:
    if not settings.patterns:
        return []
    try:
        from tailrace.event.redact.own import OwnPattern  # noqa: PLC0415 - slow to import, and not everywhere there
    except ImportError as error:
        raise ConfigError(
            f"setting 'redact.patterns' needs hyperscan, which alone runs any pattern in bounded time; it cannot be"
            f" imported here: {error}"
        ) from error
    return [OwnPattern(name, source) for name, source in settings.patterns.items()]


def _scanner(own: list[OwnPattern], keys: SecretKeys, warn: Callable[[str], None]) -> Scanner | None:
    """What finds all that `Redactor` masks, by the same numbers; None where hyperscan does not run."""
    try:
        from tailrace.event.redact import scan  # noqa: PLC0415 - as above
    except ImportError as error:
        warn(f"redaction is slower than it could be: hyperscan cannot be imported: {error}")
        return None
    expressions = [(pattern.expression, scan.ONCE | scan.TEXT) for pattern in own]
    expressions += [(shape.expression.encode(), scan.ONCE) for shape in SHAPES]
    any_case = scan.ASCII_ANY_CASE if keys.expression.isascii() else scan.ANY_CASE
    expressions += [(keys.expression.encode(), scan.ONCE | any_case)]
    try:
        return scan.scanner(tuple(expressions))
    except scan.RefusedError as error:
        warn(f"redaction is slower than it could be: hyperscan does not run here: {error}")
        return None
