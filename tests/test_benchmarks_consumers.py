"""The consumers' benchmark runs and counts right. No timing is judged here."""

import asyncio
from collections import Counter

import pytest

from benchmarks.consumers import job
from benchmarks.consumers.agent import BEFORE_CALLS, log_runs
from benchmarks.consumers.fill import fill, made
from benchmarks.consumers.latency import AT, Reader
from benchmarks.consumers.plan import QUICK, Order, Plan
from benchmarks.consumers.run import measurements
from benchmarks.consumers.targets import TARGETS
from benchmarks.consumers.worker import MEASURES
from benchmarks.targets import judge
from tailrace.event import decode, types
from tailrace.testing import capture_events


def test_the_job_is_what_it_says_50_events_of_about_700_bytes_a_run_and_so_many_runs_open_at_once():
    found = [decode(record.value) for record in job.events("t", 40, 10, job.steps, job.EVENTS_A_RUN)]
    assert set(Counter(event.run for event in found).values()) == {50}
    sizes = [len(record.value) for record in job.events("t", 40, 10, job.steps, job.EVENTS_A_RUN)]
    assert 650 < sum(sizes) / len(sizes) < 750
    open_now, most = set(), 0
    for event in found:
        open_now.add(event.run)
        most = max(most, len(open_now))
        if event.type == types.RUN_END:
            open_now.discard(event.run)
    assert (most, open_now) == (10, set())


def test_the_documents_to_index_are_about_15_kb_and_each_of_a_run_of_its_own():
    found = list(job.documents("t", 5))
    assert len({record.key for record in found}) == 5
    assert all(11_000 < len(record.value) < 18_000 for record in found)


def test_every_measurement_has_somebody_who_makes_it_and_every_target_is_measured():
    ours = {name for name in measurements(Plan()) if name[1] not in {"quix", "bytewax"}}
    assert ours == MEASURES.keys()
    figures = {"events": 10.0, "documents": 10.0, "wall_s": 1.0, "peak_mib": 1.0, "tailed_p99_s": 1.0}
    figures |= {"shown_p99_s": 1.0, "found_p99_s": 1.0}
    assert not [each for each in judge(dict.fromkeys(measurements(QUICK), figures), TARGETS) if each.value is None]


@pytest.mark.parametrize("mode", ["job", "sample", "chain"])
def test_a_measurement_takes_every_event_and_counts_what_came_of_it(kafka_url, tmp_path, mode):
    prefix = f"bench-{mode}"
    kind = "sampled" if mode == "job" else "events"
    topics = (f"{prefix}.{kind}.job", f"{prefix}.documents")
    address = kafka_url.removeprefix("kafka://")
    asyncio.run(fill(address, topics, made(topics[0], "events", 8, 4)))
    order = Order(
        mode=mode,
        peer="tailrace",
        kafka=address,
        opensearch="",
        directory=str(tmp_path),
        prefix=prefix,
        group=f"g-{tmp_path.name}",
        reads=topics[0],
        writes=topics[1],
        events=400,
        runs=8,
    )
    figures = asyncio.run(MEASURES[mode, "tailrace"](order))
    assert figures["events"] == 400
    assert figures["wall_s"] > 0 < figures["cpu_s"]
    if mode == "job":
        assert figures["documents"] == 8


def test_the_agent_logs_runs_whose_calls_can_be_told_apart_and_stand_behind_two_events():
    with capture_events() as captured:
        logged = asyncio.run(log_runs(400, 0.2, 4, 10))
    calls = {}
    for event in captured.events:
        for at in AT.findall(bytes(event.data)):
            calls[int(at)] = (event.run, event.n)
    assert len(calls) == sum(map(len, logged.values())) >= 40
    assert calls == {at: (run, BEFORE_CALLS + place) for run, times in logged.items() for place, at in enumerate(times)}


def test_a_call_is_found_when_its_run_first_counts_so_many_events_that_it_is_among_them():
    reader = Reader(store=None)
    reader.note("a", 1_000, 1)
    reader.note("a", 2_000, 4)
    reader.note("a", 2_500, 4)
    reader.note("a", 3_000, 3)
    reader.note("a", 4_000, 6)
    assert list(reader.found_after({"a": [100, 200, 300, 400]})) == [1_900, 1_800, 3_700, 3_600]
    assert (reader.found("a"), reader.found("b")) == (6, 0)
