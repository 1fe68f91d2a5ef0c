import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import asynccontextmanager

import pytest

import tailrace.sqlite
from tailrace.errors import ClosedError, ConfigError
from tailrace.forking import unforked
from tailrace.sqlite import Database, path_of

SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (number INTEGER PRIMARY KEY, word TEXT NOT NULL UNIQUE);
CREATE INDEX IF NOT EXISTS facts_word ON facts (word)
"""
HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
connection.execute("COMMIT")
"""
WRITER = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as connection:
    connection.execute("INSERT INTO facts (word) VALUES ('b')")
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "er" / "facts.db"


@pytest.fixture
async def database(path):
    made = Database(path, SCHEMA)
    yield made
    await made.aclose()


@asynccontextmanager
async def locked_by_another_process(path):
    """Gives what lets the lock go."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        yield holder.stdin.close
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()


def add(*words):
    return lambda connection: [connection.execute("INSERT INTO facts (word) VALUES (?)", (word,)) for word in words]


def words(connection):
    return [word for (word,) in connection.execute("SELECT word FROM facts ORDER BY number")]


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "tailrace-sqlite"]


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///a/b.db", "a/b.db"),
        ("sqlite:////a/b.db", "/a/b.db"),
        ("sqlite:///.tailrace/x#1.db", ".tailrace/x#1.db"),
    ],
)
def test_a_url_names_a_relative_or_an_absolute_path(url, path):
    assert str(path_of(url)) == path


@pytest.mark.parametrize(
    "url", ["sqlite:", "sqlite://", "sqlite:///", "sqlite://a.db", "sqlite:///a.db?mode=ro", "a.db"]
)
def test_another_url_is_refused_with_how_to_write_it(url):
    with pytest.raises(ConfigError, match="write sqlite:///relative/path or sqlite:////absolute/path"):
        path_of(url)


def test_making_one_opens_nothing(path):
    assert Database(path, SCHEMA).path == path
    assert not path.parent.parent.exists()
    assert threads() == []


@pytest.mark.anyio
async def test_what_was_written_is_read_also_by_another_one(database, path):
    assert await database.write(lambda connection: add("a", "b")(connection) and "result") == "result"
    assert await database.read(words) == ["a", "b"]
    other = Database(path, SCHEMA)
    assert await other.read(words) == ["a", "b"]
    await other.aclose()


@pytest.mark.anyio
async def test_the_file_is_for_its_owner_alone(database, path):
    mask = os.umask(0)
    try:
        await database.write(add("a"))
    finally:
        os.umask(mask)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in [path.parent, *path.parent.iterdir()]}
    assert modes == {"er": 0o700, "facts.db": 0o600, "facts.db-wal": 0o600, "facts.db-shm": 0o600}


@pytest.mark.anyio
async def test_a_file_that_exists_keeps_its_mode(database, path):
    path.parent.mkdir(parents=True)
    path.touch()
    path.chmod(0o640)
    await database.write(add("a"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.anyio
async def test_a_commit_survives_a_power_cut_by_its_settings(database):
    def settings(connection):
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]

    assert await database.read(settings) == ["wal", 2]  # 2: FULL


@pytest.mark.anyio
async def test_work_that_raises_is_undone_whole_and_the_next_goes_on(database):
    await database.write(add("a"))
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        await database.write(add("b", "a"))
    with pytest.raises(ZeroDivisionError):
        await database.write(lambda connection: add("c")(connection) and 1 / 0)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await database.read(lambda connection: connection.execute("SELECT * FROM nowhere"))
    await database.write(add("d"))
    assert await database.read(words) == ["a", "d"]


@pytest.mark.anyio
async def test_a_reader_sees_one_moment_and_another_process_writes_meanwhile(database, path):
    await database.write(add("a"))

    def look_twice(connection):
        first = words(connection)
        subprocess.run([sys.executable, "-c", WRITER, path], check=True)
        return first, words(connection)

    assert await database.read(look_twice) == (["a"], ["a"])
    assert await database.read(words) == ["a", "b"]


@pytest.mark.anyio
async def test_work_is_done_in_the_order_given_in_one_thread(database):
    names = await asyncio.gather(
        *(database.write(lambda c, n=n: (add(str(n))(c), threading.current_thread().name)[1]) for n in range(20))
    )
    assert set(names) == {"tailrace-sqlite"}
    assert await database.read(words) == [str(number) for number in range(20)]


@pytest.mark.anyio
async def test_a_lock_of_another_process_is_waited_for_and_the_program_may_fork_meanwhile(database, path, monkeypatch):
    await database.write(add("a"))
    forkable = []
    async with locked_by_another_process(path) as let_go:

        class Waiting:
            def uniform(self, low, high):
                forkable.append(not unforked.locked())
                let_go()
                return low

        monkeypatch.setattr(tailrace.sqlite, "_random", Waiting())
        assert await database.read(words) == ["a"]  # readers wait for nobody
        assert forkable == []
        await database.write(add("b"))
    assert forkable
    assert all(forkable)
    assert await database.read(words) == ["a", "b"]


@pytest.mark.anyio
async def test_a_lock_that_stays_is_an_error_and_no_end(database, path, monkeypatch):
    await database.write(add("a"))
    monkeypatch.setattr(tailrace.sqlite, "_BUSY_SECONDS", 0.05)
    async with locked_by_another_process(path):
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            await database.write(add("b"))
    await database.write(add("c"))
    assert await database.read(words) == ["a", "c"]


@pytest.mark.anyio
async def test_a_file_that_cannot_be_opened_is_tried_anew_each_time(database, path):
    path.mkdir(parents=True)
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError, match="unable to open"):
            await database.read(words)
    path.rmdir()
    assert await database.read(words) == []


@pytest.mark.anyio
async def test_a_file_that_is_no_database_is_an_error(database, path):
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a database at all, " * 100)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        await database.write(add("a"))


@pytest.mark.anyio
async def test_a_cancelled_caller_leaves_the_work_done_or_not_begun(database):
    began, go_on = threading.Event(), threading.Event()

    def slow(connection):
        began.set()
        go_on.wait(10)
        add("begun")(connection)

    first, second = asyncio.create_task(database.write(slow)), asyncio.create_task(database.write(add("waiting")))
    await asyncio.to_thread(began.wait, 10)
    for task in (first, second):
        task.cancel()
    await asyncio.wait([first, second])
    go_on.set()
    assert await database.read(words) == ["begun"]


@pytest.mark.anyio
async def test_closing_finishes_what_was_given_and_leaves_no_thread_and_no_wal(path):
    database = Database(path, SCHEMA)
    writes = [asyncio.create_task(database.write(add(str(number)))) for number in range(5)]
    await asyncio.sleep(0)  # the tasks have given their work
    await database.aclose()
    await asyncio.gather(*writes)
    assert threads() == []
    assert [each.name for each in path.parent.iterdir()] == ["facts.db"]
    await database.aclose()
    for refused in (database.read, database.write):
        with pytest.raises(ClosedError, match=r"facts\.db was closed"):
            await refused(words)
    connection = sqlite3.connect(path)
    assert words(connection) == ["0", "1", "2", "3", "4"]
    connection.close()


@pytest.mark.anyio
async def test_closing_what_never_opened_is_quiet(path, tmp_path):
    await Database(path, SCHEMA).aclose()
    broken = Database(tmp_path, SCHEMA)
    with pytest.raises(sqlite3.OperationalError):
        await broken.read(words)
    await broken.aclose()
    assert threads() == []


def test_several_loops_start_one_thread(path, monkeypatch):
    database, made, second = Database(path, SCHEMA), [], threading.Event()
    thread = threading.Thread

    def make(**options):
        made.append(options["name"])
        if len(made) > 1:
            second.set()
        second.wait(0.3)  # the time for another caller to come here too, which none may
        return thread(**options)

    users = [thread(target=lambda n=n: asyncio.run(database.write(add(str(n))))) for n in range(3)]
    monkeypatch.setattr(tailrace.sqlite.threading, "Thread", make)
    for user in users:
        user.start()
    for user in users:
        user.join()
    monkeypatch.undo()
    assert made == ["tailrace-sqlite"]
    assert sorted(asyncio.run(database.read(words))) == ["0", "1", "2"]
    asyncio.run(database.aclose())


def test_no_caller_waits_for_ever_while_another_closes(path):
    database, barrier, written = Database(path, SCHEMA), threading.Barrier(6), []

    async def use(number):
        for turn in range(30):
            try:
                await asyncio.wait_for(database.write(add(f"{number}-{turn}")), 20)
            except ClosedError:
                return
            written.append(f"{number}-{turn}")
            if (number, turn) == (0, 20):
                await database.aclose()

    def run(number):
        barrier.wait()
        asyncio.run(use(number))

    users = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert threads() == []
    connection = sqlite3.connect(path)
    assert sorted(words(connection)) == sorted(written)
    connection.close()
