"""Long runs: the part of the store's contract that `StoreConformance` inherits.

Pages are made so small that a run of a few dozen events is long.
"""

import json
import random
from functools import reduce

import anyio
import msgspec
import pytest

from tailrace.document import collect, join, pages
from tailrace.document.pages import contents, weight
from tailrace.document.restore import restore
from tailrace.document.summary import summarise
from tailrace.document.view import render
from tailrace.errors import LongRunError
from tailrace.event import types
from tailrace.store import Query
from tailrace.store.reading import read_pages, read_whole
from tests.store.runs import Producer, producer, run, run_id

DERIVED = ["state", "final_status", "workflow_name", "agents", "counts", "tokens", "cost_usd", "integrity", "end_time"]


def long_run(turns=12, *, pid=None, run=None, ended=True, words="hello"):
    made = Producer(run or run_id(), pid=pid)
    made.send(types.RUN_START, {"tags": ["long"]})
    for turn in range(turns):
        place = {"iteration": "a" * 16, "interaction": f"{turn + 1:016x}", "agent": f"agent {turn % 3}"}
        made.send(types.INTERACTION_START, {"agent_name": place["agent"], "input_data": f"{words} {turn}"}, **place)
        act = {**place, "action": f"{turn + 1000:016x}"}
        made.send(types.ACTION_START, {"action_name": "look_up"}, **act)
        made.send(types.LOG, {"level": "INFO", "message": "x" * 100}, **place)
        made.send(types.ACTION_END, {"tokens": {"input": 2, "output": 3}, "cost": 0.1}, **act)
        made.send(types.INTERACTION_END, {"output_data": "done"}, **place)
    return made.send(types.RUN_END, {"final_status": "completed"}) if ended else made


async def header_of(store, run):
    with pytest.raises(LongRunError) as caught:
        await store.get(run)
    return caught.value.header


async def pieces_of(store, run):
    """Header and pages as stored, and the document that they hold together."""
    header = await header_of(store, run)
    found = [document async for document in read_pages(store, run, header)]
    return [header, *map(render, found)], reduce(join, found, restore(header))


class LongRunConformance:
    @pytest.fixture
    def small_pages(self, monkeypatch):
        monkeypatch.setattr(pages, "PAGE_BYTES", 5000)

    async def test_a_long_run_is_kept_as_a_header_and_pages_that_hold_it_whole(self, store, other, small_pages):
        made = long_run()
        assert await store.merge([made.document()]) == []
        pieces, document = await pieces_of(other, made.run)
        assert len(pieces) > 4
        assert render(document) == render(made.document())
        assert render(await read_whole(other, made.run)) == render(made.document())
        assert all(weight(restore(page)) <= pages.PAGE_BYTES for page in pieces[1:])

    async def test_the_header_of_a_long_run_says_what_its_document_would(self, store, small_pages):
        made = long_run()
        for at in range(0, len(made.events), 5):
            await store.merge([collect(made.events[at : at + 5])[made.run]])
        header, whole = json.loads(await header_of(store, made.run)), json.loads(render(made.document()))
        assert {name: header.get(name) for name in DERIVED} == {name: whole.get(name) for name in DERIVED}
        assert header["tags"] == ["long"]

    @pytest.mark.parametrize("seed", range(3))
    async def test_any_order_split_and_repetition_gives_equal_pieces(self, store, other, small_pages, seed):
        shuffle, made = random.Random(seed), long_run(8)
        twin = Producer(run_id())
        twin.events = [of_run(event, twin.run) for event in made.events]
        await store.merge([twin.document()])
        events = made.events * 2
        shuffle.shuffle(events)
        while events:
            size = shuffle.randint(1, 20)
            part = collect(events[:size])[made.run]
            events = events[size:]
            assert await shuffle.choice([store, other]).merge([part]) == []
        one, two = [await pieces_of(store, each.run) for each in (made, twin)]
        assert [piece.replace(made.run.encode(), twin.run.encode()) for piece in one[0]] == two[0]

    async def test_a_run_that_grows_becomes_long_and_loses_nothing(self, store, other, small_pages):
        made = long_run(4)
        short, rest = collect(made.events[:6])[made.run], collect(made.events[6:])[made.run]
        await store.merge([short])
        assert render(await store.get(made.run)) == render(short)
        await other.merge([rest])
        _, document = await pieces_of(store, made.run)
        assert render(document) == render(made.document())

    @pytest.mark.parametrize("turns", [1, 12])
    async def test_a_dropped_run_that_comes_back_in_parts_is_no_stub_any_more(
        self, store, other, backend, small_pages, turns
    ):
        made = long_run(turns)
        dropped = {"rate": 0.1, "reason": "rate", "state": "complete", "cost_usd": 7.5, "counts": {"events": 9}}
        stub = Producer(made.run, pid="sampler").send(types.RUN_DROPPED, dropped).document()
        await self.put(store, backend, stub)
        (listed,) = (await store.search(Query())).runs
        assert (listed.stub, listed.weight, listed.cost_usd) == (True, 0.0, 7.5)
        await other.merge([collect(made.events[3:])[made.run]])
        await self.put(store, backend, collect(made.events[:3])[made.run])
        whole = join(stub, made.document())
        assert (await store.search(Query())).runs == [summarise(whole)]
        if turns == 1:
            assert render(await store.get(made.run)) == render(whole)
        else:
            (header, *_), document = await pieces_of(store, made.run)
            assert json.loads(header)["sampling"] == json.loads(render(whole))["sampling"]
            assert render(document) == render(whole)

    async def test_writers_of_one_long_run_at_the_same_time_lose_nothing(self, store, other, small_pages):
        shared = run_id()
        producers = [long_run(4, pid=f"pid-{n}", run=shared) for n in range(2)]

        async def write(target, made):
            for at in range(0, len(made.events), 4):
                assert await target.merge([collect(made.events[at : at + 4])[shared]]) == []

        async with anyio.create_task_group() as group:
            for target, made in zip((store, other), producers, strict=True):
                group.start_soon(write, target, made)
        expected = collect([event for made in producers for event in made.events])[shared]
        _, document = await pieces_of(store, shared)
        assert render(document) == render(expected)
        header = json.loads(await header_of(store, shared))
        assert header["counts"]["events"] == len(expected.events)

    async def test_a_long_run_is_one_run_in_lists_and_searches(self, store, backend, small_pages):
        made, short = long_run(words="quinquereme"), run("nineveh")
        await self.put(store, backend, made.document(), short)
        assert {each.run_id for each in (await store.search(Query())).runs} == {made.run, short.run_id}
        (found,) = (await store.search(Query(words=("quinquereme",)))).runs
        assert found.counts == json.loads(render(made.document()))["counts"]
        for query in (Query(agents=("agent 2",)), Query(statuses=("completed",), words=("quinquereme", "done"))):
            assert [each.run_id for each in (await store.search(query)).runs] == [made.run]
        assert await store.find(made.run[-8:]) == [made.run]

    async def test_a_page_that_was_cut_while_a_run_is_read_is_given_in_its_parts(self, store, small_pages):
        made = long_run(12, ended=False)
        early = collect(made.events[::2])[made.run]
        await store.merge([early])
        header = await header_of(store, made.run)
        await store.merge([made.document()])
        assert len(contents(await header_of(store, made.run))) > len(contents(header))
        found = [document async for document in read_pages(store, made.run, header)]
        assert {*restore(header).events, *(id_ for document in found for id_ in document.events)} >= early.events.keys()

    async def test_an_event_too_large_for_a_page_of_its_own_comes_back_alone(self, store, small_pages, monkeypatch):
        monkeypatch.setattr("tailrace.store.pieces.MAX_PIECE", 20_000)
        made = long_run(3)
        await store.merge([made.document()])
        before, _ = await pieces_of(store, made.run)
        large = collect([made.send(types.LOG, {"message": "x" * 30_000}).events.pop()])[made.run]
        short = run()
        (refused,) = await store.merge([large, short])
        assert refused.document.run_id == made.run
        assert "20000 bytes" in refused.reason
        assert await store.get(short.run_id) is not None
        assert (await pieces_of(store, made.run))[0] == before

    async def test_a_deleted_long_run_leaves_no_page(self, store, other, small_pages):
        made, stays = long_run(), long_run()
        await store.merge([made.document(), stays.document()])
        pages_of = {each: contents(await header_of(store, each)) for each in (made.run, stays.run)}
        assert len(pages_of[made.run]) > 3
        assert await other.delete([made.run]) == 1
        assert await store.get(made.run) is None
        assert [await store.page(made.run, info.id) for info in pages_of[made.run]] == [None] * len(pages_of[made.run])
        _, document = await pieces_of(store, stays.run)
        assert render(document) == render(stays.document())
        made.send(types.LOG, {"message": "late"})
        late = collect(made.events[-1:])[made.run]
        await store.merge([late])
        assert render(await store.get(made.run)) == render(late)

    async def test_a_page_that_is_not_there_is_none(self, store, small_pages):
        assert await store.page(run_id(), "") is None
        made = producer()
        await store.merge([made.document()])
        assert await store.page(made.run, "") is None


def of_run(event, run):
    """The same event of another run."""
    return msgspec.structs.replace(event, run=run)
