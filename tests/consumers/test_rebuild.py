"""A store rebuilt from the documents on the bus equals the one that the consumers wrote."""

import itertools

import anyio
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.bus import Record
from tailrace.bus.topics import Topics
from tailrace.config import AggregateSettings, Config
from tailrace.consumer import find_consumer, find_rebuild
from tailrace.registry import open_bus
from tests.consumers.making import end, event, interleaved_runs, start
from tests.consumers.test_consume import expected, publish, stored

pytestmark = pytest.mark.anyio

_places = itertools.count()


def live(home, **urls):
    """Every open run comes out in part at each look, so that documents are many and overlap."""
    return Config(home=str(home), aggregate=AggregateSettings(live_after=0.0), **urls)


async def consumed(config, events, cuts=()):
    """Published and consumed in pieces, as time would cut them."""
    edges = [0, *sorted(cuts), len(events)]
    for first, last in itertools.pairwise(edges):
        await publish(config, *events[first:last])
        await find_consumer("all")(config, until="caught_up")


@settings(max_examples=10, deadline=None)
@given(interleaved_runs(), st.data())
def test_whatever_the_runs_and_however_their_documents_were_cut(tmp_path_factory, events, data):
    cuts = data.draw(st.lists(st.integers(0, len(events)), max_size=3))
    place = f"memory:rebuild-{next(_places)}"
    config = live(tmp_path_factory.getbasetemp(), bus=place, store=place)
    anew = msgspec.structs.replace(config, store=f"{place}-anew")
    runs = sorted({each.run for each in events})

    async def both():
        await consumed(config, events, cuts)
        await find_rebuild()(anew)
        return await stored(config, *runs), await stored(anew, *runs)

    before, after = anyio.run(both)
    assert after == before == expected(*events)


async def test_a_second_time_and_into_the_same_store_it_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tailrace_consumers.rebuild.MAX_RECORDS", 1)
    config = live(tmp_path / "home")
    events = [start("a"), event("a", 1), start("b"), end("a", 2)]
    await consumed(config, events, [2])
    reports = []
    for _ in range(2):
        progress = await find_rebuild()(config, report=reports.append)
        assert (progress.received, progress.dead) == (3, 0)
    assert await stored(config, "a", "b") == expected(*events)
    assert reports[-1].received == 3


async def test_what_is_no_document_is_counted_and_the_rest_is_joined(tmp_path):
    config = live(tmp_path / "home")
    bus = open_bus(config)
    await bus.publish([Record(Topics(config.prefix).documents, b"k", b"nonsense")])
    await bus.aclose()
    await consumed(config, [start("a")])
    anew = msgspec.structs.replace(config, store=f"sqlite:///{tmp_path / 'anew.db'}")
    progress = await find_rebuild()(anew)
    assert (progress.received, progress.dead) == (2, 1)
    assert await stored(anew, "a") == expected(start("a"))


async def test_from_kafka_into_opensearch(tmp_path, kafka_url, opensearch_url, prefix):
    config = Config(home=str(tmp_path), bus=kafka_url, prefix=prefix)
    events = [each for run in ("a", "b", "c") for each in (start(run), event(run, 1), end(run, 2))]
    with anyio.fail_after(60):
        await consumed(config, events)
        anew = msgspec.structs.replace(config, store=opensearch_url)
        await find_rebuild()(anew)
        assert await stored(anew, "a", "b", "c") == expected(*events)
