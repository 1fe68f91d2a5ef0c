"""A batch's records are taken in by key, and lead to what they lead to one by one."""

import itertools

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tailrace.event import decode, types
from tailrace.sampling import SampleSettings
from tailrace_consumers.dead_letters import DeadLetter
from tailrace_consumers.sample import SampleStage
from tailrace_consumers.sample.facts import Facts
from tests.consumers.making import (
    HOME,
    LEFT,
    SAMPLED,
    TAIL,
    TOPICS,
    apart,
    end,
    event,
    failure,
    interleaved_runs,
    log_of,
    start,
)


def passed_on(batches, **settings):
    """By run: what a sampler passes on of it, and the last decision told, with time for every decision at the end."""
    sampler = SampleStage(TOPICS, SampleSettings(**settings))
    out = [each for records in batches for each in apart(sampler.feed(records, 0.0))]
    out += apart(sampler.tick(10_000.0))
    found = {}
    for record in out:
        if record.topic == SAMPLED:
            told = decode(record.value)
            values, marks = found.setdefault(told.run, ([], []))
            (marks if told.type == types.RUN_SAMPLED else values).append(record.value)
    return {run: (values, marks[-1]) for run, (values, marks) in found.items()}


@given(interleaved_runs(), st.lists(st.integers(1, 6), min_size=1), st.booleans())
def test_how_records_are_batched_and_what_their_keys_are_changes_nothing(events, sizes, share_a_key):
    records = log_of(*events)
    alone = passed_on([[record] for record in records], **TAIL)
    if share_a_key:
        records = [msgspec.structs.replace(record, key=b"") for record in records]
    left = iter(records)
    batches = list(itertools.takewhile(bool, (list(itertools.islice(left, size)) for size in itertools.cycle(sizes))))
    assert passed_on(batches, **TAIL) == alone


def test_what_comes_of_one_run_together_is_passed_on_as_one_bundle_and_apart_where_keys_or_headers_differ():
    records = log_of(start("r"), event("r", 1), start("s"), event("r", 2), event("r", 3), event("r", 4))
    records[4] = msgspec.structs.replace(records[4], headers=())
    records[5] = msgspec.structs.replace(records[5], headers=(), key=b"other")
    out = SampleStage(TOPICS, SampleSettings(rate=1.0)).feed(records, 0.0)
    places = [[records.index(each) for each in records if each.value in bundle.values] for bundle in out]
    assert places == [[0, 1, 3], [4], [2], [5]]
    assert [(each.key, each.headers) for each in out[:2]] == [(b"r", records[0].headers), (b"r", ())]


def test_runs_under_one_key_hold_the_commit_at_the_first_record_of_those_still_open():
    shared = [msgspec.structs.replace(record, key=b"") for record in log_of(start("a"), start("b"), first=10)]
    late = [msgspec.structs.replace(record, key=b"") for record in log_of(start("c"), end("a", 1), first=20)]
    sampler = SampleStage(TOPICS, SampleSettings(rate=0.0, grace=0.0))
    sampler.feed([*shared, *log_of(start("d"), first=15), *late], 0.0)
    assert sampler.held() == {HOME: 10}
    sampler.feed([msgspec.structs.replace(each, key=b"") for each in log_of(end("b", 1), first=30)], 0.0)
    sampler.tick(1.0)
    assert sampler.held() == {HOME: 15}


def test_a_record_that_the_stage_fails_on_is_a_dead_letter_and_takes_none_of_its_run_along(monkeypatch):
    def hear(facts, event, size, hear=Facts.hear):
        if event.seq == 1:
            raise ZeroDivisionError
        return hear(facts, event, size)

    monkeypatch.setattr(Facts, "hear", hear)
    records = log_of(start(LEFT), event(LEFT, 1), event(LEFT, 2), failure(LEFT, 3))
    out = SampleStage(TOPICS, SampleSettings(**TAIL)).feed(records, 0.0)
    letters = [each for each in out if isinstance(each, DeadLetter)]
    assert [(each.offset, each.error) for each in letters] == [(1, "ZeroDivisionError()")]
    rest = [each for each in out if not isinstance(each, DeadLetter)]
    assert [decode(each.value).type for each in apart(rest)] == [
        types.RUN_SAMPLED,
        types.RUN_START,
        types.LOG,
        types.ERROR,
    ]
