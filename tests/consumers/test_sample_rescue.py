"""Drops taken back, by late errors and by hand: on real Kafka and the embedded bus, as it runs and restarted."""

import math
import time
from contextlib import aclosing, asynccontextmanager

import anyio
import msgspec
import pytest

from tailrace.bus import Record
from tailrace.bus.topics import Topics
from tailrace.config import Config, TopicSettings
from tailrace.consumer import find_consumer
from tailrace.document import collect
from tailrace.document.view import render
from tailrace.event import encode, types
from tailrace.event.ids import new_run_id
from tailrace.registry import open_bus, open_store
from tailrace.sampling import SampleSettings
from tailrace.store import Query
from tailrace_consumers.sample.rescue import restore
from tests.consumers.making import end, event, failure, start

pytestmark = pytest.mark.anyio

RATE = 0.1
SAMPLING = SampleSettings(rate=RATE, keep_errors=True, grace=0.0)


def story(run):
    calls = [event(run, seq, types.ACTION, action_name="chat", tokens=seq * 10, cost=0.25) for seq in range(1, 4)]
    return [start(run), *calls, end(run, 4)]


async def publish(config, events):
    async with aclosing(open_bus(config)) as bus:
        topic = Topics(config.prefix).events("w")
        await bus.publish([Record(topic, each.run.encode(), encode(each)) for each in events])


async def stored(config):
    """Run id -> (summary, the document's JSON decoded)."""
    async with aclosing(open_store(config)) as store:
        page = await store.search(Query(limit=1000))
        documents = {each.run_id: await store.get(each.run_id) for each in page.runs}
        return {each.run_id: (each, msgspec.json.decode(render(documents[each.run_id]))) for each in page.runs}


def kept_whole(events):
    """What a pipeline that keeps everything stores of these runs, but for what it says of sampling."""
    documents = {run: msgspec.json.decode(render(document)) for run, document in collect(events).items()}
    return {run: without_sampling(document) for run, document in documents.items()}


def are_whole(found, runs, events):
    whole = kept_whole(events)
    return all(without_sampling(found[run][1]) == whole[run] for run in runs)


def without_sampling(document):
    return {name: value for name, value in document.items() if name != "sampling"}


@asynccontextmanager
async def consuming(config):
    async with anyio.create_task_group() as group:
        group.start_soon(find_consumer("all"), config)
        yield
        group.cancel_scope.cancel()


async def until(config, is_so):
    with anyio.fail_after(60):
        while not is_so(found := await stored(config)):
            await anyio.sleep(0.1)
    return found


@pytest.mark.kafka
async def test_dropped_runs_with_a_late_error_become_whole_and_all_totals_stay_true(kafka_url, prefix, tmp_path):
    config = Config(
        home=str(tmp_path), bus=kafka_url, prefix=prefix, sample=SAMPLING, topics=TopicSettings(partitions=2)
    )
    runs = [new_run_id() for _ in range(300)]
    events = [each for run in runs for each in story(run)]
    await publish(config, events)
    async with consuming(config):
        found = await until(config, lambda found: len(found) == 300)
        dropped = [run for run, (summary, _) in found.items() if summary.stub]
        assert abs(300 - len(dropped) - 300 * RATE) < 5 * math.sqrt(300 * RATE)
        while_it_runs, after_a_restart, by_hand = dropped[:8], dropped[8:16], dropped[16:20]
        late = [failure(run, 5) for run in while_it_runs]
        events += late
        await publish(config, late)
        await until(config, lambda found: are_whole(found, while_it_runs, events))
    late = [failure(run, 5) for run in after_a_restart]
    events += late
    await publish(config, late)
    async with aclosing(open_bus(config)) as bus:
        report = await restore(config, bus, [*by_hand, new_run_id()])
    assert report.restored == dict.fromkeys(by_hand, 5)
    assert (len(report.missing), report.incomplete) == (1, [])
    async with consuming(config):
        await until(config, lambda found: are_whole(found, dropped[:20], events))
    found = await stored(config)
    assert {found[run][1]["sampling"]["reason"] for run in (*while_it_runs, *after_a_restart)} == {"error"}
    assert {(found[run][1]["sampling"]["reason"], found[run][0].weight) for run in by_hand} == {("restored", 0.0)}
    check_totals([summary for summary, _ in found.values()], late_errors=16)


def check_totals(summaries, late_errors):
    assert len(summaries) == 300
    assert sum(summary.tokens["total"] for summary in summaries) == 300 * 60
    assert sum(summary.cost_usd for summary in summaries) == 300 * 0.75
    by_error = [summary for summary in summaries if summary.weight == 1.0]
    by_rate = [summary for summary in summaries if summary.weight > 1.0]
    assert len(by_error) == late_errors
    margin = 5 * math.sqrt(300 * RATE) / RATE
    assert abs(sum(summary.weight for summary in summaries) - 300) < margin
    assert abs(sum(summary.weight * summary.tokens["total"] for summary in summaries) - 300 * 60) < margin * 60
    assert {summary.weight for summary in by_rate} == {1 / RATE}


@pytest.fixture
def embedded(tmp_path):
    return Config(
        home=str(tmp_path / "home"), sample=SampleSettings(rate=0.0, keep_errors=True, grace=0.0, decision_wait=0.0)
    )


async def caught_up(config):
    for each in await find_consumer("all")(config, until="caught_up"):
        assert (each.dead, each.lag) == (0, 0)


async def test_a_late_error_brings_a_run_back_through_processes_that_only_come_by(embedded):
    run = new_run_id()
    await publish(embedded, story(run))
    await caught_up(embedded)
    assert (await stored(embedded))[run][0].stub
    await publish(embedded, [event(run, 5)])
    await caught_up(embedded)
    summary, _ = (await stored(embedded))[run]
    assert (summary.stub, summary.counts["events"]) == (True, 6)
    await publish(embedded, [failure(run, 6)])
    await caught_up(embedded)
    (found,) = (await stored(embedded)).values()
    assert without_sampling(found[1]) == kept_whole([*story(run), event(run, 5), failure(run, 6)])[run]


@pytest.mark.parametrize(
    "run", ["foreign-id", f"{int(time.time() * 1000) + 86_400_000:012x}7{'0' * 19}"], ids=["no time", "tomorrow"]
)
async def test_a_run_whose_id_tells_no_time_or_a_wrong_one_is_found_from_the_first_record(embedded, run):
    await publish(embedded, story(run))
    await caught_up(embedded)
    async with aclosing(open_bus(embedded)) as bus:
        report = await restore(embedded, bus, [run])
    assert report.restored == {run: 5}
    await publish(embedded, [failure(run, 5)])
    await caught_up(embedded)
    assert without_sampling((await stored(embedded))[run][1]) == kept_whole([*story(run), failure(run, 5)])[run]


async def test_a_run_without_its_beginning_is_restored_and_named(embedded):
    run = new_run_id()
    await publish(embedded, story(run)[1:])
    async with aclosing(open_bus(embedded)) as bus:
        report = await restore(embedded, bus, [run])
    assert (report.restored, report.incomplete, report.missing) == ({run: 4}, [run], [])
