"""Searches as OpenSearch's query language, and pages from its answers. User text is only ever a value in it."""

from __future__ import annotations

from typing import Any

import msgspec

from tailrace.document import Summary
from tailrace.store import Page, Query
from tailrace.store.entry import MAX_FOUND, Place, from_cursor, page_size, to_cursor, wanted_words, window

_NEWEST_FIRST = [
    {"started": {"order": "desc", "unmapped_type": "keyword"}},
    {"run_id": {"order": "desc", "unmapped_type": "keyword"}},
]


class _Source(msgspec.Struct, frozen=True):
    summary: str = ""


class Hit(msgspec.Struct, frozen=True):
    """One found run."""

    source: _Source = msgspec.field(name="_source")
    place: Place = msgspec.field(name="sort")


class _Hits(msgspec.Struct, frozen=True):
    hits: list[Hit] = []


class Answer(msgspec.Struct, frozen=True):
    """The answer to a search."""

    hits: _Hits


def find_body(short: str) -> dict[str, Any]:
    """The search for `Store.find`."""
    prefixes = [{"prefix": {"run_id": short}}, {"prefix": {"run_id_reversed": short[::-1]}}]
    return _body({"bool": {"filter": [{"bool": {"should": prefixes}}]}}, MAX_FOUND, [])


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
    body = _body({"bool": {"filter": filters}}, page_size(query) + 1, ["summary"])
    if query.after is not None:
        body["search_after"] = from_cursor(query.after)
    return body


def page_of(query: Query, answer: Answer) -> Page:
    """The page in the answer to `search_body(query)`."""
    hits, size = answer.hits.hits, page_size(query)
    runs = [msgspec.json.decode(hit.source.summary, type=Summary) for hit in hits[:size]]
    return Page(runs, to_cursor(hits[size - 1].place) if len(hits) > size else None)


def _body(query: dict[str, Any], size: int, source: list[str]) -> dict[str, Any]:
    return {"query": query, "size": size, "sort": _NEWEST_FIRST, "_source": source, "track_total_hits": False}
