"""The sample stage alone: records and times in, records and recalls out."""

import msgspec
import pytest

from tailrace.document.restore import restore
from tailrace.document.view import render
from tailrace.event import decode, stamp, types
from tailrace.event.ids import new_run_id, run_started_at, time_text
from tailrace.sampling import Condition, Policy, SampleSettings
from tailrace_consumers.dead_letters import DeadLetter
from tailrace_consumers.sample import SampleStage
from tailrace_consumers.sample.outcomes import share
from tailrace_consumers.sample.telling import mark
from tailrace_consumers.sample.waiting import Recall
from tests.consumers.making import (
    HOME,
    KEPT,
    LEFT,
    SAMPLED,
    TAIL,
    TOPICS,
    apart,
    end,
    event,
    failure,
    log_of,
    received,
    start,
)


def stage(**settings):
    return SampleStage(TOPICS, SampleSettings(**settings))


def fed(stage, *events, first=0, now=0.0, **where):
    return apart(stage.feed(log_of(*events, first=first, **where), now))


def types_of(records):
    return [decode(record.value).type for record in apart(records)]


def sampling_of(records):
    """The decisions told, and the place of each among the others of its run (greater counts as later)."""
    told = [decode(record.value) for record in apart(records) if record.topic == SAMPLED]
    return [msgspec.json.decode(each.data, type=types.Sampled) for each in told if each.type == types.RUN_SAMPLED]


def stubs_of(records):
    documents = [record.value for record in records if record.topic == TOPICS.documents]
    return [msgspec.json.decode(render(restore(value))) for value in documents]


def test_rate_one_passes_every_record_on_byte_for_byte_with_its_headers():
    record = received(start("r"), 7)
    (out,) = apart(stage(rate=1.0).feed([record], 0.0))
    assert (out.topic, out.key, out.value, out.headers) == (SAMPLED, record.key, record.value, record.headers)


def test_held_records_keep_their_headers_and_share_them_where_they_are_the_same():
    sampler = stage(**TAIL)
    events = [start(LEFT), event(LEFT, 1), event(LEFT, 2), failure(LEFT, 3)]
    sent = [
        msgspec.structs.replace(received(each, place), headers=(("n", b"%d" % (place // 2)),))
        for place, each in enumerate(events)
    ]
    out = [record for record in apart(sampler.feed(sent, 0.0)) if decode(record.value).type != types.RUN_SAMPLED]
    assert [(each.key, each.value, each.headers) for each in out] == [(r.key, r.value, r.headers) for r in sent]
    assert out[0].headers is out[1].headers
    assert out[1].headers != out[2].headers


def test_a_run_that_its_id_keeps_is_passed_on_as_it_comes_and_holds_nothing():
    sampler = stage(rate=0.5)
    out = fed(sampler, start(KEPT), event(KEPT, 1))
    assert types_of(out) == [types.RUN_SAMPLED, types.RUN_START, types.LOG]
    assert sampling_of(out) == [types.Sampled(rate=0.5, reason="rate", weight=2.0)]
    assert sampler.held() == {}
    assert sampler.counts() == {"kept_by_rate": 1, "undecided": 0, "held_bytes": 0}


def test_without_stubs_a_run_that_its_id_drops_holds_nothing_either():
    sampler = stage(rate=0.5, stubs=False)
    assert fed(sampler, start(LEFT), failure(LEFT, 1)) == []
    assert sampler.held() == {}
    assert sampler.counts() == {"dropped_by_rate": 1, "undecided": 0, "held_bytes": 0}


def test_with_stubs_it_holds_its_offset_but_no_records_until_the_stub_is_told():
    sampler = stage(rate=0.5)
    fed(sampler, start(LEFT), event(LEFT, 1), first=5)
    small = sampler.counts()["held_bytes"]
    fed(sampler, *(event(LEFT, seq) for seq in range(2, 20)), first=7)
    assert sampler.counts()["held_bytes"] == small
    assert sampler.held() == {HOME: 5}
    assert fed(sampler, end(LEFT, 20), first=30, now=10.0) == []
    (stub,) = stubs_of(sampler.tick(12.0))
    assert (stub["run_id"], stub["state"], stub["counts"]["events"]) == (LEFT, "complete", 21)
    assert sampler.held() == {}


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
    assert sampling_of(out) == [types.Sampled(rate=1.0, reason="error", weight=1.0)]


def test_a_run_kept_by_an_error_holds_its_first_offset_until_its_end_and_grace():
    sampler = stage(**TAIL)
    fed(sampler, start(LEFT), failure(LEFT, 1), first=5)
    fed(sampler, end(LEFT, 2), first=7, now=10.0)
    sampler.tick(11.9)
    assert sampler.held() == {HOME: 5}
    sampler.tick(12.2)
    assert sampler.held() == {}
    assert types_of(fed(sampler, event(LEFT, 3), first=8, now=13.0)) == [types.LOG]


def test_a_run_without_an_error_leaves_a_stub_after_its_end_and_grace():
    sampler = stage(**TAIL)
    fed(sampler, start(LEFT), end(LEFT, 1), now=10.0)
    (stub,) = stubs_of(sampler.tick(12.0))
    assert (stub["sampling"]["reason"], stub["final_status"], stub["workflow_name"]) == ("rate", "completed", "w")
    assert sampler.held() == {}
    assert sampler.counts() == {"dropped_by_rate": 1, "undecided": 0, "held_bytes": 0}


def test_an_error_within_the_grace_still_keeps_the_run():
    sampler = stage(**TAIL)
    fed(sampler, start(LEFT), end(LEFT, 1), now=10.0)
    sampler.tick(11.0)
    assert len(fed(sampler, failure(LEFT, 2), first=2, now=11.5)) == 4


def test_an_error_after_the_drop_recalls_what_was_dropped_and_passes_the_rest_on():
    sampler = stage(**TAIL)
    fed(sampler, start(LEFT), end(LEFT, 1))
    sampler.tick(5.0)
    (told,) = fed(sampler, failure(LEFT, 2), first=2, now=6.0)
    assert sampling_of([told]) == [types.Sampled(rate=1.0, reason="error", weight=1.0)]
    assert sampler.held() == {HOME: 2}
    assert types_of(fed(sampler, event(LEFT, 3), first=3, now=6.1)) == [types.LOG]
    (recall,) = sampler.tick(8.0)
    assert recall == Recall(HOME, LEFT, 3, types.Sampled(rate=1.0, reason="error", weight=1.0))
    assert sampler.tick(20.0) == []
    assert sampler.held() == {}


def test_a_late_event_that_no_policy_wants_only_makes_the_stub_fuller():
    sampler = stage(**TAIL)
    fed(sampler, start(LEFT), end(LEFT, 1))
    sampler.tick(5.0)
    assert fed(sampler, event(LEFT, 2), first=2, now=6.0) == []
    assert sampler.held() == {HOME: 2}
    (stub,) = stubs_of(sampler.tick(8.0))
    assert stub["counts"]["events"] == 3
    assert sampler.held() == {}


def test_a_run_that_began_before_the_stage_is_recalled_to_be_decided_by_all_of_it():
    sampler = stage(**TAIL)
    assert fed(sampler, event(LEFT, 7), end(LEFT, 8), first=5, now=10.0) == []
    sampler.tick(11.0)
    assert sampler.held() == {HOME: 5}
    assert sampler.tick(20.0) == [Recall(HOME, LEFT, 6, None)]
    assert sampler.held() == {}


def test_silence_decides_a_run_after_the_decision_wait():
    sampler = stage(**TAIL)
    fed(sampler, start(LEFT))
    sampler.tick(599.0)
    assert sampler.held() == {HOME: 0}
    (stub,) = stubs_of(sampler.tick(600.0))
    assert stub["state"] == "abandoned"
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
    assert [told.weight for told in sampling_of(out)] == [2.0, 1.0]
    by_rate, by_error = (decode(record.value) for record in out if b"run.sampled" in record.value)
    assert by_error.seq > by_rate.seq  # of one time and one producer, so this is what makes it the later one


def test_the_decision_is_told_in_the_same_bytes_whichever_event_comes_first():
    run = next(run for run in iter(new_run_id, "") if share(run) < 0.5)
    first, second = (fed(stage(rate=0.5), each)[0] for each in (start(run), event(run, 9)))
    assert first == second
    assert decode(first.value).ts == time_text(run_started_at(run).timestamp())


def test_beyond_its_memory_records_are_let_go_and_the_run_is_recalled_if_it_is_kept():
    sampler = stage(**TAIL, max_held_bytes=12_000)
    runs = [f"{LEFT}-{n}" for n in range(100) if share(f"{LEFT}-{n}") >= 0.5][:4]
    fed(sampler, *(start(run) for run in runs), *(event(run, seq) for seq in range(1, 5) for run in runs))
    counts = sampler.counts()
    assert counts["held_bytes"] <= 12_000
    assert counts["spilled"] >= 1
    assert (counts["undecided"], sampler.held()) == (4, {HOME: 0})
    told, *rest = fed(sampler, failure(runs[0], 5), first=50)
    assert (sampling_of([told])[0].reason, rest) == ("error", [])
    assert [recall.run for recall in sampler.tick(5.0)] == [runs[0]]


def test_where_even_that_is_too_much_the_runs_silent_longest_are_decided_early():
    sampler = stage(**TAIL, max_held_bytes=10_000)
    runs = [f"{LEFT}-{n}" for n in range(100) if share(f"{LEFT}-{n}") >= 0.5][:10]
    out = fed(sampler, *map(start, runs))
    counts = sampler.counts()
    assert counts["held_bytes"] <= 10_000
    assert [stub["run_id"] for stub in stubs_of(out)] == runs[: counts["decided_early"]]
    assert counts["decided_early"] == 10 - counts["undecided"] > 0


def test_a_run_that_goes_on_for_long_holds_the_commit_back_no_longer():
    sampler = stage(**TAIL)
    fed(sampler, start(LEFT), first=5, now=0.0)
    for now in range(100, 1000, 100):
        fed(sampler, event(LEFT, now), first=now, now=float(now))
        sampler.tick(float(now))
    assert sampler.held() == {}
    out = fed(sampler, failure(LEFT, 1000), first=1000, now=950.0)
    assert types_of(out)[:2] == [types.RUN_SAMPLED, types.RUN_START]


def test_revoked_partitions_take_exactly_their_runs_along():
    sampler = stage(**TAIL)
    fed(sampler, start(LEFT), first=3, partition=0)
    fed(sampler, start(LEFT), failure(LEFT, 1), first=4, partition=1)
    sampler.forget([HOME])
    assert {partition.number: offset for partition, offset in sampler.held().items()} == {1: 4}
    sampler.tick(700.0)
    assert sampler.counts()["held_bytes"] == 0


def test_what_is_not_an_event_is_a_dead_letter_and_the_rest_goes_on():
    out = apart(stage(rate=1.0).feed([received(b"\xff", 0), received(start("r"), 1)], 0.0))
    assert isinstance(out[0], DeadLetter)
    assert out[0].offset == 0
    assert types_of(out[1:]) == [types.RUN_START]


def test_a_dry_run_passes_everything_on_and_marks_what_it_would_have_done():
    sampler = stage(**TAIL, dry_run=True)
    out = fed(sampler, start(LEFT), end(LEFT, 1), start(KEPT), failure(KEPT, 1), end(KEPT, 2), now=1.0)
    assert [each for each in types_of(out) if each != types.RUN_SAMPLED] == [
        *(types.RUN_START, types.RUN_END),
        *(types.RUN_START, types.ERROR, types.RUN_END),
    ]
    told = [*sampling_of(out), *sampling_of(sampler.tick(10.0))]
    assert {(each.rate, each.weight, each.reason) for each in told} == {(1.0, 1.0, "dry run")}
    assert [(each.would.keep, each.would.reason) for each in told] == [(True, "error"), (False, "rate")]


def test_a_dry_run_of_what_the_id_decides_marks_at_once():
    sampler = stage(rate=0.5, dry_run=True)
    assert [told.would.keep for told in sampling_of(fed(sampler, start(LEFT), start(KEPT)))] == [False, True]
    assert sampler.held() == {}


def test_a_policy_of_never_drops_at_the_first_event_and_the_first_that_matches_decides():
    policies = [
        Policy(Condition(workflow="w"), rate=0.0, name="noise"),
        Policy(Condition(errors=True)),
    ]
    sampler = stage(policies=policies, grace=0.0)
    assert fed(sampler, start(KEPT), failure(KEPT, 1), end(KEPT, 2)) == []
    (stub,) = stubs_of(sampler.tick(1.0))
    assert (stub["sampling"]["reason"], stub["counts"]["errors"]) == ("noise", 1)


def test_a_limit_decides_once_on_a_run_that_comes_back():
    sampler = stage(policies=[Policy(runs_per_second=1.0)], grace=1.0)
    fed(sampler, *(each for run in "ab" for each in (start(run), end(run, 1))))
    assert [told.weight for told in sampling_of(sampler.tick(1.0))] == [1.0]
    assert sampler.counts()["dropped_by_1 runs/s"] == 1
    fed(sampler, event("b", 2), first=9, now=100.0)
    (stub,) = stubs_of(sampler.tick(101.0))
    assert stub["counts"]["events"] == 3


def test_of_two_decisions_on_one_run_the_likelier_is_the_later_one():
    rates = [1.0, 0.5, 0.1, 0.01, 0.001]
    told = [types.Sampled(rate=rate, reason="rate", weight=1 / rate) for rate in rates]
    told.append(types.Sampled(rate=1.0, reason="restored", weight=0.0))
    marks = [decode(mark(SAMPLED, "r", "w", each).value) for each in told]
    assert sorted(marks, key=stamp, reverse=True) == marks


def test_a_silent_run_that_comes_back_with_an_error_is_recalled_once_and_waited_for_again():
    sampler = stage(**TAIL)
    fed(sampler, start(LEFT))
    sampler.tick(600.0)
    fed(sampler, failure(LEFT, 1), first=5, now=700.0)
    assert [recall.upto for recall in sampler.tick(702.0)] == [5]
    assert sampler.tick(710.0) == []
    assert sampler.held() == {HOME: 5}


def test_a_run_is_passed_on_once_an_action_or_an_agent_is_named_that_a_policy_keeps():
    for condition in (Condition(action="pay"), Condition(agent="payer")):
        sampler = stage(policies=[Policy(condition)], rate=0.0, stubs=False)
        before = [start("r"), event("r", 1, types.ACTION, action_name="plan")]
        assert fed(sampler, *before) == []
        named = msgspec.structs.replace(event("r", 2, types.ACTION, action_name="pay"), agent="payer")
        out = fed(sampler, named, first=2)
        assert types_of(out) == [types.RUN_SAMPLED, types.RUN_START, types.ACTION, types.ACTION]


def test_an_event_nested_deeper_than_documents_can_hold_is_a_dead_letter_here_already():
    deep = msgspec.structs.replace(event("r", 1), data=msgspec.Raw(b'{"a":' + b"[" * 900 + b"]" * 900 + b"}"))
    (letter,) = stage(rate=1.0).feed([received(deep, 3)], 0.0)
    assert isinstance(letter, DeadLetter)
    assert (letter.offset, letter.error) == (3, "not an event: it is nested deeper than 850 levels")
