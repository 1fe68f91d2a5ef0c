"""Where the events of a pipeline stand at one moment: on the spool, in topics, put aside, dead-lettered, stored.

Processes append to the file `told` what they have counted: [pid, calls, accepted, dropped], a line each.
"""

import json
from contextlib import aclosing
from pathlib import Path

import msgspec

from tailrace.bus.topics import Topics
from tailrace.config import load
from tailrace.event import decode
from tailrace.event.types import PRODUCER_LOST
from tailrace.registry import open_bus, open_store
from tailrace.spool.directory import REJECTED, all_in
from tailrace.spool.frame import parse
from tailrace.spool.tail import Tail
from tailrace.store import Query
from tailrace.store.reading import read_whole
from tests.system.scripts import companions_gone, spools, stored_documents


class Whereabouts(msgspec.Struct):
    """Ids of events, each place by itself; without those that sweepers publish of their own."""

    spool: set[str]
    topics: set[str]
    rejected: set[str]
    dead: int
    stored: set[str]
    doubled: int
    """Events that more than one document holds."""

    @property
    def kept(self):
        return self.spool | self.topics | self.rejected | self.stored


async def whereabouts(config):
    """Look only: ships, commits and deletes nothing. Nobody may be at work on it."""
    spool, rejected = set(), set()
    for directory in all_in(config.spool_path):
        tail = Tail(directory)
        while window := tail.read(final=True):
            spool |= _ids(frame.value for frame in window.frames)
    for path in (config.spool_path / REJECTED).glob("*"):
        rejected |= _ids(frame.value for frame in parse(path.read_bytes(), final=True).frames)
    topics, dead = await _on_bus(config)
    stored = await _stored(config)
    return Whereabouts(spool, topics, rejected, dead, set(stored), len(stored) - len(set(stored)))


def _ids(values):
    return {event.id for event in map(decode, values) if event.type != PRODUCER_LOST}


async def _on_bus(config):
    found = set()
    topics = Topics(config.prefix)
    async with aclosing(open_bus(config)) as bus:
        async with bus.subscribe(topics.all_events) as subscription:
            caught_up = False
            while not caught_up:
                batch = await subscription.receive(max_records=5000, wait=0)
                found |= _ids(record.value for record in batch.records)
                caught_up = batch.caught_up
        dead = {info.name: info.records for info in await bus.topics(topics.dead)}
    return found, dead.get(topics.dead, 0)


async def _stored(config):
    found, query = [], Query(limit=500)
    async with aclosing(open_store(config)) as store:
        while True:
            page = await store.search(query)
            for summary in page.runs:
                document = await read_whole(store, summary.run_id)
                found += [event.id for event in document.events.values() if event.type != PRODUCER_LOST]
            if page.next is None:
                return found
            query = msgspec.structs.replace(query, after=page.next)


def accepted_calls():
    """Of all processes, after checking each one's count. The last report of a process is the one that holds."""
    last = {report[0]: report[1:] for report in map(json.loads, Path("told").read_text().splitlines())}
    for calls, accepted, dropped in last.values():
        assert calls == accepted + sum(dropped.values())
        assert dropped == {}
    return sum(accepted for _, accepted, _ in last.values())


async def conserved(*, under_way=0):
    """Check twice, for processes that have ended, that what they accepted is somewhere once; gives the documents.

    `under_way`: calls that may have gone untold.
    """
    await companions_gone()
    told, config = accepted_calls(), load()
    assert told > 0
    left = await whereabouts(config)
    assert told <= len(left.kept) <= told + under_way
    documents = await stored_documents()
    after = await whereabouts(config)
    assert after.stored == left.kept
    assert (after.spool, after.rejected, after.dead, after.doubled) == (set(), set(), 0, 0)
    assert spools() == []
    assert all(document["integrity"]["gaps"] == {} for document in documents)
    return documents
