import msgspec
import pytest

from tailrace.config import SampleSettings
from tailrace.event import decode, types
from tailrace.event.ids import new_run_id, run_started_at, time_text
from tailrace_consumers.dead_letters import DeadLetter
from tailrace_consumers.sample import SampleStage
from tailrace_consumers.sample.memory import Decision, Decisions
from tailrace_consumers.sample.policies import is_error, share
from tests.consumers.making import HOME, SAMPLED, TOPICS, end, event, failure, log_of, received, start

KEPT = next(f"{n:x}" for n in range(1000) if share(f"{n:x}") < 0.5)
LEFT = next(f"{n:x}" for n in range(1000) if share(f"{n:x}") >= 0.5)
TAIL = {"rate": 0.5, "keep_errors": True, "grace": 2.0, "decision_wait": 600.0}


def stage(**settings):
    return SampleStage(TOPICS, SampleSettings(**settings))


def fed(stage, *events, first=0, now=0.0, **where):
    return list(stage.feed(log_of(*events, first=first, **where), now))


def types_of(records):
    return [decode(record.value).type for record in records]


def sampling_of(records):
    told = [decode(record.value) for record in records if decode(record.value).type == types.RUN_SAMPLED]
    return [(each.id, msgspec.json.decode(each.data, type=types.Sampled)) for each in told]


def test_rate_one_passes_every_record_on_byte_for_byte_with_its_headers():
    record = received(start("r"), 7)
    (out,) = stage(rate=1.0, keep_errors=True).feed([record], 0.0)
    assert (out.topic, out.key, out.value, out.headers) == (SAMPLED, record.key, record.value, record.headers)


def test_the_rate_alone_decides_at_the_first_event_and_holds_nothing():
    sampler = stage(rate=0.5)
    out = fed(sampler, start(KEPT), start(LEFT), event(KEPT, 1), failure(LEFT, 1))
    assert types_of(out) == [types.RUN_SAMPLED, types.RUN_START, types.LOG]
    assert sampling_of(out) == [("sampler-0", types.Sampled(rate=0.5, reason="rate", weight=2.0))]
    assert sampler.held() == {}
    assert sampler.counts()["kept_by_rate"] == sampler.counts()["dropped"] == 1


def test_about_the_rate_of_all_runs_is_kept():
    kept = sum(share(new_run_id()) < 0.1 for _ in range(20_000))
    assert 1800 < kept < 2200


def test_the_share_of_a_run_is_the_same_on_every_machine():
    assert share("0190a1b2c3d47000800000000000abcd") == pytest.approx(0.223019, abs=1e-6)


def test_an_undecided_run_holds_its_first_offset_and_is_kept_whole_by_its_error():
    sampler = stage(**TAIL)
    assert fed(sampler, start(LEFT), event(LEFT, 1), first=5) == []
    assert sampler.held() == {HOME: 5}
    out = fed(sampler, failure(LEFT, 2), event(LEFT, 3), first=7)
    assert types_of(out) == [types.RUN_SAMPLED, types.RUN_START, types.LOG, types.ERROR, types.LOG]
    assert sampling_of(out) == [("sampler-1", types.Sampled(rate=1.0, reason="error", weight=1.0))]


def test_a_run_kept_by_an_error_holds_its_first_offset_until_its_end_and_grace():
    sampler = stage(**TAIL)
    fed(sampler, start(LEFT), failure(LEFT, 1), first=5)
    fed(sampler, end(LEFT, 2), first=7, now=10.0)
    sampler.tick(11.9)
    assert sampler.held() == {HOME: 5}
    sampler.tick(12.2)
    assert sampler.held() == {}
    assert types_of(fed(sampler, event(LEFT, 3), first=8, now=13.0)) == [types.LOG]


def test_a_run_without_an_error_is_dropped_after_its_end_and_grace():
    sampler = stage(**TAIL)
    fed(sampler, start(LEFT), end(LEFT, 1), now=10.0)
    sampler.tick(12.0)
    assert sampler.held() == {}
    assert sampler.counts() == {"dropped": 1, "undecided": 0, "held_bytes": 0}
    assert fed(sampler, event(LEFT, 2), first=2, now=13.0) == []
    assert sampler.held() == {}


def test_an_error_within_the_grace_still_keeps_the_run():
    sampler = stage(**TAIL)
    fed(sampler, start(LEFT), end(LEFT, 1), now=10.0)
    sampler.tick(11.0)
    assert len(fed(sampler, failure(LEFT, 2), first=2, now=11.5)) == 4


def test_an_error_of_a_dropped_run_keeps_what_comes_from_it_on():
    sampler = stage(**TAIL)
    fed(sampler, start(LEFT), end(LEFT, 1))
    sampler.tick(5.0)
    assert types_of(fed(sampler, failure(LEFT, 2), first=2, now=6.0)) == [types.RUN_SAMPLED, types.ERROR]


def test_silence_drops_an_undecided_run_after_the_decision_wait():
    sampler = stage(**TAIL)
    fed(sampler, start(LEFT))
    sampler.tick(599.0)
    assert sampler.held() == {HOME: 0}
    sampler.tick(600.0)
    assert sampler.held() == {}


def test_a_backlog_that_is_read_late_is_not_taken_for_silence():
    sampler = stage(**TAIL)
    fed(sampler, start(LEFT), timestamp=0.0, now=5000.0)
    sampler.tick(5001.0)
    assert sampler.held() == {HOME: 0}


def test_once_all_is_read_silence_counts_by_the_times_of_the_bus():
    sampler = stage(**TAIL)
    fed(sampler, start(LEFT), end(LEFT, 1), timestamp=100.0, now=5000.0)
    sampler.finish(5000.0, caught_up=False)
    assert sampler.held() == {HOME: 0}
    sampler.finish(101.0, caught_up=True)
    assert sampler.held() == {HOME: 0}
    sampler.finish(5000.0, caught_up=True)
    assert sampler.held() == {}


def test_weights_stay_true_when_an_error_comes_in_a_run_kept_by_its_id():
    sampler = stage(**TAIL)
    out = fed(sampler, start(KEPT), failure(KEPT, 1), failure(KEPT, 2))
    assert [(id_, told.weight) for id_, told in sampling_of(out)] == [("sampler-0", 2.0), ("sampler-1", 1.0)]
    assert sampler.held() == {}


def test_the_decision_is_told_in_the_same_bytes_whichever_event_comes_first():
    run = next(run for run in iter(new_run_id, "") if share(run) < 0.5)
    first, second = (fed(stage(rate=0.5), each)[0] for each in (start(run), event(run, 9)))
    assert first == second
    assert decode(first.value).ts == time_text(run_started_at(run).timestamp())


def test_beyond_its_memory_the_runs_that_wait_longest_are_decided_early():
    sampler = SampleStage(TOPICS, SampleSettings(rate=0.0, keep_errors=True), max_held_bytes=2000)
    fed(sampler, *(start(f"r{n}") for n in range(20)))
    counts = sampler.counts()
    assert counts["held_bytes"] <= 2000
    assert counts["dropped"] + counts["undecided"] == 20
    assert sampler.held() == {HOME: counts["dropped"]}


def test_revoked_partitions_take_exactly_their_runs_along():
    sampler = stage(**TAIL)
    fed(sampler, start(LEFT), first=3, partition=0)
    fed(sampler, start(LEFT), failure(LEFT, 1), first=4, partition=1)
    sampler.forget([HOME])
    assert {partition.number: offset for partition, offset in sampler.held().items()} == {1: 4}
    assert sampler.counts()["held_bytes"] == 0


def test_what_is_not_an_event_is_a_dead_letter_and_the_rest_goes_on():
    out = list(stage(rate=1.0).feed([received(b"\xff", 0), received(start("r"), 1)], 0.0))
    assert isinstance(out[0], DeadLetter)
    assert out[0].offset == 0
    assert types_of(out[1:]) == [types.RUN_START]


def test_old_decisions_are_forgotten_least_recently_used_first():
    decisions = Decisions(max_runs=2)
    for run in ("a", "b", "a", "c"):
        decisions.put((HOME, run), Decision.DROPPED)
    assert [decisions.get((HOME, run)) for run in "abc"] == [Decision.DROPPED, None, Decision.DROPPED]


@pytest.mark.parametrize(
    ("type_", "data", "expected"),
    [
        (types.ERROR, {"error_msg": "x"}, True),
        (types.LOG, {"level": "ERROR", "message": "x"}, True),
        (types.LOG, {"level": "CRITICAL", "message": "x"}, True),
        (types.LOG, {"level": "WARNING", "message": "error"}, False),
        (types.ACTION, {"action_name": "a", "status": "failed"}, True),
        (types.ACTION, {"action_name": "a", "error": {"type": "E", "message": "m"}}, True),
        (types.ACTION, {"action_name": "a", "status": "success", "error": None}, False),
        (types.ACTION_END, {"status": "error"}, True),
        (types.INTERACTION_END, {"status": 500}, False),
        (types.ITERATION_END, {"status": "Failed"}, True),
        (types.RUN_END, {"final_status": "completed"}, False),
        (types.RUN_END, {"final_status": "ok"}, False),
        (types.RUN_END, {"final_status": "timeout"}, True),
        (types.RUN_END, {"final_status": "completed", "error": {"type": "E", "message": "m"}}, True),
        (types.RUN_START, {"fields": {"error": 1}}, False),
        (types.PRODUCER_LOST, {"producer": "p", "reason": "died"}, True),
        ("some.future.type", {"status": "failed"}, False),
    ],
)
def test_failures_are_recognised(type_, data, expected):
    assert is_error(event("r", 1, type_, **data)) is expected


def test_a_number_that_no_float_holds_is_not_a_failure():
    hostile = msgspec.structs.replace(event("r", 1, types.ACTION), data=msgspec.Raw(b'{"status": 1e999}'))
    assert is_error(hostile) is False
