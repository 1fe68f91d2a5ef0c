"""The index stage: joins documents into the store. It keeps nothing: the store does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal

from tailrace.bus import Partition, Received
from tailrace.bus.topics import Topics
from tailrace.config import Config
from tailrace.consumer import Progress
from tailrace.document import Document, join
from tailrace.document.rendered import read
from tailrace.errors import DecodeError
from tailrace_consumers.consume import Plan, consume
from tailrace_consumers.dead_letters import DeadLetter
from tailrace_consumers.stage import Merge

MAX_RECORDS = 200
"""Fewer at a time than other stages take: documents are large, and all of them are in memory at once, taken apart."""


class IndexStage:
    """Rendered documents in, one document a run out: those of one batch are joined first, which saves writes."""

    def feed(self, records: Sequence[Received], now: float) -> Iterator[Merge | DeadLetter]:  # noqa: ARG002 - no timeouts
        documents: dict[str, Document] = {}
        sources: dict[str, list[Received]] = {}
        for record in records:
            try:
                document = read(record.value)
            except DecodeError as error:
                yield DeadLetter.unreadable(record, str(error))
                continue
            run_id = document.run_id
            known = documents.get(run_id)
            documents[run_id] = join(known, document) if known else document
            sources.setdefault(run_id, []).append(record)
        for run_id, document in documents.items():
            yield Merge(document, sources[run_id])

    def tick(self, now: float) -> Iterable[Merge]:  # noqa: ARG002
        return ()

    def finish(self, now: float, *, caught_up: bool) -> Iterable[Merge]:  # noqa: ARG002
        return ()

    def held(self) -> Mapping[Partition, int]:
        return {}

    def forget(self, partitions: Collection[Partition]) -> None:
        pass

    def counts(self) -> Mapping[str, int]:
        return {}


def plan(config: Config) -> Plan:
    documents = Topics(config.prefix).documents
    return Plan(
        "index",
        IndexStage(),
        reads=documents,
        creates=(documents,),
        into_store=True,
        max_records=MAX_RECORDS,
        max_bytes=config.index.max_joined_bytes,
    )


async def consumer(
    config: Config,
    *,
    until: Literal["cancelled", "caught_up"] = "cancelled",
    report: Callable[[Progress], None] | None = None,
) -> list[Progress]:
    """The entry point `index`; see `tailrace.consumer.Consumer`."""
    return await consume(config, [plan(config)], until=until, report=report)
