"""The contract of `tailrace.store.Store` as tests.

A subclass provides the fixture `backend`: `open()` gives a new store object on the same contents, and `settle()`
returns when searches see what was merged.
"""

import json
import random

import anyio
import msgspec
import pytest

from tailrace.document import Document, collect
from tailrace.document.view import render
from tailrace.errors import ClosedError
from tailrace.event import types
from tailrace.store import Query
from tests.conformance.store_long import LongRunConformance
from tests.conformance.store_search import SearchConformance, ids
from tests.store.runs import Producer, producer, run, run_id, said

FAR_DEEP = 100


class StoreConformance(LongRunConformance, SearchConformance):
    # Merge and get

    async def test_a_merged_document_is_given_back_byte_for_byte(self, store):
        document = run("caf\u00e9 \u2028 \N{PARTY POPPER} \x00 end", agents=("planner", "critic"), tags=("beta",))
        assert await store.merge([document]) == []
        assert await self.stored(store, document) == render(document)

    async def test_a_run_that_was_never_merged_is_none(self, store):
        assert await store.get(run_id()) is None
        assert await store.get("no such run") is None
        assert await store.get("") is None

    async def test_an_empty_merge_is_fine(self, store):
        assert await store.merge([]) == []

    async def test_a_document_without_events_is_stored(self, store):
        document = Document(run_id())
        assert await store.merge([document]) == []
        assert await self.stored(store, document) == render(document)

    async def test_partial_documents_in_any_order_and_repeated_join_to_the_whole(self, store, other):
        whole = run("hello", agents=("planner", "critic", "writer"))
        shuffle = random.Random(7)
        events = list(whole.events.values()) * 2
        shuffle.shuffle(events)
        for event in events:
            part = Document(whole.run_id)
            part.fold(event)
            part.received = whole.received if shuffle.random() < 0.5 else {}
            assert await shuffle.choice([store, other]).merge([part]) == []
        await store.merge([whole])
        await store.merge([part, part])
        assert await self.stored(other, whole) == render(whole)

    async def test_documents_of_one_run_in_one_merge_are_joined(self, store):
        made = producer().send(types.LOG, {"level": "INFO", "message": "one"})
        first, both = made.document(), made.send(types.LOG, {"level": "INFO", "message": "two"}).document()
        rest = collect(made.events[1:])[made.run]
        await store.merge([rest, first])
        assert await self.stored(store, both) == render(both)

    async def test_an_older_document_takes_nothing_away(self, store):
        made = producer()
        old, new = made.document(), made.send(types.RUN_END, {"final_status": "completed"}).document()
        await store.merge([new])
        await store.merge([old])
        assert await self.stored(store, new) == render(new)

    async def test_what_the_caller_folds_afterwards_does_not_reach_the_store(self, store):
        made = producer()
        document = made.document()
        before = render(document)
        await store.merge([document])
        document.fold(made.send(types.LOG, {"level": "INFO", "message": "late"}).events[-1])
        (await store.get(made.run)).fold(made.events[-1])
        assert await self.stored(store, document) == before

    async def test_writers_at_the_same_time_lose_nothing(self, store, other):
        runs = [run_id() for _ in range(3)]
        producers = [Producer(each, pid=f"pid-{n}") for each in runs for n in range(2)]

        async def write(target, made):
            for number in range(6):
                made.send(types.LOG, {"level": "INFO", "message": f"{made.pid} {number}"})
                assert await target.merge([collect(made.events[-1:])[made.run]]) == []

        async with anyio.create_task_group() as group:
            for made in producers:
                group.start_soon(write, store if made.pid == "pid-0" else other, made)
        for each in runs:
            events = [event for made in producers if made.run == each for event in made.events]
            assert render(await store.get(each)) == render(collect(events)[each])

    async def test_many_runs_in_one_merge_are_all_stored(self, store):
        documents = [run(f"number {n}") for n in range(250)]
        assert await store.merge(documents) == []
        for document in documents[::50] + documents[-1:]:
            assert await self.stored(store, document) == render(document)

    async def test_a_merge_of_new_and_known_runs_leaves_each_with_its_own_words_and_agents(self, store, backend):
        old = [run(f"number {n}", agents=(f"old{n}",), hour=1) for n in range(40)]
        await self.put(store, backend, *old)
        again = []
        for number, document in enumerate(old[::2]):
            data = msgspec.Raw(msgspec.json.encode({"message": f"again {number}"}))
            document.fold(msgspec.structs.replace(next(iter(document.events.values())), id="q-0", pid="q", data=data))
            again.append(document)
        new = [run(f"fresh {n}", agents=(f"new{n}", f"more{n}"), hour=2) for n in range(60)]
        mixed = [document for pair in zip(new, again, strict=False) for document in pair] + new[len(again) :]
        await self.put(store, backend, *mixed)
        for number, document in enumerate(new):
            assert ids(await store.search(Query(agents=(f"more{number}",)))) == [document.run_id]
            assert ids(await store.search(Query(phrases=(f"fresh {number}",)))) == [document.run_id]
        for number, document in enumerate(old):
            assert ids(await store.search(Query(agents=(f"old{number}",)))) == [document.run_id]
            assert ids(await store.search(Query(phrases=(f"number {number}",)))) == [document.run_id]
            assert await self.stored(store, document) == render(document)

    async def test_a_run_of_very_many_agents_is_found_by_the_last_of_them(self, store, backend):
        document = run(agents=[f"agent{n}" for n in range(1200)])
        await self.put(store, backend, document, run("other"))
        assert ids(await store.search(Query(agents=("agent1199",)))) == [document.run_id]

    # Hostile payloads

    @pytest.mark.parametrize(
        "data",
        [
            {"message": {f"key {n}": n for n in range(1000)}},
            {"message": "x" * 40_000},
            {"message": {"": {"": ""}, ".": 1, "a.b": 2, "a": {"b": "3"}, "_id": 4, "$": 5, "run_id": 6, "body": 7}},
            {"message": json.loads("[" * FAR_DEEP + "1" + "]" * FAR_DEEP)},
            {"message": ["\u0000", "\uffff", "\U0010ffff", "\u202e", "e\u0301", "\ufdfa" * 300]},
            {"message": [2**64 - 1, -(2**63), 1e300, 5e-324, -0.0, True, None, [], {}]},
            b'{"message": {"twice": 1, "twice": "two"}, "level":  "INFO"}',
            b'{"message": 1' + b"0" * 1200 + b".5e-1200}",
            b'{"message": "' + b"\\u00e9\\/" * 10 + b'"}',
            {"final_status": 1, "workflow_name": 2, "text": 3, "summary": 4, "state": 5, "agents": 6, "started": 7},
        ],
        ids=["keys", "long", "names", "deep", "unicode", "numbers", "twice", "digits", "escapes", "fields"],
    )
    async def test_any_payload_is_given_back_byte_for_byte(self, store, backend, data):
        document = said(data)
        await self.put(store, backend, document)
        assert await self.stored(store, document) == render(document)
        assert ids(await store.search(Query())) == [document.run_id]

    async def test_one_key_may_hold_a_number_in_one_run_and_an_object_in_another(self, store):
        values = [1, "one", [1, "one"], {"one": 1}, None, 1.5, "2026-01-01", True]
        documents = [said({"message": value, "fields": {"value": value}}) for value in values]
        assert await store.merge(documents) == []
        for document in documents:
            assert await self.stored(store, document) == render(document)

    async def test_hostile_names_and_times_are_stored(self, store, backend):
        wild = Producer(run_id(), workflow="w" * 40_000)
        wild.send(types.RUN_START, {"tags": ["t" * 40_000, 7, {}], "session": "s" * 40_000}, ts="yesterday")
        wild.send(types.LOG, {"message": "odd"}, agent="a" * 40_000, ts="9999-12-31T23:59:59.999999-23:59")
        wild.send(types.RUN_END, {"final_status": {"not": "text"}}, ts="")
        await self.put(store, backend, wild.document())
        assert await self.stored(store, wild.document()) == render(wild.document())
        assert ids(await store.search(Query(words=("odd",)))) == [wild.run]

    async def test_a_foreign_run_id_is_an_id_like_any_other(self, store, backend):
        for name in ("order/42?x=1#y z", "_doc", "..", "\u00e9" * 256, "f" * 12 + "7" + "f" * 19):
            document = Producer(name).send(types.LOG, {"message": "x"}).document()
            await self.put(store, backend, document)
            assert await self.stored(store, document) == render(document)

    async def test_a_document_that_cannot_be_stored_comes_back_and_the_others_are_stored(self, store):
        good = run()
        unnamed, endless = Document(""), Document("x" * 513)
        broken = Producer(run_id()).send(types.LOG, b'{"message": nonsense}').document()
        rejected = await store.merge([unnamed, good, broken, endless])
        assert {each.document.run_id for each in rejected} == {"", "x" * 513, broken.run_id}
        assert all(each.reason for each in rejected)
        assert await self.stored(store, good) == render(good)
        assert await store.get(broken.run_id) is None

    # Delete

    async def test_a_deleted_run_is_gone_for_every_way_to_find_it_and_the_others_stay(self, store, other, backend):
        gone, stays = run("quinquereme", agents=("planner",)), run("quinquereme", agents=("planner",))
        await self.put(store, backend, gone, stays)
        assert await other.delete([gone.run_id]) == 1
        await backend.settle()
        assert await store.get(gone.run_id) is None
        assert await store.find(gone.run_id) == []
        for query in (Query(), Query(words=("quinquereme",)), Query(agents=("planner",))):
            assert ids(await store.search(query)) == [stays.run_id]
        assert await self.stored(store, stays) == render(stays)

    async def test_deleting_counts_what_was_there_and_may_be_repeated(self, store):
        documents = [run(f"number {n}") for n in range(130)]
        await store.merge(documents)
        wanted = [*(document.run_id for document in documents), run_id(), "no such run", "", documents[0].run_id]
        assert await store.delete([]) == 0
        assert await store.delete(wanted) == 130
        assert await store.delete(wanted) == 0

    async def test_what_is_merged_after_a_delete_brings_back_only_itself(self, store, backend):
        made = producer().send(types.LOG, {"message": "quinquereme"})
        await self.put(store, backend, made.document())
        assert await store.delete([made.run]) == 1
        made.send(types.LOG, {"message": "late"}, agent="critic")
        late = collect(made.events[-1:])[made.run]
        await self.put(store, backend, late)
        assert await self.stored(store, late) == render(late)
        assert ids(await store.search(Query(words=("quinquereme",)))) == []
        assert ids(await store.search(Query(words=("late",), agents=("critic",)))) == [made.run]

    # Life

    async def test_another_store_object_sees_what_the_first_one_merged(self, store, other):
        document = run()
        await store.merge([document])
        assert await self.stored(other, document) == render(document)

    async def test_a_closed_store_refuses_every_call(self, backend):
        store = backend.open()
        await store.merge([run()])
        await store.aclose()
        await store.aclose()
        for call in (
            store.merge([run()]),
            store.get("abcd"),
            store.find("abcd"),
            store.search(Query()),
            store.delete(["abcd"]),
        ):
            with pytest.raises(ClosedError):
                await call
