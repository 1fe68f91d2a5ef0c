import sqlite3
import subprocess
import sys
from contextlib import aclosing, closing

import pytest

from tailrace.config import Config
from tailrace.document.view import render
from tailrace.errors import ConfigError, StoreError
from tailrace.registry import open_store
from tailrace.store import Query
from tests.conformance.store import StoreConformance
from tests.store.runs import run, run_id


class Sqlite:
    def __init__(self, path):
        self.path = path

    def open(self):
        return open_store(Config(store=f"sqlite:///{self.path}"))

    async def settle(self):
        pass


class TestSqliteStore(StoreConformance):
    @pytest.fixture
    def backend(self, tmp_path):
        return Sqlite(tmp_path / "new" / "store.db")


WRITER = """
import asyncio, sys
from tailrace.config import Config
from tailrace.document import collect
from tailrace.registry import open_store
from tailrace.event import types
from tests.store.runs import Producer

async def main(path, run, pid):
    store = open_store(Config(store=f"sqlite:///{path}"))
    made = Producer(run, pid=pid)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(40):
        made.send(types.LOG, {"message": f"{pid} {number}"})
        assert await store.merge([collect(made.events[-1:])[run]]) == []
    await store.aclose()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.anyio
async def test_two_processes_that_write_one_run_lose_nothing(tmp_path, pytestconfig):
    path, run = tmp_path / "store.db", run_id()
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), run, pid],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=pytestconfig.rootpath,
        )
        for pid in ("one", "two")
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    async with aclosing(Sqlite(path).open()) as store:
        document = await store.get(run)
    assert {pid: numbers.spans() for pid, numbers in document.received.items()} == {"one": [[0, 39]], "two": [[0, 39]]}
    assert len(document.events) == 80


@pytest.mark.anyio
async def test_a_repeated_merge_writes_nothing(tmp_path):
    path, document = tmp_path / "store.db", run()
    async with aclosing(Sqlite(path).open()) as store:
        await store.merge([document])
        with closing(sqlite3.connect(path)) as beside:
            before = beside.execute("PRAGMA data_version").fetchone()
            beside.executescript("CREATE TRIGGER no_write BEFORE UPDATE ON runs BEGIN SELECT RAISE(FAIL, 'wrote'); END")
            assert before is not None
        assert await store.merge([document]) == []


@pytest.mark.anyio
async def test_a_failed_merge_leaves_nothing_behind(tmp_path):
    path, kept, lost = tmp_path / "store.db", run("kept"), run("lost")
    async with aclosing(Sqlite(path).open()) as store:
        await store.merge([kept])
        with closing(sqlite3.connect(path)) as beside:
            beside.executescript(
                "CREATE TRIGGER no_write BEFORE INSERT ON run_agents"
                f" WHEN (SELECT run_id FROM runs WHERE number = NEW.number) = '{lost.run_id}'"
                " BEGIN SELECT RAISE(FAIL, 'disk full'); END"
            )
        with pytest.raises(StoreError, match="disk full"):
            await store.merge([run("another"), lost])
        assert [summary.run_id for summary in (await store.search(Query())).runs] == [kept.run_id]


@pytest.mark.anyio
async def test_a_path_that_cannot_be_opened_is_a_retryable_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "store.db"
    async with aclosing(Sqlite(path).open()) as store:
        for call in (store.merge([run()]), store.get("abcd"), store.find("abcd"), store.search(Query())):
            with pytest.raises(StoreError, match=str(path)) as caught:
                await call
            assert caught.value.retryable


@pytest.mark.anyio
async def test_a_file_that_is_no_database_is_a_final_error(tmp_path):
    path = tmp_path / "store.db"
    path.write_text("not a database " * 100)
    async with aclosing(Sqlite(path).open()) as store:
        with pytest.raises(StoreError, match="not a database") as caught:
            await store.merge([run()])
        assert not caught.value.retryable


@pytest.mark.anyio
async def test_a_stored_body_that_cannot_be_read_rejects_its_run_alone(tmp_path):
    path, broken, sound = tmp_path / "store.db", run(), run()
    async with aclosing(Sqlite(path).open()) as store:
        await store.merge([broken])
        with closing(sqlite3.connect(path)) as beside:
            beside.executescript("UPDATE runs SET body = x'7b7d'")
        rejected = await store.merge([broken, sound])
        assert [each.document.run_id for each in rejected] == [broken.run_id]
        assert "cannot be read" in rejected[0].reason
        assert render(await store.get(sound.run_id)) == render(sound)


@pytest.mark.parametrize(("parts", "table"), [(1, "runs_started"), (2, "runs_reversed")])
@pytest.mark.anyio
async def test_lists_and_short_ids_are_served_from_indexes(tmp_path, parts, table):
    from tailrace.store.sqlite import _find, _select

    path = tmp_path / "store.db"
    async with aclosing(Sqlite(path).open()) as store:
        await store.merge([run()])
    statements = []
    with closing(sqlite3.connect(path)) as beside:
        beside.set_trace_callback(statements.append)
        if parts == 1:
            beside.execute(*_select(Query())).fetchall()
        else:
            _find(beside, "abcd")
        beside.set_trace_callback(None)
        plan = " ".join(str(row) for row in beside.execute(f"EXPLAIN QUERY PLAN {statements[0]}"))
    assert table in plan
    assert "SCAN runs'" not in plan


def test_a_url_of_another_form_is_a_config_error():
    with pytest.raises(ConfigError, match="sqlite:///"):
        open_store(Config(store="sqlite://store.db"))


@pytest.mark.anyio
async def test_a_deleted_run_leaves_no_row_and_the_next_ones_use_its_room(tmp_path):
    backend = Sqlite(tmp_path / "store.db")
    first, second = ([run(f"number {n} {'x' * 3_000}", agents=("planner",)) for n in range(100)] for _ in range(2))
    async with aclosing(backend.open()) as store:
        await store.merge(first)
        before = pages_and_rows(backend.path)
        await store.delete([document.run_id for document in first])
        after = pages_and_rows(backend.path)
        await store.merge(second)
        again = pages_and_rows(backend.path)
    assert before[1:] == again[1:] == (100, 100, 100)
    assert after[1:] == (0, 0, 0)
    assert again[0] < before[0] * 1.2


def pages_and_rows(path):
    """How many pages the file has, and each of the tables of runs, agents and words rows."""
    with closing(sqlite3.connect(path)) as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        tables = ("runs", "run_agents", "run_words")
        return (pages, *(len(connection.execute(f"SELECT 1 FROM {table}").fetchall()) for table in tables))
