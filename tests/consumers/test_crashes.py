"""Whatever crashes and rebalances a stage goes through, its output joins to what the events alone say."""

import asyncio
import itertools

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.config import Config
from tailrace.document import collect, join
from tailrace.document.restore import restore
from tailrace.document.summary import summarise
from tailrace.document.view import render, view
from tailrace.event import decode, types
from tailrace.sampling import SampleSettings
from tailrace.store.memory import open_store
from tailrace_consumers import aggregate, index, sample
from tailrace_consumers.sample.outcomes import share
from tests.consumers.making import EVENTS, SAMPLED, TOPICS, end, event, interleaved_runs, start
from tests.consumers.world import World, run_through

CONFIG = Config(prefix=TOPICS.prefix, sample=SampleSettings(rate=0.5, keep_errors=True))

faults = st.dictionaries(st.integers(1, 40), st.sampled_from(["before", "half", "after", "revoke"]), max_size=8)
sizes = st.integers(1, 6)
pauses = st.sampled_from([0.0, 10_000.0])
numbers = itertools.count()  # memory stores of one name are one store, and the id of an object comes again


def sampled(world):
    return [decode(record.value) for record in world.records(TOPICS.all_sampled)]


def rendered(events):
    return {run: render(document) for run, document in collect(events).items()}


def joined_documents(world):
    joined = {}
    for record in world.records(TOPICS.documents):
        document = restore(record.value)
        joined[document.run_id] = join(joined[document.run_id], document) if document.run_id in joined else document
    return joined


def sample_all(events, schedule, size, pause=0.0):
    """The world after sampling, crashes and all, and after the time in which every run is decided.

    A new process takes what comes after the pause. Where that is a long one, it comes too late for a decision.
    """
    world = World()
    world.faults = dict(schedule)

    async def scenario():
        half = len(events) // 2
        for part in (events[:half], events[half:]):
            world.append_events(EVENTS, part)
            world.time += pause
            await run_through(world, lambda: sample.plan(CONFIG), max_records=size)
        world.time += 10_000.0
        await run_through(world, lambda: sample.plan(CONFIG), max_records=size)

    asyncio.run(scenario())
    return world


def is_failure(event):
    ended_badly = event.type == types.RUN_END and msgspec.json.decode(event.data)["final_status"] != "completed"
    return event.type == types.ERROR or ended_badly


@settings(max_examples=100, deadline=None)
@given(interleaved_runs(), faults, sizes, pauses)
def test_the_sampler_keeps_the_same_runs_whole_through_any_crashes(events, schedule, size, pause):
    world = sample_all(events, schedule, size, pause)
    kept = {e.run for e in events if share(e.run) < CONFIG.sample.rate or is_failure(e)}
    passed_on = [e for e in sampled(world) if e.type != types.RUN_SAMPLED]
    assert rendered(passed_on) == rendered(e for e in events if e.run in kept)
    assert decisions(world) == decisions(sample_all(events, {}, 1000))
    assert world.lag(TOPICS.all_events, TOPICS.group("sample")) == 0
    assert not world.records(TOPICS.dead)


@settings(max_examples=100, deadline=None)
@given(interleaved_runs(), faults, sizes, pauses)
def test_every_other_run_leaves_a_stub_with_its_true_totals_through_any_crashes(events, schedule, size, pause):
    world = sample_all(events, schedule, size, pause)
    kept = {e.run for e in events if share(e.run) < CONFIG.sample.rate or is_failure(e)}
    stubs = {run: summarise(document) for run, document in joined_documents(world).items() if run not in kept}
    whole = {run: summarise(document) for run, document in collect(events).items() if run not in kept}
    assert stubs.keys() == whole.keys()
    for run, stub in stubs.items():
        assert (stub.stub, stub.weight) == (True, 0.0)
        assert stub.counts == whole[run].counts
        if whole[run].state == "complete":
            assert (stub.state, stub.final_status) == (whole[run].state, whole[run].final_status)


def decisions(world):
    """What the documents of kept runs finally say of sampling."""
    return {run: view(document)["sampling"]["reason"] for run, document in collect(sampled(world)).items()}


@settings(max_examples=100, deadline=None)
@given(interleaved_runs(), faults, sizes)
def test_the_aggregated_documents_join_to_the_events_through_any_crashes(events, schedule, size):
    world = World()
    world.faults = dict(schedule)
    world.append_events(SAMPLED, events)
    asyncio.run(run_through(world, lambda: aggregate.plan(CONFIG), max_records=size))
    assert joined_documents(world) == collect(events)
    assert world.lag(TOPICS.all_sampled, TOPICS.group("aggregate")) == 0
    assert not world.records(TOPICS.dead)


@settings(max_examples=100, deadline=None)
@given(interleaved_runs(), faults, sizes)
def test_the_store_holds_what_the_events_say_through_any_crashes_of_all_stages(events, schedule, size):
    world = World()
    world.append_events(EVENTS, events)
    store = open_store(Config(store=f"memory:crashes-{next(numbers)}"))
    everything = Config(prefix=TOPICS.prefix)

    async def scenario():
        for stage in (sample, aggregate, index):
            world.operation, world.faults = 0, dict(schedule)
            await run_through(world, lambda stage=stage: stage.plan(everything), store=store, max_records=size)
        expected = collect(events)
        assert {run: await store.get(run) for run in expected} == expected
        await store.aclose()

    asyncio.run(scenario())
    assert not world.records(TOPICS.dead)


def test_the_schedules_do_crash_the_stages():
    """Guards the tests above against schedules that never reach an operation."""
    world = World()
    world.faults = {2: "half", 5: "before", 9: "after", 12: "revoke"}
    world.append_events(SAMPLED, [e for run in ("a", "b") for e in _run(run)])
    asyncio.run(run_through(world, lambda: aggregate.plan(CONFIG), max_records=1))
    assert world.crashes == 3
    assert not world.faults


def _run(run):
    return [start(run), event(run, 1), event(run, 2), end(run, 3)]
