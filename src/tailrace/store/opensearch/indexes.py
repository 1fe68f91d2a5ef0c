"""Which index a run stands in, what an index looks like, and what is written for a run.

Every field is decided here; nothing of a payload is mapped, so no payload can be refused for its keys or types. The
document and its summary are kept as JSON text, not as objects: the server's own parser refuses what JSON allows
(a key twice, numbers of 1,000 digits, deep nesting).
"""

from __future__ import annotations

from typing import Any

import msgspec

from tailrace.event.ids import run_started_at
from tailrace.store.entry import Entry, instant
from tailrace.store.opensearch.client import AnswerError, Client

VERSION = 1
"""Of the template. A newer one in the cluster is left alone."""

_NOT_FOUND = 404
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
        "summary": _KEPT,
        "body": _KEPT,
    },
}
_SETTINGS = {
    "number_of_shards": 1,
    "auto_expand_replicas": "0-1",  # a single node is green, a cluster has a copy
    "refresh_interval": "1s",
    "codec": "best_compression",
}


class _Template(msgspec.Struct, frozen=True):
    version: int = 0


class _NamedTemplate(msgspec.Struct, frozen=True):
    index_template: _Template


class _Templates(msgspec.Struct, frozen=True):
    index_templates: list[_NamedTemplate]


class Indexes:
    """The indexes of one prefix: `<prefix>-runs-YYYY.MM`, all of them behind the alias `<prefix>-runs`."""

    def __init__(self, prefix: str) -> None:
        self.alias = f"{prefix}-runs"

    def of(self, run_id: str) -> str:
        """The index of the month in which the run id was made; one for ids of another form or of a wild time."""
        moment = run_started_at(run_id)
        month = f"{moment:%Y.%m}" if moment and moment.year in _YEARS else _OTHER_MONTH
        return f"{self.alias}-{month}"

    async def create_template(self, client: Client) -> None:
        """Create or renew the index template; indexes that exist keep their mapping."""
        path = f"/_index_template/{self.alias}"
        try:
            present = await client.request("GET", path, _Templates)
        except AnswerError as error:
            if error.status != _NOT_FOUND:
                raise
        else:
            if any(each.index_template.version >= VERSION for each in present.index_templates):
                return
        await client.request("PUT", path, dict[str, Any], msgspec.json.encode(self._template()))

    def _template(self) -> dict[str, Any]:
        return {
            "index_patterns": [f"{self.alias}-*"],
            "priority": 500,
            "version": VERSION,
            "template": {"settings": _SETTINGS, "mappings": _MAPPINGS, "aliases": {self.alias: {}}},
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
        "summary": msgspec.json.encode(summary).decode(),
        "body": entry.body.decode(),
    }
