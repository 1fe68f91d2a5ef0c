"""The publisher of a logging process: it ships beside the caller, says when it cannot, and stops in time."""

import socket
import threading
import time

import anyio
import pytest

import tailrace
from tailrace.config import load
from tailrace.logger import state
from tailrace.logger.recorder import Recorder
from tailrace.publish.pace import BESIDE
from tailrace.registry import open_bus
from tailrace.spool.append import Spool
from tailrace.spool.directory import inspect
from tailrace.spool.tail import Tail, Window

pytestmark = pytest.mark.anyio


@pytest.fixture
def nowhere():
    """The URL of a broker that refuses connections: a port that is taken and not listened on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"kafka://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture(autouse=True)
def fresh_state():
    state.reset()
    yield
    state.reset()


async def test_flush_says_what_it_reached(prefix):
    log = tailrace.configure_logger("w", bus=f"memory:{prefix}")
    with log.run():
        log.log_action("x")
    result = await log.flush("broker", timeout=20)
    assert (result.reached, result.accepted, result.acked, result.dropped) == (True, 3, 3, {})
    bus = open_bus(load({"bus": f"memory:{prefix}"}))
    assert [(info.name, info.records) for info in await bus.topics()] == [("tailrace.events.w", 3)]
    stats = log.stats()
    assert (stats.calls, stats.accepted, stats.oldest_unshipped_seconds) == (3, 3, None)
    assert log.close()
    assert log.stats().acked == 3


async def test_without_a_bus_flush_says_so_and_the_disk_has_everything(nowhere, capsys):
    log = tailrace.configure_logger("w", bus=nowhere)
    log.info("x")
    result = await log.flush("broker", timeout=0.3)
    assert (result.reached, result.accepted, result.acked) == (False, 2, 0)
    result = await log.flush("disk")
    assert (result.reached, result.synced) == (True, 2)
    with anyio.fail_after(20):
        while not log.stats().trouble:
            await anyio.sleep(0.02)
    stats = log.stats()
    assert stats.spool_bytes > 0
    assert stats.oldest_unshipped_seconds >= 0
    assert nowhere.removeprefix("kafka://") in stats.trouble
    begin = time.monotonic()
    assert not log.close(10)
    assert time.monotonic() - begin < 3
    assert capsys.readouterr().err.count("\n") == 1
    (left,) = inspect(load().spool_path)
    assert left.bytes > 0


async def test_what_the_bus_has_not_taken_is_synced_within_seconds(nowhere, monkeypatch):
    synced = threading.Event()
    sync = Spool.sync
    monkeypatch.setattr(Spool, "sync", lambda spool: (sync(spool), synced.set()))
    log = tailrace.configure_logger("w", bus=nowhere)
    log.info("x")
    assert await anyio.to_thread.run_sync(synced.wait, 20)


async def test_a_call_after_close_is_kept_and_shipped(prefix):
    log = tailrace.configure_logger("w", bus=f"memory:{prefix}")
    log.info("before")
    assert log.close()
    log.info("after")
    assert log.close()
    bus = open_bus(load({"bus": f"memory:{prefix}"}))
    (topic,) = await bus.topics()
    assert topic.records == 5  # start, two lines, and after each close the word that nobody will end the run


async def test_reconfiguring_ships_what_the_earlier_configuration_took(prefix):
    first = tailrace.configure_logger("w", bus=f"memory:{prefix}-1")
    first.info("to the first")
    second = tailrace.configure_logger("w", bus=f"memory:{prefix}-2")
    assert second is first
    second.info("to the second")
    await second.flush("broker", timeout=20)
    with anyio.fail_after(20):
        for name in (f"{prefix}-1", f"{prefix}-2"):
            bus = open_bus(load({"bus": f"memory:{name}"}))
            while not await bus.topics():
                await anyio.sleep(0.02)


@pytest.mark.parametrize(
    ("end", "is_short"),
    [(lambda log, _: log.close(20), False), (lambda _, other: tailrace.configure_logger("w", bus=other), True)],
    ids=["close", "configure_logger"],
)
async def test_only_whoever_waits_for_the_end_has_the_rest_read_in_long_turns(prefix, monkeypatch, end, is_short):
    sizes: list[int] = []
    read = Tail.read

    def at_the_end(tail: Tail, *, final: bool) -> Window | None:
        window = read(tail, final=final) if final else None
        sizes.append(sum(len(frame.body) for frame in window.frames) if window else 0)
        return window

    monkeypatch.setattr(Tail, "read", at_the_end)
    log = tailrace.configure_logger("w", bus=f"memory:{prefix}-1")
    for _ in range(2000):
        log.info("x" * 1000)
    end(log, f"memory:{prefix}-2")

    bus = open_bus(load({"bus": f"memory:{prefix}-1"}))
    with anyio.fail_after(20):
        while [topic.records for topic in await bus.topics()] != [2002]:  # the lines, and the run's start and last word
            await anyio.sleep(0.02)
    assert (max(sizes) <= BESIDE.window_bytes) is is_short


def test_a_wrong_bus_url_is_told_once_and_events_stay_on_the_spool(capsys):
    recorder = Recorder(load({"bus": "kafak://localhost:9092"}))
    scope_run = recorder.open_run("w", tailrace.event.types.RunStart(verbosity="INFO"))
    recorder.end_run(scope_run, tailrace.event.types.RunEnd(final_status="completed"))
    deadline = time.monotonic() + 20
    while not recorder.stats().trouble:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert "did you mean kafka" in recorder.stats().trouble
    assert recorder.stats().accepted == 2
    recorder.close(0.1)
    assert capsys.readouterr().err.count("did you mean kafka") == 1
