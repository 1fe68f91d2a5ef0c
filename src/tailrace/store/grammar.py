r"""The search line: `timeout "connection refused" agent:planner status:failed,error since:2h`.

Words and quoted phrases must all occur. Filters are `workflow:`, `status:` and `agent:` (any of several values, with
commas or by repeating), `since:` and `until:` (an age as `15m`, or a time). Other text with a colon is quoted.
Within quotes `\"` is a quote and `\\` a backslash.
"""

from __future__ import annotations

import difflib
import re
from typing import NoReturn

from tailrace.errors import QueryError
from tailrace.event.ids import time_text
from tailrace.store import Query
from tailrace.store.entry import instant
from tailrace.store.words import words

_LISTS = {"workflow": "workflows", "status": "statuses", "agent": "agents"}
_TIMES = ("since", "until")
_FILTERS = (*_LISTS, *_TIMES)
_MAX_PARTS = 64
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_FILTER = re.compile(rf"([\w-]*):((?:{_QUOTED}|[^\s\"])*)(?=\s|$)", re.DOTALL)
_PHRASE = re.compile(rf"{_QUOTED}(?=\s|$)", re.DOTALL)
_VALUE = re.compile(rf'{_QUOTED}|[^,"]+', re.DOTALL)
_VALUES = re.compile(rf"(?:{_VALUE.pattern})(?:,(?:{_VALUE.pattern}))*", re.DOTALL)
_WORD = re.compile(r"\S+")
_ESCAPED = re.compile(r'\\(["\\])')
_AGE = re.compile(r"([0-9]{1,9})([smhdw])")


def parse(text: str, *, now: float) -> Query:
    """The query that a search line asks for; ages are counted back from `now` (seconds since 1970).

    Raises:
        QueryError: the line cannot be read; the message names the part and the fix.
    """
    reader = _Reader(now)
    at = 0
    while (start := _WORD.search(text, at)) is not None:
        at = reader.take(text, start.start())
    return reader.query()


class _Reader:
    """Collects the parts of one line."""

    def __init__(self, now: float) -> None:
        self._now = now
        self._words: list[str] = []
        self._phrases: list[str] = []
        self._lists: dict[str, list[str]] = {name: [] for name in _LISTS}
        self._times: dict[str, str] = {}
        self._count = 0

    def take(self, text: str, at: int) -> int:
        """Read the part that begins at `at`; where it ends."""
        self._count += 1
        if self._count > _MAX_PARTS:
            raise QueryError(f"a search takes at most {_MAX_PARTS} words, phrases and filters")
        if found := _PHRASE.match(text, at):
            self._phrases.append(_searchable(_unquoted(found[0])))
        elif text[at] == '"':
            raise QueryError(f"the quote before {_shown(text[at + 1 :])} is not closed, or no space follows its end")
        elif (found := _FILTER.match(text, at)) and found[1]:
            self._filter(found[1].lower(), found[2])
        else:
            found = _WORD.match(text, at)
            assert found is not None  # noqa: S101 - `at` is where `_WORD` was found
            if ":" in found[0]:
                _refuse_colon(found[0])
            self._words.append(_searchable(found[0]))
        return found.end()

    def _filter(self, name: str, value: str) -> None:
        if name not in _FILTERS:
            _refuse_colon(f"{name}:{value}")
        values = [_unquoted(part) for part in _VALUE.findall(value)] if _VALUES.fullmatch(value) else [""]
        if "" in values:
            raise QueryError(f'{name}: needs a value; write it as {name}:one,"or another", no space around : and ,')
        if name in _LISTS:
            self._lists[name] += values
        elif name in self._times or len(values) > 1:
            raise QueryError(f"{name}: takes one value, and once")
        else:
            self._times[name] = self._time(name, values[0])

    def _time(self, name: str, value: str) -> str:
        if age := _AGE.fullmatch(value):
            try:
                return time_text(self._now - int(age[1]) * _SECONDS[age[2]])
            except (OverflowError, ValueError, OSError):
                raise QueryError(f"{name}:{value} lies before all times") from None
        if (time := instant(value)) is None:
            raise QueryError(f"{name}:{_shown(value)} is no time; write an age (15m, 2h, 3d) or 2026-01-31T12:00:00Z")
        return time

    def query(self) -> Query:
        return Query(
            words=tuple(self._words),
            phrases=tuple(self._phrases),
            workflows=tuple(self._lists["workflow"]),
            statuses=tuple(status.lower() for status in self._lists["status"]),
            agents=tuple(self._lists["agent"]),
            since=self._times.get("since"),
            until=self._times.get("until"),
        )


def _unquoted(part: str) -> str:
    return _ESCAPED.sub(r"\1", part[1:-1]) if part.startswith('"') else part


def _searchable(text: str) -> str:
    if not words(text):
        raise QueryError(f"{_shown(text)} holds no letter or digit to search for")
    return text


def _refuse_colon(part: str) -> NoReturn:
    name = part.partition(":")[0]
    close = difflib.get_close_matches(name.lower(), _FILTERS, n=1)
    known = f"did you mean {close[0]}:?" if close else f"filters are {' '.join(f'{each}:' for each in _FILTERS)}"
    raise QueryError(f'{_shown(part)} is not a filter; {known} To search for text with a colon, "quote it"')


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")  # noqa: PLR2004
