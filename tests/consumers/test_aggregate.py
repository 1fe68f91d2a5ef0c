import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.bus import Partition
from tailrace.config import AggregateSettings
from tailrace.document import collect, join
from tailrace.document.restore import restore
from tailrace.document.view import render
from tailrace.errors import DecodeError
from tailrace.event import decode, encode, types
from tailrace.event.ids import parse_time
from tailrace_consumers import aggregate
from tailrace_consumers.aggregate import AggregateStage
from tailrace_consumers.aggregate.run import EVENT_OVERHEAD
from tailrace_consumers.dead_letters import DeadLetter
from tests.consumers.making import SAMPLED, TOPICS, end, event, log_of, received, start
from tests.document.strategies import RUN, runs

HOME = Partition(SAMPLED, 0)


def stage(**settings):
    return AggregateStage(TOPICS, AggregateSettings(**settings))


def fed(stage, *events, first=0, now=0.0):
    return list(stage.feed(log_of(*events, first=first, topic=SAMPLED), now))


def state(record):
    return dict(record.headers)["tr-state"].decode()


def joined(records):
    documents = [restore(record.value) for record in records]
    whole = documents[0]
    for document in documents[1:]:
        whole = join(whole, document)
    return whole


def test_the_end_of_a_run_emits_its_whole_document_at_once():
    events = [start("r"), event("r", 1), end("r", 2)]
    aggregator = stage()
    (out,) = fed(aggregator, *events)
    assert (out.topic, out.key, state(out)) == (TOPICS.documents, b"r", "complete")
    assert out.value == render(collect(events)["r"])
    assert aggregator.held() == {}


def test_an_open_run_holds_its_offset_until_it_is_emitted_as_a_partial_document():
    aggregator = stage(live_after=1.0)
    assert fed(aggregator, start("r"), first=5) == []
    assert fed(aggregator, event("r", 1), first=6, now=0.9) == []
    assert list(aggregator.tick(0.9)) == []
    assert aggregator.held() == {HOME: 5}
    (out,) = aggregator.tick(1.0)
    assert state(out) == "open"
    assert aggregator.held() == {}


def test_partial_documents_bring_only_what_is_new_and_the_last_one_everything():
    aggregator = stage(live_after=1.0)
    fed(aggregator, start("r"), event("r", 1))
    (first,) = aggregator.tick(1.0)
    fed(aggregator, event("r", 2), first=2, now=2.0)
    (second,) = aggregator.tick(3.0)
    (last,) = fed(aggregator, end("r", 3), first=3, now=4.0)
    assert [len(restore(each.value).events) for each in (first, second, last)] == [2, 1, 4]


def test_a_late_event_emits_the_whole_document_again():
    aggregator = stage(live_after=1.0)
    fed(aggregator, start("r"), end("r", 2))
    fed(aggregator, event("r", 1), first=2, now=5.0)
    (out,) = aggregator.tick(6.0)
    assert state(out) == "complete"
    assert len(restore(out.value).events) == 3


def test_an_ended_run_is_forgotten_after_a_while():
    aggregator = stage()
    fed(aggregator, start("r"), end("r", 1))
    list(aggregator.tick(29.0))
    assert aggregator.counts()["runs"] == 1
    list(aggregator.tick(30.0))
    assert aggregator.counts() == {"runs": 0, "pending": 0, "held_bytes": 0}


def test_a_lost_producer_ends_the_run():
    (out,) = fed(stage(), start("r"), event("r", 1, types.PRODUCER_LOST, producer="p", reason="died"))
    assert state(out) == "abandoned"


def test_silence_abandons_an_open_run_and_a_later_event_reopens_it():
    aggregator = stage(abandon_after=100.0)
    fed(aggregator, start("r"), event("r", 1))
    first = [*aggregator.tick(99.0)]
    assert state(first[0]) == "open"
    abandoned = list(aggregator.tick(100.5))
    assert state(abandoned[0]) == "abandoned"
    assert aggregator.counts() == {"runs": 0, "pending": 0, "held_bytes": 0}
    fed(aggregator, event("r", 2), first=2, now=200.0)
    reopened = list(aggregator.finish(200.0, caught_up=True))
    assert b'"state":"open"' in render(joined([*abandoned, *reopened]))


def test_a_run_is_abandoned_in_the_same_bytes_by_whoever_does_it():
    def abandoned():
        aggregator = stage(abandon_after=100.0)
        fed(aggregator, start("r"), event("r", 1))
        return list(aggregator.tick(100.0))

    assert abandoned() == abandoned()


def test_beyond_its_memory_the_longest_silent_runs_are_emitted_and_forgotten():
    aggregator = stage(max_held_bytes=5000)
    out = fed(aggregator, *(start(f"r{n}") for n in range(10)))
    counts = aggregator.counts()
    assert counts["held_bytes"] <= 5000
    assert [each.key for each in out] == [f"r{n}".encode() for n in range(10 - counts["runs"])]
    assert aggregator.held() == {HOME: len(out)}


def test_beyond_its_memory_runs_that_have_ended_go_before_any_open_one():
    aggregator = stage(max_held_bytes=2_000)
    ends = fed(aggregator, start("open"), *(each(f"r{n}", n) for n in range(6) for each in (event, end)))
    assert [(each.key, state(each)) for each in ends] == [(f"r{n}".encode(), "complete") for n in range(6)]
    assert aggregator.counts()["runs"] < 7
    assert aggregator.held() == {HOME: 0}
    more = fed(aggregator, *(event("more", n) for n in range(9)), first=13)
    assert more[0].key == b"open"


def test_a_late_event_of_a_run_forgotten_after_its_end_comes_out_by_itself():
    events = [start("r"), end("r", 1), event("r", 2)]
    aggregator = stage(max_held_bytes=0)
    (whole,) = fed(aggregator, *events[:2])
    (late,) = fed(aggregator, events[2], first=2)
    assert aggregator.counts()["runs"] == 0
    assert render(joined([whole, late])) == render(collect(events)["r"])


def test_finish_emits_what_is_pending_and_holds_nothing():
    aggregator = stage()
    fed(aggregator, start("r"))
    assert len(list(aggregator.finish(0.0, caught_up=False))) == 1
    assert aggregator.held() == {}


def test_a_run_too_large_for_one_record_comes_in_parts_that_join_to_its_document():
    events = [start("r"), *(event("r", n, message="x" * 100_000, level="INFO") for n in range(1, 40)), end("r", 40)]
    aggregator = stage()
    out = fed(aggregator, *events)
    assert max(len(each.value) for each in out) <= aggregate._MAX_RECORD_BYTES
    assert render(joined(out)) == render(collect(events)["r"])
    assert sum(len(restore(each.value).events) for each in out) == len(events)
    assert aggregator.counts()["held_bytes"] == 0


@given(runs.filter(bool), st.integers(1, 400))
def test_documents_of_any_events_join_to_the_whole_however_small_the_records(events, limit):
    aggregator = AggregateStage(TOPICS, AggregateSettings(), max_record_bytes=limit)
    out = [*fed(aggregator, *events), *aggregator.finish(0.0, caught_up=True)]
    assert not [each for each in out if isinstance(each, DeadLetter)]
    assert render(joined(out)) == render(collect(events)[RUN])


@pytest.mark.parametrize("error", [RuntimeError("no"), DecodeError("no")])
def test_an_event_that_no_document_can_be_made_of_is_a_dead_letter_and_its_run_goes_on(monkeypatch, error):
    def refuse_second(run_id, values):
        if any(decode(value).seq == 1 for value in values):
            raise error
        return whole(run_id, values)

    whole = aggregate._render
    monkeypatch.setattr(aggregate, "_render", refuse_second)
    out = fed(stage(), start("r"), event("r", 1), end("r", 2))
    dead = [each for each in out if isinstance(each, DeadLetter)]
    assert [(each.offset, each.error) for each in dead] == [(1, repr(error))]
    assert sorted(joined([each for each in out if each not in dead]).events) == ["p-r-0", "p-r-2"]


def test_what_is_not_an_event_is_a_dead_letter_and_holds_nothing():
    aggregator = stage()
    (out,) = aggregator.feed([received(b"{}", 3, topic=SAMPLED)], 0.0)
    assert isinstance(out, DeadLetter)
    assert aggregator.held() == {}


def test_an_event_that_cannot_be_read_whole_is_a_dead_letter_once_and_its_run_is_one_document_without_it():
    aggregator = stage(live_after=1.0)
    sound = [start("r"), event("r", 1), event("r", 3)]
    values = [encode(each) for each in sound]
    broken = values[1].replace(b'"p-r-1"', b'"p-r-2"').replace(b'"data":{', b'"data":7,"more":{')
    fed_values = [values[0], values[1], broken, values[2]]
    records = [received(value, offset, topic=SAMPLED) for offset, value in enumerate(fed_values)]
    assert list(aggregator.feed(records, 0.0)) == []
    held = aggregator.counts()["held_bytes"]
    letter, part = aggregator.tick(1.0)
    assert isinstance(letter, DeadLetter)
    assert (letter.offset, letter.value, letter.key) == (2, broken, b"r")
    assert "data" in letter.error
    assert part.value == render(collect(sound)["r"])
    assert aggregator.counts()["held_bytes"] == held - len(broken) - EVENT_OVERHEAD
    (whole,) = fed(aggregator, end("r", 4), first=4, now=1.5)
    assert whole.value == render(collect([*sound, end("r", 4)])["r"])


def test_revoked_partitions_take_their_runs_along():
    aggregator = stage()
    fed(aggregator, start("r"), first=3)
    aggregator.forget([HOME])
    assert aggregator.held() == {}
    assert aggregator.counts() == {"runs": 0, "pending": 0, "held_bytes": 0}


def test_unknown_event_types_and_fields_of_a_newer_version_reach_the_document():
    newer = msgspec.structs.replace(event("r", 1, "newer.type", a=1), extra={"zone": msgspec.Raw(b'"eu"')})
    (out,) = fed(stage(), start("r"), newer, end("r", 2))
    assert b'"newer.type"' in out.value
    assert b'"zone":"eu"' in out.value


def test_partial_documents_of_very_many_runs_wait_for_their_turn_the_oldest_first():
    aggregator = stage(live_after=1.0)
    fed(aggregator, *(start(f"r{n}") for n in range(5_000)))
    out = [list(aggregator.tick(1.0 + second)) for second in range(4)]
    assert [len(each) for each in out] == [2_000, 2_000, 1_000, 0]
    assert [record.key for second in out for record in second] == [f"r{n}".encode() for n in range(5_000)]


def test_what_is_late_when_it_comes_is_shown_ten_times_as_rarely_and_holds_up_nobody_else():
    noon = parse_time("2026-01-01T12:00:00.000000Z")
    late, in_time = (event(run, 0, ts=f"2026-01-01T{at}.000000Z") for run, at in (("a", "11:59:57"), ("b", "11:59:59")))
    aggregator = stage(live_after=1.0)
    fed(aggregator, late, in_time, now=noon)
    assert [record.key for record in aggregator.tick(noon + 1)] == [b"b"]
    assert list(aggregator.tick(noon + 9.9)) == []
    assert aggregator.held() == {HOME: 0}
    assert [record.key for record in aggregator.tick(noon + 10)] == [b"a"]
    assert aggregator.held() == {}


def test_of_late_runs_a_quarter_as_many_are_shown_a_second_and_those_in_time_come_first():
    noon = parse_time("2026-01-01T12:00:00.000000Z")
    aggregator = stage(live_after=1.0)
    fed(aggregator, *(event(f"l{n}", 0, ts="2026-01-01T11:00:00.000000Z") for n in range(1_200)), now=noon)
    fed(aggregator, *(event(f"t{n}", 0, ts="2026-01-01T12:00:09.000000Z") for n in range(400)), now=noon + 9)
    out = [[record.key[:1] for record in aggregator.tick(noon + 10 + second)] for second in range(4)]
    assert [(each.count(b"t"), each.count(b"l")) for each in out] == [(400, 400), (0, 500), (0, 300), (0, 0)]


def test_a_late_run_that_was_shown_and_goes_on_in_time_is_shown_in_time():
    noon = parse_time("2026-01-01T12:00:00.000000Z")
    aggregator = stage(live_after=1.0)
    fed(aggregator, event("a", 0, ts="2026-01-01T11:00:00.000000Z"), now=noon)
    assert len(list(aggregator.tick(noon + 10))) == 1
    fed(aggregator, event("a", 1, ts="2026-01-01T12:00:11.000000Z"), first=1, now=noon + 11)
    assert len(list(aggregator.tick(noon + 12))) == 1
    assert len(list(aggregator.finish(noon + 12, caught_up=True))) == 0


def test_a_run_that_waits_for_its_turn_is_emitted_at_its_end_all_the_same():
    aggregator = stage(live_after=1.0)
    fed(aggregator, *(start(f"r{n}") for n in range(5_000)))
    list(aggregator.tick(1.0))
    (out,) = fed(aggregator, end("r4999", 1), first=5_000, now=1.0)
    assert state(out) == "complete"


def test_partial_documents_come_out_after_the_clock_was_set_back():
    aggregator = stage(live_after=1.0)
    fed(aggregator, start("r"), now=5_000.0)
    assert len(list(aggregator.tick(100.0))) == 1


def test_a_run_that_spoke_lately_is_not_among_those_emitted_early_for_memory():
    aggregator = stage(max_held_bytes=2_000)
    fed(aggregator, start("old"), start("new"), now=0.0)
    fed(aggregator, event("old", 1), first=2, now=5.0)
    out = fed(aggregator, *(event("more", n) for n in range(8)), first=3, now=5.0)
    assert out[0].key == b"new"
