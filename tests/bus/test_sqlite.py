from __future__ import annotations

import sqlite3
import stat
import sys
import time
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from tailrace.bus import Bus, Partition
from tailrace.config import Config, TopicSettings
from tailrace.errors import BusError, ClosedError
from tailrace.registry import open_bus
from tests.conformance.bus import BusConformance
from tests.conformance.bus_case import Features, after, opened, read, read_to_end, records, values

TOPIC = "t.events.a"


class TestSQLiteBus(BusConformance):
    features = Features(default_partitions=1, splits_partitions=False, survives_restart=True)

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'deep' / 'bus.db'}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bus.db"


def open_at(path: Path, **topics: float) -> Bus:
    return open_bus(Config(bus=f"sqlite:///{path}", topics=TopicSettings(**topics)))


def count_of_chunks(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM chunks").fetchone()
    return count


def age_records(path: Path, hours: float) -> None:
    """Make all records that old."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE chunks SET time = time - ?", (hours * 3600,))
        connection.execute("UPDATE partitions SET latest = latest - ?", (hours * 3600,))


@pytest.mark.anyio
async def test_retention_removes_old_records_and_uses_no_offset_again(path: Path):
    async with opened(open_at(path, retention_hours=1)) as bus:
        await bus.publish(records(TOPIC, 10))
    age_records(path, hours=2)
    async with opened(open_at(path, retention_hours=1)) as bus:
        await bus.publish(records("t.other", 1))
        assert [(info.name, info.records) for info in await bus.topics()] == [(TOPIC, 0), ("t.other", 1)]
        async with bus.subscribe(TOPIC) as subscription:
            assert await read_to_end(subscription) == []
            await bus.publish(records(TOPIC, 2, first=10))
            assert [record.offset for record in await read_to_end(subscription)] == [10, 11]
        assert await bus.lag(TOPIC, group="g") == {Partition(TOPIC, 0): 2}


@pytest.mark.anyio
async def test_retention_keeps_what_is_young_enough(path: Path):
    async with opened(open_at(path, retention_hours=3)) as bus:
        await bus.publish(records(TOPIC, 10))
    age_records(path, hours=2)
    async with opened(open_at(path, retention_hours=3)) as bus:
        await bus.publish(records(TOPIC, 1, first=10))
        async with bus.subscribe(TOPIC) as subscription:
            assert values(await read_to_end(subscription)) == list(range(11))
    async with opened(open_at(path, retention_hours=1)) as bus:
        await bus.publish(records(TOPIC, 1, first=11))
        async with bus.subscribe(TOPIC) as subscription:
            assert values(await read_to_end(subscription)) == [10, 11]


@pytest.mark.anyio
async def test_retention_removes_a_bounded_number_with_each_publish(path: Path):
    async with opened(open_at(path)) as bus:
        for number in range(150):
            await bus.publish(records(TOPIC, 2, first=2 * number))
    age_records(path, hours=200)
    left, held = [], []
    async with opened(open_at(path)) as bus:
        for _ in range(4):
            await bus.publish(records("t.other", 1))
            left.append(count_of_chunks(path))
            held.append((await bus.topics(TOPIC))[0].records)
    assert left == [87, 24, 3, 4]
    assert held == [172, 44, 0, 0]


@pytest.mark.anyio
async def test_times_never_fall_within_a_partition(path: Path, monkeypatch: pytest.MonkeyPatch):
    now = time.time()
    async with opened(open_at(path)) as bus:
        for clock in (now, now - 60, now + 60):
            monkeypatch.setattr(time, "time", lambda clock=clock: clock)
            await bus.publish(records(TOPIC, 1))
        monkeypatch.undo()
        async with bus.subscribe(TOPIC) as subscription:
            assert [record.timestamp for record in await read_to_end(subscription)] == [now, now, now + 60]
        async with bus.subscribe(TOPIC, start=now + 1) as subscription:
            assert [record.offset for record in await read_to_end(subscription)] == [2]


@pytest.mark.anyio
async def test_a_killed_member_is_replaced_at_once(path: Path):
    program = (
        "import anyio\n"
        "from tailrace.config import Config\n"
        "from tailrace.registry import open_bus\n"
        "async def main():\n"
        f"    async with open_bus(Config(bus='sqlite:///{path}')).subscribe('{TOPIC}', group='g') as subscription:\n"
        "        batch = await subscription.receive()\n"
        "        print(len(batch.records), flush=True)\n"
        "        await anyio.sleep_forever()\n"
        "anyio.run(main)\n"
    )
    async with opened(open_at(path)) as bus:
        await bus.publish(records(TOPIC, 3))
        async with bus.subscribe(TOPIC, group="g") as second:
            async with await anyio.open_process([sys.executable, "-c", program]) as first:
                assert first.stdout is not None
                assert (await first.stdout.receive()).strip() == b"3"
                assert not (await second.receive(wait=0)).records
                first.kill()
            with anyio.fail_after(1):
                assert values(await read(second, 3)) == [0, 1, 2]


@pytest.mark.anyio
async def test_a_busy_topic_does_not_keep_the_others_waiting(path: Path):
    async with opened(open_at(path)) as bus:
        await bus.publish(records("t.busy", 100))
        await bus.publish(records("t.calm", 1))
        async with bus.subscribe("t.*") as subscription:
            batch = await subscription.receive(max_records=10)
        assert len(batch.records) == 6
        assert {record.topic for record in batch.records} == {"t.busy", "t.calm"}


@pytest.mark.anyio
async def test_a_cancelled_receive_loses_nothing(path: Path):
    async with opened(open_at(path)) as bus:
        await bus.publish(records(TOPIC, 50))
        async with bus.subscribe(TOPIC) as subscription:
            received = []
            for _ in range(50):
                with anyio.move_on_after(0):
                    received += (await subscription.receive(max_records=10)).records
            received += await read_to_end(subscription)
        assert values(received) == list(range(50))


@pytest.mark.anyio
async def test_a_file_that_is_no_database_is_refused_for_good(path: Path):
    await anyio.Path(path).write_bytes(b"this is a text, and long enough to be read as a database's header" * 20)
    async with opened(open_at(path)) as bus:
        with pytest.raises(BusError, match=str(path)) as raised:
            await bus.publish(records(TOPIC, 1))
    assert not raised.value.retryable


@pytest.mark.anyio
async def test_a_locked_file_may_be_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tailrace.sqlite._BUSY_SECONDS", 0.05)
    async with opened(open_at(path)) as bus:
        await bus.publish(records(TOPIC, 1))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(BusError, match="locked") as raised:
                await bus.publish(records(TOPIC, 1, first=1))
            other.execute("ROLLBACK")
        assert raised.value.retryable
        await bus.publish(records(TOPIC, 1, first=1))
        async with bus.subscribe(TOPIC) as subscription:
            assert values(await read_to_end(subscription)) == [0, 1]


@pytest.mark.anyio
async def test_a_directory_that_cannot_be_made_may_be_tried_again(tmp_path: Path):
    (tmp_path / "file").touch()
    async with opened(open_at(tmp_path / "file" / "bus.db")) as bus:
        with pytest.raises(BusError) as raised:
            await bus.publish(records(TOPIC, 1))
        assert raised.value.retryable
        async with bus.subscribe(TOPIC, group="g") as subscription:
            with pytest.raises(BusError):
                await subscription.receive(wait=0)


@pytest.mark.anyio
async def test_only_the_owner_can_read_the_files(path: Path):
    async with opened(open_at(path)) as bus:
        await bus.publish(records(TOPIC, 1))
        async with bus.subscribe(TOPIC, group="a/strange group") as subscription:
            await subscription.commit(after(await read(subscription, 1)))
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert any(name.endswith(".lock") for name in modes)
    assert set(modes.values()) == {0o600}


@pytest.mark.anyio
async def test_a_commit_on_a_closed_bus_is_refused(path: Path):
    bus = open_at(path)
    await bus.publish(records(TOPIC, 1))
    async with bus.subscribe(TOPIC, group="g") as subscription:
        received = await read(subscription, 1)
        await bus.aclose()
        with pytest.raises(ClosedError):
            await subscription.commit(after(received))
