"""A bare bulk loader: opensearch-py's `streaming_bulk`, as its documentation shows it, with the same documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from opensearchpy import OpenSearch
from opensearchpy.helpers import streaming_bulk

from benchmarks.consumers import job
from benchmarks.consumers.plan import Order
from benchmarks.consumers.stages import Watch
from benchmarks.measure import Figures

_INDEX = "bench-bulk"
_SETTINGS = {"settings": {"number_of_replicas": 0}, "mappings": {"dynamic": False}}
"""No field is indexed: what it is compared with indexes summaries and words besides."""


async def measure(order: Order) -> Figures:
    client = OpenSearch([f"http://{order.opensearch}"], timeout=60)
    client.indices.create(index=f"{_INDEX}-{order.group}", body=_SETTINGS)
    found = [msgspec.json.decode(record.value) for record in job.documents("", order.runs)]
    watch = Watch()
    watch.begin()
    done = sum(ok for ok, _ in streaming_bulk(client, _actions(order, found), chunk_size=200))
    return watch.figures(documents=done)


def _actions(order: Order, documents: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for document in documents:
        yield {"_index": f"{_INDEX}-{order.group}", "_id": document["run_id"], "_source": document}
