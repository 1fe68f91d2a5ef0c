"""One spool to the bus: order, retries, refused records, lanes that do not hold each other up, orphans."""

import asyncio
import subprocess
import sys
import time
from functools import partial
from types import SimpleNamespace

import anyio
import msgspec
import pytest

from tailrace.bus.topics import Topics
from tailrace.config import SpoolSettings
from tailrace.errors import BusError
from tailrace.event import decode
from tailrace.publish import ship
from tailrace.publish.pace import ALONE, BESIDE
from tailrace.publish.routing import Router
from tailrace.publish.shipper import Shipper
from tailrace.spool.append import Spool
from tailrace.spool.directory import inspect
from tailrace.spool.frame import pack, parse
from tailrace.spool.tail import Tail
from tests.publish.buses import FlakyBus, memory_config

pytestmark = pytest.mark.anyio
KEY = b"0190a1b2c3d47000800000000000abcd"
SPAN = bytes.fromhex("00f067aa0ba902b7")


@pytest.fixture
def spool(tmp_path):
    spool = Spool(tmp_path / "spool", "p1", SpoolSettings(segment_bytes=4096), "internal")
    yield spool
    spool.release()


def append(spool, numbers, workflow="w"):
    for number in numbers:
        topic = f"tailrace.events.{workflow}"
        spool.append(pack(number, topic, KEY, SPAN, b'{"n":%d,"pad":"%b"}' % (number, b"x" * 100)))


def shipper(spool, bus, config, **options):
    router = Router(bus, Topics(config.prefix), config.topics.max_topics)
    return Shipper(Tail(spool.directory), bus, router, **options)


async def ship_all(shipper):
    with anyio.fail_after(20):
        await shipper.run(is_final=lambda: True, is_done=lambda: True)


def numbers(records):
    return [msgspec.json.decode(record.value)["n"] for record in records]


async def test_everything_arrives_in_order_and_the_segments_go(spool, prefix):
    config = memory_config(prefix)
    bus = FlakyBus(config)
    append(spool, range(500))
    await ship_all(shipper(spool, bus, config))
    assert numbers(bus.published) == list(range(500))
    assert spool.directory.segments() == []


async def test_records_carry_the_contracts_headers(spool, prefix):
    config = memory_config(prefix)
    bus = FlakyBus(config)
    append(spool, [0])
    await ship_all(shipper(spool, bus, config))
    (record,) = bus.published
    assert record.key == KEY
    assert dict(record.headers) == {
        "content-type": b"application/json",
        "tr-v": b"1",
        "traceparent": b"00-0190a1b2c3d47000800000000000abcd-00f067aa0ba902b7-01",
    }


async def test_a_bus_that_is_down_is_retried_in_order_and_told_once(spool, prefix):
    config = memory_config(prefix)
    troubles = []
    bus = FlakyBus(config, [BusError("down", retryable=True)] * 3)
    append(spool, range(20))
    await ship_all(shipper(spool, bus, config, on_trouble=troubles.append))
    assert numbers(bus.published) == list(range(20))
    assert [bool(trouble) for trouble in troubles] == [True, False]


async def test_an_unforeseen_error_of_a_bus_is_retried_too(spool, prefix):
    config = memory_config(prefix)
    bus = FlakyBus(config, [RuntimeError("a bug"), None])
    append(spool, range(3))
    await ship_all(shipper(spool, bus, config))
    assert numbers(bus.published) == [0, 1, 2]


async def test_a_record_refused_for_good_is_put_aside_and_the_others_arrive(spool, prefix):
    config = memory_config(prefix)
    bus = FlakyBus(config)
    bus.refuse = lambda record: numbers([record])[0] in (3, 17)
    append(spool, range(20))
    worker = shipper(spool, bus, config)
    await ship_all(worker)
    assert numbers(bus.published) == [n for n in range(20) if n not in (3, 17)]
    assert worker.rejected == 2
    kept = parse(spool.directory.rejected.read_bytes(), final=True).frames
    assert numbers(kept) == [3, 17]


async def test_a_topic_that_cannot_be_written_does_not_hold_up_another(spool, prefix):
    config = memory_config(prefix)
    bus = FlakyBus(config)
    stuck = True

    async def publish(records):
        if stuck and records[0].topic.endswith(".bad"):
            raise BusError("no leader", retryable=True)
        await FlakyBus.publish(bus, records)

    bus.publish = publish
    append(spool, range(5), "bad")
    append(spool, range(5, 10), "good")
    worker = shipper(spool, bus, config)
    async with anyio.create_task_group() as group:
        group.start_soon(ship_all, worker)
        with anyio.fail_after(5):
            while len(bus.published) < 5:
                await anyio.sleep(0.01)
        assert numbers(bus.published) == list(range(5, 10))
        assert worker.trouble
        stuck = False
    assert numbers(bus.published) == [*range(5, 10), *range(5)]
    assert spool.directory.segments() == []


async def test_what_was_not_acknowledged_is_shipped_again_by_the_next(spool, prefix):
    config = memory_config(prefix)
    bus = FlakyBus(config)
    append(spool, range(100))
    bus.down = True
    with pytest.RaisesGroup(pytest.RaisesExc(Exception, match="down"), flatten_subgroups=True):
        await ship_all(shipper(spool, bus, config, give_up=True))
    bus.down = False
    await ship_all(shipper(spool, bus, config))
    assert numbers(bus.published) == list(range(100))


async def test_names_beyond_the_limit_share_the_overflow_topics(spool, prefix):
    config = memory_config(prefix, topics={"max_topics": 3})
    bus = FlakyBus(config)
    for number in range(10):
        append(spool, [number], f"w{number}")
    await ship_all(shipper(spool, bus, config))
    names = {info.name for info in await bus.topics("tailrace.events.")}
    own = {name for name in names if "overflow-" not in name}
    assert len(own) == 3
    assert len(names) > 3
    assert sorted(numbers(bus.published)) == list(range(10))


ORPHAN = """
import os, signal, sys
import tailrace
log = tailrace.configure_logger("left", home=sys.argv[1], publish="external")
log.log_action("done", input_data=1)
log.finalize()
for step in range(10):
    log.log_action("step", input_data=step)
os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_the_spool_of_a_killed_process_is_shipped_with_its_ids_and_its_open_run_named(tmp_path, prefix):
    config = memory_config(prefix, home=str(tmp_path / "home"))
    died = await anyio.run_process([sys.executable, "-c", ORPHAN, config.home], check=False)
    assert died.returncode == -9
    (before,) = inspect(config.spool_path)
    assert not before.alive
    bus = FlakyBus(config)
    report = await ship(config, bus)
    assert (report.spools, report.left, report.errors) == (1, 0, [])
    events = [decode(record.value) for record in bus.published]
    assert [event.seq for event in events if event.pid == before.producer] == list(range(14))
    (lost,) = [event for event in events if event.type == "producer.lost"]
    assert lost.run == events[-2].run
    assert lost.run != events[0].run
    assert inspect(config.spool_path) == []
    assert (await ship(config, bus)).spools == 0


async def test_a_live_process_that_leaves_shipping_to_others_is_shipped_and_goes_on(tmp_path, prefix):
    config = memory_config(prefix, home=str(tmp_path / "home"))
    code = (
        "import sys, tailrace\n"
        "log = tailrace.configure_logger('w', home=sys.argv[1], publish='external')\n"
        "for line in sys.stdin:\n    log.info(line.strip()); print('ok', flush=True)\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code, config.home], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    bus = FlakyBus(config)
    with owner:
        for expected in (2, 3):
            owner.stdin.write("line\n")
            owner.stdin.flush()
            assert owner.stdout.readline() == "ok\n"
            assert (await ship(config, bus)).errors == []
            assert len(bus.published) == expected
        (info,) = inspect(config.spool_path)
        assert (info.alive, info.bytes) == (True, 0)
        owner.stdin.close()
    assert (await ship(config, bus)).errors == []
    assert decode(bus.published[-1].value).type == "producer.lost"
    assert len(bus.published) == 4
    assert inspect(config.spool_path) == []


async def test_an_idle_spool_is_looked_at_less_and_less_often(spool, prefix):
    config = memory_config(prefix)
    worker = shipper(spool, FlakyBus(config), config, pace=ALONE)
    looks = 0

    def is_done():
        nonlocal looks
        looks += 1
        return False

    with anyio.move_on_after(1.0):
        await worker.run(is_final=lambda: False, is_done=is_done)
    assert 2 <= looks <= 30  # ten milliseconds each would be a hundred


async def test_what_comes_before_the_next_look_waits_for_it_however_quick_the_bus_is(spool, prefix):
    config = memory_config(prefix)
    bus = FlakyBus(config)
    pace = msgspec.structs.replace(BESIDE, look_seconds=3600.0, idle_seconds=3600.0)
    one = shipper(spool, bus, config, pace=pace)
    append(spool, [0])
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(partial(one.run, is_final=lambda: False, is_done=lambda: False))
            await anyio.wait_all_tasks_blocked()
            append(spool, [1, 2])
            await anyio.wait_all_tasks_blocked()
            assert numbers(bus.published) == [0]
            assert one.tail.acked == 1
            one.wake()
            await anyio.wait_all_tasks_blocked()
            assert numbers(bus.published) == [0, 1, 2]
            group.cancel_scope.cancel()


async def test_what_one_look_finds_is_published_together_though_it_is_read_in_windows(spool, prefix):
    config = memory_config(prefix)
    bus = FlakyBus(config)
    append(spool, range(100))  # in four segments
    await ship_all(shipper(spool, bus, config))
    assert bus.batches == [100]


async def test_a_look_reads_no_more_than_it_may_before_it_publishes(spool, prefix):
    config = memory_config(prefix)
    bus = FlakyBus(config)
    append(spool, range(100))
    pace = msgspec.structs.replace(BESIDE, look_bytes=4096, batch_bytes=1)
    await ship_all(shipper(spool, bus, config, pace=pace))
    assert numbers(bus.published) == [*range(100)]
    assert max(bus.batches) < 50


async def test_after_a_look_the_bus_has_the_turns_of_the_loop_that_it_takes_to_send(spool, prefix, monkeypatch):
    config = memory_config(prefix)
    bus = FlakyBus(config)
    append(spool, range(100))
    one = shipper(spool, bus, config, pace=msgspec.structs.replace(BESIDE, look_bytes=1, batch_bytes=1, loop_turns=8))
    one.tail.window = 1024
    looks, meanwhile, read, publish = 0, [], one.tail.read, bus.publish

    def counted(*, final):
        nonlocal looks
        looks += 1
        return read(final=final)

    async def in_five_turns(records):
        before = looks
        for _ in range(5):
            await asyncio.sleep(0)
        meanwhile.append(looks - before)
        await publish(records)

    monkeypatch.setattr(one.tail, "read", counted)
    monkeypatch.setattr(bus, "publish", in_five_turns)
    await ship_all(one)
    assert numbers(bus.published) == [*range(100)]
    assert len(meanwhile) > 10
    assert max(meanwhile) <= 1


@pytest.mark.parametrize("may_rest", [True, False])
async def test_beside_a_program_it_rests_longer_than_it_works_unless_it_is_urgent(spool, prefix, monkeypatch, may_rest):
    slept = []
    monkeypatch.setattr("tailrace.publish.shipper.time.sleep", slept.append)
    config = memory_config(prefix)
    courtesy = SimpleNamespace(may_rest=lambda _: may_rest, is_due=lambda _: False)
    append(spool, range(100))
    await ship_all(shipper(spool, FlakyBus(config), config, courtesy=courtesy))
    assert len(slept) >= 8  # four windows, read and handed out
    assert (max(slept) > 2 * BESIDE.turn_seconds) == may_rest
    assert min(slept) >= BESIDE.turn_seconds


async def test_a_shipper_has_caught_up_when_nothing_was_left_to_read(spool, prefix, monkeypatch):
    now = 1_000.0
    monkeypatch.setattr("tailrace.publish.shipper.time.monotonic", lambda: now)
    config = memory_config(prefix)
    one = shipper(spool, FlakyBus(config), config, pace=msgspec.structs.replace(BESIDE, window_bytes=4096))
    assert one.caught_up_at == 1_000.0
    append(spool, range(100))
    now = 2_000.0
    one._look(final=False)
    assert one.caught_up_at == 1_000.0  # several windows
    while one._look(final=False) is not None:
        now += 1.0
    assert one.caught_up_at == now


async def test_a_full_memory_is_waited_for_ever_longer_and_read_into_as_soon_as_there_is_room(spool, prefix):
    config = memory_config(prefix)
    pace = msgspec.structs.replace(BESIDE, look_seconds=1.0, idle_seconds=64.0, memory_bytes=100)
    one = shipper(spool, FlakyBus(config), config, pace=pace)
    append(spool, [0])
    assert one._look(final=False) is not None
    one._look_at = 0.0
    one._held = 100
    assert [one._look(final=False) for _ in range(30)] == [None] * 30
    assert one._wait == 64.0
    one._held = 0
    append(spool, [1])
    assert one._look(final=False) is not None
    assert one._wait == 1.0


async def test_a_rest_is_short_however_long_the_process_was_stopped_in_its_turn(spool, prefix, monkeypatch):
    slept = []
    monkeypatch.setattr("tailrace.publish.shipper.time.sleep", slept.append)
    config = memory_config(prefix)
    one = shipper(spool, FlakyBus(config), config)
    one._end_turn(time.monotonic() - 3_600.0)
    assert slept == [0.01]
