"""The store on OpenSearch, or on Elasticsearch 7.10 and later: one document a run, in an index a month.

`opensearch://[user:password@]host:9200[,host2:9200][?tls=true&verify=false&ca_certs=path&index_prefix=name]`

A run's index follows from its id alone, so every repetition reaches the same document, and reading by id is fresh.
Concurrent writers meet in optimistic locking: who comes second reads again and joins again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import msgspec

from tailrace.config import Config
from tailrace.document import Document
from tailrace.document.restore import restore
from tailrace.errors import ClosedError, QueryError
from tailrace.store import Page, Query, Rejected, Store
from tailrace.store.entry import by_run, check_short, is_unicode
from tailrace.store.opensearch.address import parse
from tailrace.store.opensearch.bulk import NoShardError, read
from tailrace.store.opensearch.client import AnswerError, Client
from tailrace.store.opensearch.indexes import Indexes
from tailrace.store.opensearch.query import Answer, find_body, page_of, search_body
from tailrace.store.opensearch.write import Writer
from tailrace.store.pieces import whole


def open_store(config: Config) -> Store:
    """The store on the server that `config.store_url` names.

    Raises:
        ConfigError: the URL cannot be read; the message does not show the password.
        MissingExtraError: opensearch-py is not installed.
    """
    address = parse(config.store_url, config.prefix)
    return OpenSearchStore(Client(address), Indexes(address.index_prefix))


_UNAVAILABLE = 503
_STARTING_SECONDS = 3.0


class OpenSearchStore:
    """Implements `Store`. The first merge creates the index templates, unless this version or a newer one is there."""

    def __init__(self, client: Client, indexes: Indexes) -> None:
        self._client = client
        self._indexes = indexes
        self._writer = Writer(client, indexes)
        self._prepared = False
        self._preparing = anyio.Lock()
        self._closed = False

    async def merge(self, documents: Sequence[Document]) -> list[Rejected]:
        self._check_open()
        runs, rejected = by_run(documents)
        await self._prepare()
        return rejected + await self._writer.merge(runs.values())

    async def get(self, run_id: str) -> Document | None:
        self._check_open()
        if not run_id or not is_unicode(run_id):
            return None
        body = await self._body(self._target(run_id))
        return whole(run_id, body) if body is not None else None

    async def page(self, run_id: str, page: str) -> Document | None:
        self._check_open()
        body = await self._body(self._indexes.page(run_id, page))
        return restore(body) if body is not None else None

    async def _body(self, target: Mapping[str, str]) -> bytes | None:
        deadline = anyio.current_time() + _STARTING_SECONDS
        while True:
            try:
                (present,) = await read(self._client, [target], "body")
            except NoShardError:  # as in `_search`
                if anyio.current_time() >= deadline:
                    raise
            else:
                return present.body
            await anyio.sleep(0.1)

    async def find(self, short: str) -> list[str]:
        self._check_open()
        check_short(short)
        answer = await self._search(find_body(short))
        return [run_id for _, run_id in (hit.place for hit in answer.hits.hits)]

    async def search(self, query: Query) -> Page:
        self._check_open()
        answer = await self._search(search_body(query))
        return page_of(query, answer, await self._older(answer.without_row()))

    async def _older(self, run_ids: Sequence[str]) -> dict[str, bytes]:
        """The summaries of runs that were last written when indexes had no rows."""
        present = await read(self._client, [self._target(run_id) for run_id in run_ids], "summary")
        found = zip(run_ids, present, strict=True)
        return {run_id: each.source.summary.encode() for run_id, each in found if each.source}

    def _target(self, run_id: str) -> dict[str, str]:
        return {"_index": self._indexes.of(run_id), "_id": run_id}

    async def delete(self, run_ids: Sequence[str]) -> int:
        self._check_open()
        known = [run_id for run_id in dict.fromkeys(run_ids) if run_id and is_unicode(run_id)]
        return await self._writer.delete(known)

    async def aclose(self) -> None:
        self._closed = True
        await self._client.aclose()

    async def _search(self, body: dict[str, Any]) -> Answer:
        try:
            encoded = msgspec.json.encode(body)
        except UnicodeEncodeError as error:
            raise QueryError(f"what is looked for is not Unicode text: {error.object!r}") from error
        # No run is stored before its index exists; part of an answer would look like all of it.
        params = {"ignore_unavailable": "true", "allow_partial_search_results": "false"}
        deadline = anyio.current_time() + _STARTING_SECONDS
        while True:
            try:
                return await self._client.request("POST", f"/{self._indexes.alias}/_search", Answer, encoded, params)
            except AnswerError as error:
                # The shard of an index that was made this moment, or that is being recovered.
                if error.status != _UNAVAILABLE or anyio.current_time() >= deadline:
                    raise
            await anyio.sleep(0.1)

    async def _prepare(self) -> None:
        async with self._preparing:
            if not self._prepared:
                await self._indexes.create_templates(self._client)
                self._prepared = True

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"the store at {self._client.name} was closed")
