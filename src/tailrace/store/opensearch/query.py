"""Searches as OpenSearch's query language, and pages from its answers. User text is only ever a value in it."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any

import msgspec

from tailrace.document import Summary
from tailrace.store import Page, Query
from tailrace.store.entry import MAX_FOUND, Place, from_cursor, page_size, to_cursor, wanted_words, window
from tailrace.store.opensearch.indexes import ROW

_NEWEST_FIRST = [
    {"started": {"order": "desc", "unmapped_type": "keyword"}},
    {"run_id": {"order": "desc", "unmapped_type": "keyword"}},
]


class _Fields(msgspec.Struct, frozen=True):
    row: tuple[str, ...] = ()


class Hit(msgspec.Struct, frozen=True):
    """One found run."""

    place: Place = msgspec.field(name="sort")
    fields: _Fields = _Fields()

    @property
    def row(self) -> bytes | None:
        """The summary as JSON; None in what was written before rows were.

        Servers differ in the alphabet of their base64 and in whether they pad it: all of it is read.
        """
        return urlsafe_b64decode(self.fields.row[0] + "==") if self.fields.row else None


class _Hits(msgspec.Struct, frozen=True):
    hits: list[Hit] = []


class Answer(msgspec.Struct, frozen=True):
    """The answer to a search."""

    hits: _Hits

    def without_row(self) -> list[str]:
        """Run ids."""
        return [hit.place[1] for hit in self.hits.hits if not hit.fields.row]


def find_body(short: str) -> dict[str, Any]:
    """The search for `Store.find`."""
    prefixes = [{"prefix": {"run_id": short}}, {"prefix": {"run_id_reversed": short[::-1]}}]
    return _body({"bool": {"filter": [{"bool": {"should": prefixes}}]}}, MAX_FOUND)


def search_body(query: Query) -> dict[str, Any]:
    """The search for `Store.search`: one more run than the page holds, to know whether another page follows."""
    since, until = window(query)
    started = {"gte": since} if until is None else {"gte": since, "lt": until}
    filters: list[dict[str, Any]] = [{"range": {"started": started}}]
    if query.workflows:
        filters.append({"terms": {"workflow_name": query.workflows}})
    if query.statuses:
        either = [{"terms": {"state": query.statuses}}, {"terms": {"status": query.statuses}}]
        filters.append({"bool": {"should": either}})
    if query.agents:
        filters.append({"terms": {"agents": query.agents}})
    filters += [{"match_phrase": {"text": phrase}} for phrase in wanted_words(query)]
    body = _body({"bool": {"filter": filters}}, page_size(query) + 1)
    body["docvalue_fields"] = [ROW]
    if query.after is not None:
        body["search_after"] = from_cursor(query.after)
    return body


def page_of(query: Query, answer: Answer, older: Mapping[str, bytes]) -> Page:
    """The page in the answer to `search_body(query)`; `older` are the summaries of runs without a row, by run id."""
    hits, size = answer.hits.hits, page_size(query)
    rows = (hit.row or older.get(hit.place[1]) for hit in hits[:size])
    runs = [msgspec.json.decode(row, type=Summary) for row in rows if row is not None]
    return Page(runs, to_cursor(hits[size - 1].place) if len(hits) > size else None)


def _body(query: dict[str, Any], size: int) -> dict[str, Any]:
    """Nothing that is stored is asked for, not even ids: to read any of it, the server unpacks whole documents."""
    return {
        "query": query,
        "size": size,
        "sort": _NEWEST_FIRST,
        "stored_fields": "_none_",
        "track_total_hits": False,
    }
