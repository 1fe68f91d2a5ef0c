"""A spool's directory, or a file in it, that somebody deletes while its companion ships it: real processes."""

import os
import shutil
import signal
from pathlib import Path

import msgspec
import pytest

from tailrace.spool.lock import Lock
from tests.publish.accompanied import BEGIN, accepted, companion_process, events, until
from tests.system.scripts import spools, start

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("home_of_its_own")]


@pytest.mark.parametrize("seen", ["deleted", "replaced"])
async def test_a_directory_that_is_deleted_is_begun_again_and_shipped(seen):
    """Whether the companion looks while it is gone, or only when another has its name."""
    code = """
work(5); flush(); line(1); input()
log.info('after')  # a run that nobody ends
while True:
    time.sleep(0.05)
    log.info('again')
    if flush().reached: break
line(2)
"""
    with start(BEGIN + code) as process:
        assert process.stdout.readline() == "1\n"
        (producer,) = spools()
        companion = companion_process()
        if seen == "replaced":
            os.kill(companion, signal.SIGSTOP)
        shutil.rmtree(f".tailrace/spool/{producer}")
        process.stdin.write("\n")
        process.stdin.flush()
        if seen == "replaced":
            await until(lambda: spools() == [producer])
            os.kill(companion, signal.SIGCONT)
        assert process.stdout.readline() == "2\n"
        _, err = process.communicate(timeout=30)
    assert "was deleted or replaced; another was made" in err
    await until(lambda: spools() == [])
    messages = [msgspec.json.decode(event.data).get("message") for event in accepted((await events())[0])]
    assert {"after", "again"} <= set(messages)


def deleted(name):
    """Path of the file in the one spool there is."""
    (producer,) = spools()
    path = Path(".tailrace/spool", producer, name)
    path.unlink()
    return path


def is_held(path):
    looking = Lock(path)
    try:
        return path.exists() and not looking.acquire(shared=True)
    finally:
        looking.release()


@pytest.mark.parametrize("name", ["owner.lock", "ship.lock"])
async def test_after_a_lock_was_deleted_the_companion_serves_on_where_it_was(name):
    with start(BEGIN + "work(5); flush(); line(1); input(); work(5); line(flush().reached)") as process:
        assert process.stdout.readline() == "1\n"
        companion = companion_process()
        lock = deleted(name)
        await until(lambda: is_held(lock))
        out, err = process.communicate("\n", timeout=60)
    assert out == "True\n"
    told = f"tailrace: the lock {lock} was deleted or replaced; it was taken again\n"
    assert err == (told if name == "owner.lock" else "")
    await until(lambda: spools() == [])
    found, count = await events()
    assert len(found) == count == 14
    assert companion_process() == companion


@pytest.mark.parametrize("name", ["about.json", "shipped"])
async def test_a_note_that_was_deleted_is_written_again(name):
    """`about.json` tells the next companion whose the spool is, `shipped` tells the program what is acknowledged."""
    with start(BEGIN + "work(5); flush(); line(1); input(); work(5); line(flush().reached)") as process:
        assert process.stdout.readline() == "1\n"
        if name == "about.json":
            os.kill(companion_process(), signal.SIGKILL)
        note = deleted(name)
        await until(note.exists)
        out, err = process.communicate("\n", timeout=60)
    assert (out, err) == ("True\n", "")
    await until(lambda: spools() == [])
    assert len((await events())[0]) == 14
