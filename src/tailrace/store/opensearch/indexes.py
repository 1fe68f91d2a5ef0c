"""Which index a run stands in, what an index looks like, and what is written for a run.

Every field is decided here; nothing of a payload is mapped, so no payload can be refused for its keys or types. The
document is kept as JSON text, not as an object: the server's own parser refuses what JSON allows (a key twice, numbers
of 1,000 digits, deep nesting). Its summary is kept apart, as `row`: whoever lists runs does not have whole documents
unpacked for it.
"""

from __future__ import annotations

import contextlib
import hashlib
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import msgspec

from tailrace.event.ids import run_started_at
from tailrace.store.entry import Entry, instant
from tailrace.store.opensearch.client import AnswerError, Client
from tailrace.store.pieces import Piece

VERSION = 3
"""Of the template. A newer one in the cluster is left alone. 1 had no `row`: the summary stood in the source alone. Up
to 2, refreshes waited for merges."""
ROW = "row"
"""The field that holds what a list shows of a run: its `Summary` as JSON, in base64."""

_NOT_FOUND, _BAD_REQUEST = 404, 400
_YEARS = range(2020, 2100)
_OTHER_MONTH = "0000.00"  # also bounds how many indexes invented run ids can make

_KEPT = {"type": "object", "enabled": False}
# Longer values are kept but not found by filters: Lucene takes terms of 32,766 bytes, 8,191 characters at most.
_KEYWORD = {"type": "keyword", "ignore_above": 8191}
# Text and keywords besides: `started` sorts and compares alike in all stores; the dates are for dashboards.
_DATE = {"type": "date"}
_COUNTS = ("iterations", "interactions", "actions", "resources", "errors", "logs", "events")
_TOKENS = ("input", "output", "total")

_MAPPINGS = {
    "dynamic": "strict",
    "properties": {
        "run_id": _KEYWORD,
        "run_id_reversed": _KEYWORD,
        "workflow_name": _KEYWORD,
        "state": _KEYWORD,
        "status": _KEYWORD,
        "started": _KEYWORD,
        "start_time": _DATE,
        "end_time": _DATE,
        "agents": _KEYWORD,
        "tags": _KEYWORD,
        "session": _KEYWORD,
        "counts": {"properties": {name: {"type": "long"} for name in _COUNTS}},
        "tokens": {"properties": {name: {"type": "double"} for name in _TOKENS}},
        "cost_usd": {"type": "double"},
        "text": {"type": "text", "analyzer": "whitespace", "norms": False},
        ROW: {"type": "binary", "doc_values": True},
        "summary": _KEPT,  # writers of version 1, until the last of them is upgraded, are not refused
        "body": _KEPT,
    },
}
_SETTINGS = {
    "number_of_shards": 1,
    "auto_expand_replicas": "0-1",  # a single node is green, a cluster has a copy
    "refresh_interval": "1s",
    "codec": "best_compression",
}
_PROMPT = {"merge_on_flush.enabled": False}
"""By itself OpenSearch since 2.2 has a refresh wait up to 10 s for merges of small segments; until then no search finds
what was written. Elasticsearch never waits; it and OpenSearch before 2.1 refuse the setting. An index that is open
takes it over when its shards are next opened (opensearch-project/OpenSearch#10048)."""


# Read by id alone, never searched: `run_id` and `page` are there for people.
_PAGE_MAPPINGS = {
    "dynamic": "strict",
    "properties": {"run_id": _KEYWORD, "page": _KEYWORD, "digest": _KEPT, "text": _KEPT, "body": _KEPT},
}
_PAGE_SETTINGS = {**_SETTINGS, "refresh_interval": "30s"}


class _Template(msgspec.Struct, frozen=True):
    version: int = 0


class _NamedTemplate(msgspec.Struct, frozen=True):
    index_template: _Template


class _Templates(msgspec.Struct, frozen=True):
    index_templates: list[_NamedTemplate]


class Indexes:
    """The indexes of one prefix: `<prefix>-runs-YYYY.MM`, all of them behind the alias `<prefix>-runs`.

    The pages of long runs stand in `<prefix>-pages-YYYY.MM`.
    """

    def __init__(self, prefix: str) -> None:
        self.alias = f"{prefix}-runs"
        self.pages = f"{prefix}-pages"

    def of(self, run_id: str) -> str:
        """The index of the month in which the run id was made; one for ids of another form or of a wild time."""
        return f"{self.alias}-{_month(run_id)}"

    def page(self, run_id: str, page: str) -> dict[str, str]:
        """Where a page is, as requests name it. Its id is short and plain, whatever the run's may be."""
        digest = hashlib.blake2b(run_id.encode(), digest_size=16).hexdigest()
        return {"_index": f"{self.pages}-{_month(run_id)}", "_id": f"{digest}-{page}"}

    async def create_templates(self, client: Client) -> None:
        """Create or renew the index templates; indexes of an older one get the fields that are new."""
        for alias, settings, mappings in (
            (self.alias, _SETTINGS, _MAPPINGS),
            (self.pages, _PAGE_SETTINGS, _PAGE_MAPPINGS),
        ):
            await _create_template(client, alias, settings, mappings)


def _month(run_id: str) -> str:
    moment = run_started_at(run_id)
    return f"{moment:%Y.%m}" if moment and moment.year in _YEARS else _OTHER_MONTH


async def _create_template(client: Client, alias: str, settings: dict[str, Any], mappings: dict[str, Any]) -> None:
    path = f"/_index_template/{alias}"
    with _unless(_NOT_FOUND):
        present = await client.request("GET", path, _Templates)
        if any(each.index_template.version >= VERSION for each in present.index_templates):
            return
    # First what exists: the template's version tells others that nothing is left to do.
    with _unless(_NOT_FOUND):
        await _put(client, f"/{alias}/_mapping", {"properties": mappings["properties"]})
    with _unless(_NOT_FOUND, _BAD_REQUEST):
        await _put(client, f"/{alias}/_settings", _PROMPT)
    try:
        await _put(client, path, _template(alias, {**settings, **_PROMPT}, mappings))
    except AnswerError as error:
        if error.status != _BAD_REQUEST:
            raise
        await _put(client, path, _template(alias, settings, mappings))


def _template(alias: str, settings: dict[str, Any], mappings: dict[str, Any]) -> dict[str, Any]:
    return {
        "index_patterns": [f"{alias}-*"],
        "priority": 500,
        "version": VERSION,
        "template": {"settings": settings, "mappings": mappings, "aliases": {alias: {}}},
    }


async def _put(client: Client, path: str, body: dict[str, Any]) -> None:
    await client.request("PUT", path, dict[str, Any], msgspec.json.encode(body))


@contextlib.contextmanager
def _unless(*statuses: int) -> Iterator[None]:
    try:
        yield
    except AnswerError as error:
        if error.status not in statuses:
            raise


def fields_of_page(run_id: str, page: str, piece: Piece) -> dict[str, Any]:
    """What is kept of a page: names as in the mapping."""
    return {
        "run_id": run_id,
        "page": page,
        "digest": piece.digest.decode(),
        "text": piece.text,
        "body": piece.body.decode(),
    }


def fields_of(entry: Entry) -> dict[str, Any]:
    """What is indexed for a run: names as in the mapping."""
    summary = entry.summary
    return {
        "run_id": summary.run_id,
        "run_id_reversed": summary.run_id[::-1],
        "workflow_name": summary.workflow_name,
        "state": summary.state,
        "status": entry.status,
        "started": entry.started,
        "start_time": entry.started or None,
        "end_time": instant(summary.end_time or ""),
        "agents": summary.agents,
        "tags": summary.tags,
        "session": summary.session,
        "counts": {name: summary.counts[name] for name in _COUNTS if name in summary.counts},
        "tokens": {name: summary.tokens[name] for name in _TOKENS if name in summary.tokens},
        "cost_usd": summary.cost_usd,
        "text": entry.text,
        ROW: b64encode(msgspec.json.encode(summary)).decode(),
        "body": entry.body.decode(),
    }
