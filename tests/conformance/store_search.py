"""Finding runs: the part of the store's contract that `StoreConformance` inherits."""

import pytest

from tailrace.document.summary import summarise
from tailrace.document.view import render
from tailrace.errors import QueryError
from tailrace.event import types
from tailrace.store import Query
from tests.store.runs import Producer, at, producer, run, run_id, said

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
class SearchConformance:
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

    async def test_a_phrase_lies_within_one_value(self, store, backend):
        document = said({"message": "connection", "fields": {"a": "refused by", "b": "host"}})
        await self.put(store, backend, document)
        assert ids(await store.search(Query(words=("connection", "refused", "host")))) == [document.run_id]
        assert ids(await store.search(Query(phrases=("refused by",)))) == [document.run_id]
        for phrase in ("connection refused", "by host", "connection \u00b6 refused"):
            assert ids(await store.search(Query(phrases=(phrase,)))) == [], phrase

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
