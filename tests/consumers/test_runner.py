import anyio
import pytest

from tailrace.bus import Batch, Record
from tailrace.bus.bundle import Bundle
from tailrace.consumer import Progress
from tailrace.errors import BusError, StoreError, TailraceError
from tailrace.store import Rejected
from tailrace_consumers.dead_letters import DeadLetter, DeadLetters, Quota
from tailrace_consumers.retry import Retry
from tailrace_consumers.runner import Runner
from tailrace_consumers.sinks import BusSink, StoreSink
from tailrace_consumers.stage import Merge
from tests.consumers.making import EVENTS, TOPICS, event, received, start
from tests.consumers.world import World

pytestmark = pytest.mark.anyio


class Echo:
    """Passes records on to the topic `out`; fails on those whose value is in `poison`."""

    def __init__(self, poison=()):
        self.poison = poison
        self.fed = []
        self.pending = []
        self.forgotten = []

    def feed(self, records, now):
        self.fed.append(len(records))
        for record in records:
            if record.value in self.poison:
                raise ZeroDivisionError(record.offset)
            yield Record("out", record.key, record.value)

    def tick(self, now):
        return ()

    def finish(self, now, *, caught_up):
        yield Record("out", b"", b"finished")

    def held(self):
        return {}

    def forget(self, partitions):
        self.forgotten += partitions

    def counts(self):
        return {}


class Keeper(Echo):
    """Keeps all records until it is told to finish."""

    def feed(self, records, now):
        self.pending += records
        return ()

    def finish(self, now, *, caught_up):
        kept, self.pending = self.pending, []
        return [Record("out", record.key, record.value) for record in kept]

    def held(self):
        return {record.source: self.pending[0].offset for record in self.pending}


class Outage:
    """Makes a method of the world fail a number of times."""

    def __init__(self, world, name, error, times):
        self.call = getattr(world, name)
        self.error = error
        self.left = times
        setattr(world, name, self)

    async def __call__(self, *args, **kwargs):
        if self.left:
            self.left -= 1
            raise self.error
        return await self.call(*args, **kwargs)


class Bench:
    """A runner on a world, with a sleep that only notes how long it was."""

    def __init__(self, stage, *, world=None, sink=None, sleep=None, **settings):
        self.world = world or World(partitions=1)
        self.slept = []
        self.reports = []
        retry = Retry(Progress("echo"), self.reports.append, sleep or self.sleep)
        self.runner = Runner(
            stage,
            sink or BusSink(self.world),
            DeadLetters(self.world, TOPICS.dead, "echo"),
            retry,
            backlog=self.backlog,
            clock=self.world.clock,
            max_records=50,
            patience=0.0,
            **settings,
        )

    async def sleep(self, seconds):
        self.slept.append(seconds)

    async def backlog(self):
        return self.world.lag(EVENTS, "g")

    async def run(self, until="caught_up", prepare=lambda subscription: None):
        async with self.world.subscribe(EVENTS, group="g") as subscription:
            prepare(subscription)

            async def connect():
                return subscription

            await self.runner.run(connect, until=until)

    def written(self, topic="out"):
        return [record.value for record in self.world.records(topic)]


def filled(values):
    world = World(partitions=1)
    world.append([Record(EVENTS, b"k", value) for value in values])
    return world


def still(values):
    """A filled world in which it is never time to commit."""
    world = filled(values)
    world.clock = lambda: 1_000.0
    return world


async def test_until_caught_up_it_writes_finishes_and_commits_everything():
    bench = Bench(Echo(), world=filled([b"1", b"2", b"3"]))
    await bench.run()
    assert bench.written() == [b"1", b"2", b"3", b"finished"]
    assert await bench.runner.measure_lag() == 0
    assert (bench.runner.progress.received, bench.runner.progress.written) == (3, 4)


async def test_exactly_the_poison_records_become_dead_letters_and_the_rest_goes_on():
    values = [str(n).encode() for n in range(120)]
    bench = Bench(Echo(poison={b"7", b"8", b"77"}), world=filled(values))
    await bench.run()
    assert set(bench.written()) == {*values, b"finished"} - {b"7", b"8", b"77"}
    dead = bench.world.records(TOPICS.dead)
    assert [record.value for record in dead] == [b"7", b"8", b"77"]
    assert dict(dead[2].headers) == {
        "tr-topic": EVENTS.encode(),
        "tr-partition": b"0",
        "tr-offset": b"77",
        "tr-stage": b"echo",
        "tr-error": b"ZeroDivisionError(77)",
    }
    assert bench.runner.progress.dead == 3
    assert await bench.runner.measure_lag() == 0


async def test_one_poison_record_is_found_by_halves():
    bench = Bench(Echo(poison={b"7"}), world=filled([str(n).encode() for n in range(50)]))
    await bench.run()
    assert bench.runner.progress.dead == 1
    assert len(bench.runner._stage.fed) <= 2 * 6 + 1


class Once(Echo):
    """Says that a key came, but only at its first record."""

    def feed(self, records, now):
        for record in records:
            if record.value in self.poison:
                raise ZeroDivisionError
            if record.key not in self.fed:
                self.fed.append(record.key)
                yield Record("out", record.key, b"first")


async def test_what_a_stage_gave_out_before_it_failed_is_not_lost():
    bench = Bench(Once(poison={b"x"}), world=filled([b"good", b"x"]))
    await bench.run()
    assert bench.written() == [b"first", b"finished"]


async def test_too_many_dead_letters_in_a_minute_stop_it_and_a_restart_goes_on_behind_them():
    bench = Bench(Echo(poison={b"x"}), world=filled([b"x", b"x", b"good"] * 50), max_dead_per_minute=60)
    with pytest.raises(TailraceError, match="67 dead letters within a minute"):
        await bench.run()
    assert await bench.runner.measure_lag() == 50
    again = Bench(Echo(poison={b"x"}), world=bench.world, max_dead_per_minute=60)
    await again.run()
    assert bench.written(TOPICS.dead) == [b"x"] * 100
    assert set(bench.written()) == {b"good", b"finished"}


async def test_too_many_dead_letters_of_the_very_last_batch_are_told_as_well():
    world = still([b"x"] * 40)
    publish = world.publish

    async def slowly(records):
        for _ in range(100):  # turns of the loop, more than a write gets before the next batch
            await anyio.lowlevel.checkpoint()
        await publish(records)

    world.publish = slowly
    bench = Bench(Echo(poison={b"x"}), world=world, max_dead_per_minute=30)
    with pytest.raises(TailraceError, match="40 dead letters within a minute"):
        await bench.run()
    assert await bench.runner.measure_lag() == 0


@pytest.mark.parametrize("limit", [0, 101])
async def test_fewer_dead_letters_than_the_limit_never_stop_it_nor_do_any_without_one(limit):
    bench = Bench(Echo(poison={b"x"}), world=filled([b"x"] * 100), max_dead_per_minute=limit)
    await bench.run()
    assert bench.runner.progress.dead == 100


def test_dead_letters_count_for_a_minute():
    quota = Quota(3)
    quota.add(2, now=100.0)
    assert quota.used_up(now=159.9) == 0
    quota.add(1, now=159.9)
    assert quota.used_up(now=159.9) == 3
    assert quota.used_up(now=160.0) == 0


@pytest.mark.parametrize("call", ["publish", "receive", "commit"])
async def test_a_bus_that_is_away_is_waited_for_ever_more_slowly_and_nothing_is_lost(call):
    bench = Bench(Echo(), world=filled([b"1"]))
    error = BusError("broker down", retryable=True)

    def prepare(subscription):
        Outage(bench.world if call == "publish" else subscription, call, error, times=9)

    await bench.run(prepare=prepare)
    assert bench.written() == [b"1", b"finished"]
    assert len(bench.slept) == bench.runner.progress.retries == 9
    assert all(
        0.5 * step <= pause <= step for pause, step in zip(bench.slept[:7], [0.1 * 2**n for n in range(7)], strict=True)
    )
    assert max(bench.slept) <= 10.0
    notes = [report.note for report in bench.reports]
    assert len(notes) == 2
    assert "broker down" in notes[0]
    assert notes[1] == ""


async def test_nothing_is_committed_while_a_write_waits():
    bench = Bench(Echo(), world=filled([b"1"]))

    async def look(_):
        assert bench.world.committed["g"] == {}

    bench.runner._retry._sleep = look
    Outage(bench.world, "publish", BusError("down", retryable=True), times=3)
    await bench.run()
    assert bench.runner.progress.retries == 3
    assert await bench.runner.measure_lag() == 0


class Gate:
    """A sink that writes to the world only when it is let, and fails where it is told to."""

    def __init__(self, world):
        self.world = world
        self.begun = anyio.Event()
        self.open = anyio.Event()
        self.error = None

    async def write(self, items):
        self.begun.set()
        await self.open.wait()
        if self.error:
            raise self.error
        return await BusSink(self.world).write(items)


class Told(Echo):
    """Tells when it has been fed that often."""

    def __init__(self, often):
        super().__init__()
        self.often = often
        self.reached = anyio.Event()

    def feed(self, records, now):
        yield from super().feed(records, now)
        if len(self.fed) == self.often:
            self.reached.set()


async def test_the_next_batch_is_fed_while_the_last_one_is_written_and_no_further_one_nor_is_any_committed():
    world = still([b"%d" % number for number in range(150)])
    gate = Gate(world)
    stage = Told(2)
    bench = Bench(stage, world=world, sink=gate)
    async with anyio.create_task_group() as group:
        group.start_soon(bench.run)
        with anyio.fail_after(10):
            await stage.reached.wait()
            await anyio.wait_all_tasks_blocked()
        assert stage.fed == [50, 50]
        assert bench.written() == []
        assert world.committed["g"] == {}
        gate.open.set()
    assert bench.written() == [*[b"%d" % number for number in range(150)], b"finished"]
    assert await bench.runner.measure_lag() == 0


async def test_a_write_that_fails_for_good_while_the_next_batch_is_fed_ends_it_uncommitted():
    world = still([b"%d" % number for number in range(100)])
    gate = Gate(world)
    gate.error = BusError("not authorised", retryable=False)
    stage = Told(2)
    bench = Bench(stage, world=world, sink=gate)

    async def fail():
        await stage.reached.wait()
        gate.open.set()

    async with anyio.create_task_group() as group:
        group.start_soon(fail)
        with anyio.fail_after(10), pytest.raises(BusError, match="not authorised"):
            await bench.run()
    assert await bench.runner.measure_lag() == 100


async def test_a_failure_to_read_does_not_wait_for_a_write_under_way():
    world = still([b"%d" % number for number in range(100)])
    gate = Gate(world)
    bench = Bench(Echo(), world=world, sink=gate)

    def prepare(subscription):
        receive = subscription.receive

        async def once(**how):
            subscription.receive = Outage(subscription, "receive", BusError("not authorised", retryable=False), times=1)
            return await receive(**how)

        subscription.receive = once

    with anyio.fail_after(10), pytest.raises(BusError, match="not authorised"):
        await bench.run(prepare=prepare)
    assert gate.begun.is_set()
    assert bench.written() == []
    assert await bench.runner.measure_lag() == 100


async def test_a_write_that_fails_while_another_member_takes_over_is_told():
    world = still([b"%d" % number for number in range(100)])
    gate = Gate(world)
    gate.error = BusError("not authorised", retryable=False)
    bench = Bench(Echo(), world=world, sink=gate)

    def prepare(subscription):
        receive = subscription.receive

        async def once(**how):
            subscription.receive = receive_nothing
            return await receive(**how)

        async def receive_nothing(**_):
            subscription.active = False
            gate.open.set()
            return Batch()

        subscription.receive = once

    with anyio.fail_after(10), pytest.raises(BusError, match="not authorised"):
        await bench.run(prepare=prepare)
    assert await bench.runner.measure_lag() == 100


async def test_while_a_write_waits_that_is_what_is_told_though_reading_gets_on():
    world = still([b"%d" % number for number in range(100)])
    stage = Told(2)
    told = []

    async def sleep(_):
        with anyio.fail_after(10):
            await stage.reached.wait()
        told.append(bench.runner.progress.note)

    bench = Bench(stage, world=world, sleep=sleep)
    Outage(world, "publish", BusError("down", retryable=True), times=1)
    await bench.run()
    assert told == ["writing: down"]
    assert bench.runner.progress.note == ""


async def test_an_error_that_no_retry_can_cure_ends_it_uncommitted():
    bench = Bench(Echo(), world=filled([b"1"]))
    with pytest.raises(BusError, match="not authorised"):
        await bench.run(
            prepare=lambda subscription: Outage(
                subscription, "receive", BusError("not authorised", retryable=False), times=1
            )
        )
    assert await bench.runner.measure_lag() == 1


async def test_revoked_partitions_are_forgotten_before_anything_else():
    stage = Echo()
    bench = Bench(stage, world=filled([b"1", b"2"]))
    bench.world.faults = {4: "revoke"}
    bench.runner._max_records = 1
    await bench.run()
    assert [partition.topic for partition in stage.forgotten] == [EVENTS]
    assert bench.runner.progress.rebalances == 1
    assert set(bench.written()) == {b"1", b"2", b"finished"}


async def test_a_stop_writes_and_commits_what_is_kept():
    bench = Bench(Keeper(), world=filled([b"1", b"2"]))
    async with anyio.create_task_group() as group:
        group.start_soon(bench.run, "cancelled")
        with anyio.fail_after(5):
            while bench.runner.progress.received < 2:
                await anyio.lowlevel.checkpoint()
        assert bench.world.committed["g"] == {} or set(bench.world.committed["g"].values()) == {0}
        bench.runner.stop()
    assert bench.written() == [b"1", b"2"]
    assert await bench.runner.measure_lag() == 0


async def test_records_may_gather_after_a_small_batch_and_a_stop_ends_that_wait_too(monkeypatch):
    monkeypatch.setattr("tailrace_consumers.runner.rest_after", lambda batch, took: 3_600.0 if batch.records else 0.0)
    bench = Bench(Echo(), world=filled([b"1"]))
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(bench.run, "cancelled")
            await anyio.wait_all_tasks_blocked()
            bench.world.append([Record(EVENTS, b"k", b"2")])
            await anyio.wait_all_tasks_blocked()
            assert bench.written() == [b"1"]
            bench.runner.stop()
    assert bench.written() == [b"1", b"finished"]


async def test_until_caught_up_nothing_is_waited_for(monkeypatch):
    monkeypatch.setattr("tailrace_consumers.runner.rest_after", lambda batch, took: 3_600.0)
    bench = Bench(Echo(), world=filled([b"%d" % number for number in range(120)]))
    with anyio.fail_after(20):
        await bench.run()
    assert len(bench.written()) == 121


async def test_a_stop_ends_the_wait_for_a_bus_that_is_away():
    bench = Bench(Echo(), sleep=anyio.sleep)

    async def connect():
        bench.runner.stop()
        raise BusError("away", retryable=True)

    with anyio.fail_after(2):
        await bench.runner.run(connect)
    assert bench.written() == []


async def test_what_is_given_up_is_not_told_to_wait_any_more():
    async def away():
        raise BusError("down", retryable=True)

    retry = Retry(Progress("echo"), sleep=lambda _: anyio.sleep_forever())
    with anyio.move_on_after(0.01):
        await retry("reading", away)
    assert (retry.progress.retries, retry.progress.note) == (1, "")


async def test_a_stop_before_the_start_reads_nothing():
    bench = Bench(Echo(), world=filled([b"1"]))
    bench.runner.stop()
    await bench.run("cancelled")
    assert bench.written() == []


async def test_a_drain_that_cannot_write_ends_in_bounded_time_and_commits_nothing(monkeypatch):
    monkeypatch.setattr("tailrace_consumers.runner._DRAIN_SECONDS", 0.05)
    bench = Bench(Keeper(), world=filled([b"1"]), sleep=anyio.sleep)
    Outage(bench.world, "publish", BusError("away", retryable=True), times=-1)
    async with anyio.create_task_group() as group:
        group.start_soon(bench.run, "cancelled")
        with anyio.fail_after(5):
            while bench.runner.progress.received < 1:
                await anyio.lowlevel.checkpoint()
        bench.runner.stop()
    assert await bench.runner.measure_lag() == 1


async def test_a_stage_that_another_member_runs_is_left_to_it():
    bench = Bench(Echo(), world=filled([b"1"]))

    def prepare(subscription):
        subscription.active = False
        subscription.positions = {r.source: 1 for r in bench.world.records(EVENTS)}

    with anyio.fail_after(5):
        await bench.run(prepare=prepare)
    assert bench.written() == []
    assert bench.runner.progress.lag == 1


class Bundling(Echo):
    """Passes each batch on as one bundle."""

    def feed(self, records, now):
        return [Bundle("out", b"k", (), [record.value for record in records])] if records else []


async def test_of_a_bundle_each_record_counts_as_written_but_the_one_that_the_bus_refuses():
    world = filled([b"1", b"large", b"3"])
    publish = world.publish

    async def refuse_large(records):
        if any(record.value == b"large" and record.topic == "out" for record in records):
            raise BusError("too large", retryable=False)
        await publish(records)

    world.publish = refuse_large
    bench = Bench(Bundling(), world=world)
    await bench.run()
    assert bench.written() == [b"1", b"3", b"finished"]
    assert [record.value for record in world.records(TOPICS.dead)] == [b"large"]
    assert (bench.runner.progress.written, bench.runner.progress.dead) == (3, 1)


async def test_a_batch_that_the_bus_refuses_is_halved_to_the_record_it_refuses():
    world = World(partitions=1)
    publish = world.publish

    async def refuse_large(records):
        if any(len(record.value) > 3 for record in records):
            raise BusError("too large", retryable=False)
        await publish(records)

    world.publish = refuse_large
    values = [b"1", b"2", b"large", b"3", b"4"]
    refused = await BusSink(world).write([Record("out", b"k", value) for value in values])
    assert [(letter.value, letter.offset, letter.error) for letter in refused] == [(b"large", -1, "too large")]
    assert [record.value for record in world.records("out")] == [b"1", b"2", b"3", b"4"]


async def test_a_dead_letter_that_the_bus_refuses_is_left_without_its_value_but_with_its_size():
    world = World(partitions=1)
    publish = world.publish

    async def refuse_large(records):
        if any(len(record.value) > 3 for record in records):
            raise BusError("too large", retryable=False)
        await publish(records)

    world.publish = refuse_large
    large = received(b"large", 1, topic=EVENTS)
    small = received(b"s", 2, topic=EVENTS)
    letters = [DeadLetter.unreadable(each, "bad" * 1000) for each in (large, small)]
    await DeadLetters(world, TOPICS.dead, "echo").write(letters)
    dead = world.records(TOPICS.dead)
    assert [record.value for record in dead] == [b"", b"s"]
    assert dict(dead[0].headers)["tr-size"] == b"5"
    assert dict(dead[0].headers)["traceparent"] == b"00"
    assert len(dict(dead[0].headers)["tr-error"]) == 1000


class PickyStore:
    """Rejects the run `bad` one by one, and the run `worse` with the whole batch."""

    def __init__(self):
        self.merged = []

    async def merge(self, documents):
        if any(document.run_id == "worse" for document in documents):
            raise StoreError("cannot", retryable=False)
        self.merged += [document.run_id for document in documents if document.run_id != "bad"]
        return [Rejected(document, "mapping") for document in documents if document.run_id == "bad"]


async def test_documents_that_the_store_rejects_come_back_as_the_records_they_came_from():
    from tailrace.document import of

    store = PickyStore()
    merges = [
        Merge(of(start(run)), [received(event(run, 1), at, topic=TOPICS.documents)])
        for at, run in enumerate(["a", "bad", "worse", "b"])
    ]
    refused = await StoreSink(store).write(merges)
    assert sorted(store.merged) == ["a", "b"]
    assert [(letter.offset, letter.error) for letter in refused] == [(1, "mapping"), (2, "cannot")]
