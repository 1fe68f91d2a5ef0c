"""A run as every store keeps it: joined, rendered once, with what searches compare; and a page's place among runs."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from tailrace.document import Document, Summary, join
from tailrace.document.summary import Indexed
from tailrace.errors import QueryError
from tailrace.event.ids import run_started_at
from tailrace.store import Query, Rejected
from tailrace.store.words import spaced

MAX_PAGE = 1000
"""Runs on one page, whatever a query asks for."""
MAX_FOUND = 10
"""Run ids that `find` gives."""

_MAX_RUN_ID = 512  # bytes, OpenSearch's own limit; the same in all stores, so that a run can move between them
_MIN_SHORT = 4
_NEVER = "\u2205"  # no letter, so no word of any text; looked for where a query's word holds no letters either

Place = tuple[str, str]
"""(started, run id): runs are listed in descending order of it."""


class Entry(msgspec.Struct, frozen=True):
    """What is written for one run."""

    body: bytes
    """The document's JSON."""
    summary: Summary
    started: str
    """UTC text of fixed width, so that it sorts by time: the start, else the time in the run id, else empty."""
    status: str | None
    """The final status in lower case."""
    text: str
    """The searchable words with one space between, and a mark between two values, so that no phrase spans them."""

    @property
    def place(self) -> Place:
        return (self.started, self.summary.run_id)


def by_run(documents: Iterable[Document]) -> tuple[dict[str, Document], list[Rejected]]:
    """One document a run, and those whose run id no store takes."""
    runs: dict[str, Document] = {}
    rejected = []
    for document in documents:
        run_id = document.run_id
        if not 1 <= len(run_id.encode(errors="replace")) <= _MAX_RUN_ID or not is_unicode(run_id):
            rejected.append(Rejected(document, f"its run id is not Unicode text of 1 to {_MAX_RUN_ID} bytes"))
        else:
            runs[run_id] = join(runs[run_id], document) if run_id in runs else document
    return runs, rejected


def is_unicode(text: str) -> bool:
    """False for text with halves of characters, which comes from undecodable bytes on a command line."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def entry_of(indexed: Indexed, text: str) -> Entry:
    """The entry of a run that was made ready; `text` as in `Entry.text`."""
    summary = indexed.summary
    return Entry(
        body=indexed.body,
        summary=summary,
        started=instant(summary.start_time or "") or _time_of_id(summary.run_id),
        status=summary.final_status.lower() if summary.final_status is not None else None,
        text=text,
    )


def instant(text: str) -> str | None:
    """RFC 3339 text as UTC with microseconds; without an offset it is UTC already. None if it is no time."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError):
        return None


def _time_of_id(run_id: str) -> str:
    moment = run_started_at(run_id)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z") if moment else ""


def window(query: Query) -> tuple[str, str | None]:
    """The query's `since` and `until`, comparable with `Entry.started`; runs of unknown start are in no window.

    Raises:
        QueryError: one of them is not a time.
    """
    for text in (query.since, query.until):
        if text is not None and instant(text) is None:
            raise QueryError(f"{text!r} is not a time; write it like 2026-01-31T12:00:00Z")
    since = instant(query.since) if query.since is not None else None
    until = instant(query.until) if query.until is not None else None
    if since is None:
        since = "0" if until is not None else ""
    return since, until


def wanted_words(query: Query) -> list[str]:
    """For each word and phrase of the query the words that must follow one another, with one space between."""
    return [spaced(text) or _NEVER for text in (*query.words, *query.phrases)]


def page_size(query: Query) -> int:
    """How many runs to give.

    Raises:
        QueryError: the query's limit is less than one.
    """
    if query.limit < 1:
        raise QueryError(f"a page holds at least one run, not {query.limit}")
    return min(query.limit, MAX_PAGE)


def to_cursor(place: Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def from_cursor(cursor: str) -> Place:
    """The place that `to_cursor` wrote.

    Raises:
        QueryError: it is something else.
    """
    try:
        started, run_id = msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=Place)
    except (msgspec.MsgspecError, binascii.Error, ValueError) as error:
        raise QueryError(f"{cursor!r} is not the `next` of a page") from error
    return started, run_id


def check_short(short: str) -> None:
    """Refuse a part of a run id that would match too much.

    Raises:
        QueryError: it has fewer than 4 characters.
    """
    if len(short) < _MIN_SHORT:
        raise QueryError(f"{short!r} is too short; give at least {_MIN_SHORT} characters of the run id")
