from contextlib import aclosing

import pytest

from tailrace.bus import Record
from tailrace.config import Config, IndexSettings
from tailrace.document import collect
from tailrace.document.view import render
from tailrace.registry import open_bus, open_store
from tailrace_consumers.dead_letters import DeadLetter
from tailrace_consumers.index import IndexStage, consumer
from tailrace_consumers.sinks import StoreSink
from tests.consumers.making import TOPICS, end, event, received, start


def documents(*parts):
    rendered = [render(document) for events in parts for document in collect(events).values()]
    return [received(body, offset, topic=TOPICS.documents) for offset, body in enumerate(rendered)]


def test_documents_of_one_run_are_joined_to_one_merge_that_knows_its_records():
    records = documents([start("a"), event("a", 1)], [start("b")], [end("a", 2)])
    merges = list(IndexStage().feed(records, 0.0))
    expected = collect([start("a"), event("a", 1), end("a", 2), start("b")])
    assert {merge.document.run_id: render(merge.document) for merge in merges} == {
        run: render(document) for run, document in expected.items()
    }
    assert {merge.document.run_id: [each.offset for each in merge.sources] for merge in merges} == {
        "a": [0, 2],
        "b": [1],
    }


def test_what_is_not_a_document_is_a_dead_letter():
    (letter,) = IndexStage().feed([received(b'{"run_id": 1}', 4, topic=TOPICS.documents)], 0.0)
    assert isinstance(letter, DeadLetter)
    assert letter.offset == 4


@pytest.mark.anyio
async def test_no_more_bytes_are_joined_at_once_than_the_setting_says(tmp_path, monkeypatch):
    config = Config(home=str(tmp_path), prefix="t", index=IndexSettings(max_joined_bytes=3_000))
    small = [start(f"small {n}") for n in range(20)]
    large = [[event(f"large {n}", 0, message="x" * 4_000)] for n in range(3)]
    made = documents(small, *large, [start("last")])
    written = []
    write = StoreSink.write

    async def noted(sink, items):
        written.append([len(source.value) for item in items for source in item.sources])
        return await write(sink, items)

    monkeypatch.setattr(StoreSink, "write", noted)
    async with aclosing(open_bus(config)) as bus:
        await bus.publish([Record(each.topic, each.key, each.value) for each in made])
    await consumer(config, until="caught_up")
    assert sorted(size for sizes in written for size in sizes) == sorted(len(each.value) for each in made)
    assert all(len(sizes) == 1 or sum(sizes) <= 3_000 for sizes in written)
    assert any(len(sizes) > 1 for sizes in written)
    async with aclosing(open_store(config)) as store:
        assert await store.get("large 2") is not None
