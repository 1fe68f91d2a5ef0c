"""Bulk loaders: opensearch-py's `streaming_bulk`, as its documentation shows it, with the same documents.

The bare one is what a user writes: documents as they stand on the topic, into an index that the server makes of them.
Another has them in an index of which no field is indexed, which no search would find: the least that storing them
takes. The third has what the index stage writes of them, ready made, in an index that is its own: what is left is the
stage.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import aclosing
from typing import Any

import msgspec
from opensearchpy import OpenSearch
from opensearchpy.helpers import streaming_bulk

from benchmarks.consumers import job
from benchmarks.consumers.plan import Order
from benchmarks.consumers.stages import Watch
from benchmarks.measure import Figures
from tailrace.config import Config
from tailrace.document.rendered import read
from tailrace.registry import open_store
from tailrace.store.entry import Entry
from tailrace.store.opensearch.indexes import Indexes, fields_of
from tailrace.store.pieces import merged

_AT_ONCE = 200
_NO_REPLICAS = {"settings": {"number_of_replicas": 0}}
_UNINDEXED = {**_NO_REPLICAS, "mappings": {"dynamic": False}}


async def bare(order: Order) -> Figures:
    return _as_they_stand(order, f"bench-bare-{order.group}", _NO_REPLICAS)


async def unindexed(order: Order) -> Figures:
    return _as_they_stand(order, f"bench-bulk-{order.group}", _UNINDEXED)


def _as_they_stand(order: Order, index: str, settings: dict[str, Any]) -> Figures:
    client = _client(order)
    client.indices.create(index=index, body=settings)
    found = [msgspec.json.decode(record.value) for record in job.documents("", order.runs)]
    return _load(client, [{"_index": index, "_id": each["run_id"], "_source": each} for each in found])


async def same_fields(order: Order) -> Figures:
    documents = [read(record.value) for record in job.documents("", order.runs)]
    prefix = f"bulk-{order.group}"
    config = Config(store=f"opensearch://{order.opensearch}?index_prefix={prefix}")
    async with aclosing(open_store(config)) as store:
        await store.merge(documents[:1])  # makes the template, and by it the index
    indexes, actions = Indexes(prefix), []
    for document in documents:
        entry = merged(document, None)
        assert isinstance(entry, Entry)
        run_id = document.run_id
        actions.append({"_index": indexes.of(run_id), "_id": run_id, "_source": fields_of(entry)})
    return _load(_client(order), actions)


def _client(order: Order) -> OpenSearch:
    return OpenSearch([f"http://{order.opensearch}"], timeout=60)


def _load(client: OpenSearch, actions: Iterable[dict[str, Any]]) -> Figures:
    watch = Watch()
    watch.begin()
    done = sum(ok for ok, _ in streaming_bulk(client, actions, chunk_size=_AT_ONCE))
    return watch.figures(documents=done)
