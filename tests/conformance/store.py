"""The contract of `tailrace.store.Store` as tests.

A subclass provides the fixture `backend`: `open()` gives a new store object on the same contents, and `settle()`
returns when searches see what was merged.
"""

import json
import random

import anyio
import pytest

from tailrace.document import Document, collect
from tailrace.document.summary import summarise
from tailrace.document.view import render
from tailrace.errors import ClosedError, QueryError
from tailrace.event import types
from tailrace.store import Query
from tests.store.runs import Producer, at, producer, run, run_id, said

FAR_DEEP = 100
SYNTAX = [
    '"',
    '""',
    "a OR b",
    "NEAR(a b)",
    "x*",
    "-word",
    "col:word",
    "'; DROP TABLE runs; --",
    "%_%",
    "(unclosed",
    "a AND",
    "NOT",
    "^start",
    "[1 TO 2]",
    "/re.*ex/",
    "\\",
    "{}",
    "field:>3",
    "word~2",
    "\x00nul",
    "\u2028",
    "\N{PARTY POPPER}",
]


def ids(page):
    return [summary.run_id for summary in page.runs]


@pytest.mark.anyio
class StoreConformance:
    @pytest.fixture
    async def store(self, backend):
        store = backend.open()
        yield store
        await store.aclose()

    @pytest.fixture
    async def other(self, backend):
        store = backend.open()
        yield store
        await store.aclose()

    async def put(self, store, backend, *documents):
        assert await store.merge(documents) == []
        await backend.settle()

    async def stored(self, store, document):
        found = await store.get(document.run_id)
        return render(found) if found is not None else None

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

    # Find

    async def test_a_run_is_found_by_how_its_id_begins_or_ends(self, store, backend):
        old, new = run(hour=1), run(hour=2)
        await self.put(store, backend, old, new)
        assert await store.find(old.run_id[-6:]) == [old.run_id]
        assert await store.find(new.run_id) == [new.run_id]
        assert await store.find(old.run_id[:4]) == [new.run_id, old.run_id]
        assert await store.find("nope") == []
        assert await store.find(old.run_id[4:-4]) == []

    async def test_find_gives_at_most_ten_newest_first(self, store, backend):
        documents = [run(hour=hour) for hour in range(12)]
        await self.put(store, backend, *documents)
        newest = [document.run_id for document in reversed(documents)]
        assert await store.find(documents[0].run_id[:4]) == newest[:10]

    async def test_fewer_than_four_characters_are_refused(self, store):
        with pytest.raises(QueryError, match="at least 4"):
            await store.find("abc")

    async def test_wildcards_in_a_short_id_are_only_characters(self, store, backend):
        await self.put(store, backend, run())
        for short in ("****", "????", "%%%%", "____", "019*", "\udcff" * 4):
            try:
                assert await store.find(short) == []
            except QueryError as error:
                assert "Unicode" in str(error)  # noqa: PT017 - the half character only

    # Search

    async def test_a_search_for_nothing_lists_all_runs_newest_first(self, store, backend):
        assert (await store.search(Query())).runs == []
        documents = [run(hour=hour) for hour in (3, 1, 2)]
        await self.put(store, backend, *documents)
        page = await store.search(Query())
        assert page.runs == [summarise(documents[n]) for n in (0, 2, 1)]
        assert page.next is None

    async def test_words_are_whole_words_in_any_case_and_without_accents(self, store, backend):
        one, two = run("The caf\u00e9 was CLOSED, closed!"), run("a closet; \u65e5\u672c\u8a9e\u3067\u3059 look_up")
        await self.put(store, backend, one, two)
        for word in ("closed", "Closed", "CAFE", "caf\u00e9", "cafe\u0301", "the"):
            assert ids(await store.search(Query(words=(word,)))) == [one.run_id], word
        for word in ("closet", "\u65e5\u672c", "\u8a9e", "A"):
            assert ids(await store.search(Query(words=(word,)))) == [two.run_id], word
        for word in ("clos", "losed", "\u672c\u65e5", "zebra"):
            assert ids(await store.search(Query(words=(word,)))) == [], word
        assert len(ids(await store.search(Query(words=("look_up",))))) == 2

    async def test_all_words_must_occur(self, store, backend):
        document = run("connection to host refused")
        await self.put(store, backend, document, run("connection made"))
        assert ids(await store.search(Query(words=("refused", "connection")))) == [document.run_id]
        assert ids(await store.search(Query(words=("refused", "made")))) == []

    async def test_a_phrase_is_consecutive_words(self, store, backend):
        document = run("error: connection-refused by host")
        await self.put(store, backend, document, run("connection was refused"))
        assert ids(await store.search(Query(phrases=("Connection refused",)))) == [document.run_id]
        assert ids(await store.search(Query(phrases=("refused host",)))) == []
        assert ids(await store.search(Query(phrases=("connection refused", "by host")))) == [document.run_id]

    async def test_long_words_are_found_whole(self, store, backend):
        document = run("k" * 300 + "x")
        await self.put(store, backend, document, run("k" * 300 + "y"))
        assert ids(await store.search(Query(words=("K" * 300 + "X",)))) == [document.run_id]

    async def test_filters_by_workflow_status_state_and_agent(self, store, backend):
        done = run(workflow="billing", agents=("planner", "critic"), status="Completed", hour=3)
        failed = run(workflow="Support Bot", agents=("critic",), status="failed", hour=2)
        going = run(workflow="billing", agents=("Writer, the first",), status=None, hour=1)
        await self.put(store, backend, done, failed, going)

        async def found(**parts):
            return ids(await store.search(Query(**parts)))

        assert await found(workflows=("billing",)) == [done.run_id, going.run_id]
        assert await found(workflows=("Support Bot", "none")) == [failed.run_id]
        assert await found(workflows=("support bot",)) == []
        assert await found(statuses=("completed",)) == [done.run_id]
        assert await found(statuses=("open", "failed")) == [failed.run_id, going.run_id]
        assert await found(statuses=("complete",)) == [done.run_id, failed.run_id]
        assert await found(agents=("critic",)) == [done.run_id, failed.run_id]
        assert await found(agents=("Writer, the first", "planner")) == [done.run_id, going.run_id]
        assert await found(workflows=("billing",), agents=("critic",), statuses=("open",)) == []
        assert await found(workflows=("billing",), agents=("critic",), words=("hello",)) == [done.run_id]

    async def test_what_a_run_was_before_no_longer_finds_it(self, store, backend):
        made = producer().send(types.LOG, {"message": "first"})
        await self.put(store, backend, made.document())
        made.send(types.RUN_END, {"final_status": "done"})
        await self.put(store, backend, made.document())
        assert ids(await store.search(Query(statuses=("open",)))) == []
        assert ids(await store.search(Query(statuses=("done",), words=("first",)))) == [made.run]

    async def test_since_and_until_bound_the_start(self, store, backend):
        documents = [run(hour=hour) for hour in (1, 2, 3)]
        await self.put(store, backend, *documents)
        one, two, three = (document.run_id for document in documents)
        assert ids(await store.search(Query(since=at(2)))) == [three, two]
        assert ids(await store.search(Query(until=at(2)))) == [one]
        assert ids(await store.search(Query(since=at(2), until=at(3)))) == [two]
        assert ids(await store.search(Query(since="2026-01-01T03:00:00+01:00", until="2026-01-01T03:00"))) == [two]
        with pytest.raises(QueryError, match="yesterday"):
            await store.search(Query(since="yesterday"))

    async def test_a_run_without_start_time_sorts_by_its_id_and_one_without_any_time_last(self, store, backend):
        early, late = run(hour=1), run(hour=3)
        by_id = Producer(run_id(2)).send(types.LOG, {"message": "x"}).document()
        timeless = Producer("no time in this").send(types.LOG, {"message": "x"}).document()
        await self.put(store, backend, timeless, early, by_id, late)
        expected = [late.run_id, by_id.run_id, early.run_id, timeless.run_id]
        assert ids(await store.search(Query())) == expected
        assert ids(await store.search(Query(since=at(0)))) == expected[:3]
        assert ids(await store.search(Query(until=at(5)))) == expected[:3]

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
    async def test_pages_visit_each_run_once(self, store, backend, limit):
        documents = [run(hour=n // 3) for n in range(7)] + [Producer(f"timeless {n}").document() for n in range(2)]
        await self.put(store, backend, *documents)
        seen, after = [], None
        while True:
            page = await store.search(Query(limit=limit, after=after))
            assert 1 <= len(page.runs) <= limit
            seen += ids(page)
            after = page.next
            if after is None:
                break
        assert len(seen) == len(documents)
        assert set(seen) == {document.run_id for document in documents}
        assert seen == ids(await store.search(Query()))

    async def test_a_page_goes_on_behind_the_last_run_while_newer_ones_arrive(self, store, backend):
        old = [run(hour=hour) for hour in (1, 2, 3)]
        await self.put(store, backend, *old)
        first = await store.search(Query(limit=2))
        await self.put(store, backend, run(hour=4))
        second = await store.search(Query(limit=2, after=first.next))
        assert ids(second) == [old[0].run_id]

    @pytest.mark.parametrize("after", ["", "x", "bm8=", "\u00e9", "WzEsMl0="])
    async def test_a_cursor_of_another_making_is_refused(self, store, after):
        with pytest.raises(QueryError, match="next"):
            await store.search(Query(after=after))

    async def test_a_page_of_no_runs_is_refused_and_a_huge_one_bounded(self, store, backend):
        document = run()
        await self.put(store, backend, document)
        with pytest.raises(QueryError, match="at least one"):
            await store.search(Query(limit=0))
        assert ids(await store.search(Query(limit=10**12))) == [document.run_id]

    @pytest.mark.parametrize("text", SYNTAX)
    async def test_query_syntax_in_user_text_is_only_text(self, store, backend, text):
        document = run(f"before {text} after", workflow=text, agents=(text,), status=text)
        await self.put(store, backend, document, run("unrelated"))
        own = [document.run_id]
        assert ids(await store.search(Query(phrases=(f"before {text} after",)))) == own
        for exact in ({"workflows": (text,)}, {"agents": (text,)}, {"statuses": (text.lower(),)}):
            assert ids(await store.search(Query(**exact))) == own
        assert set(ids(await store.search(Query(words=(text,))))) <= set(own)
        assert await self.stored(store, document) == render(document)

    async def test_a_word_without_letters_or_digits_occurs_nowhere(self, store, backend):
        await self.put(store, backend, run("hello !!!"))
        for words in (("!!!",), ("!!!", "hello"), ("hello", "")):
            assert ids(await store.search(Query(words=words))) == []

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
        for call in (store.merge([run()]), store.get("abcd"), store.find("abcd"), store.search(Query())):
            with pytest.raises(ClosedError):
                await call
