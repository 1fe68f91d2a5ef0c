"""That the verdict would notice."""

import msgspec
import pytest

from tailrace.document import collect, join
from tests.system.consumers.load import Agents
from tests.system.consumers.verdict import Verdict, judge_documents, judge_letters

EVENTS = Agents("x", seed=1, unended=0.2, strange_runs=0.5).events(300)


def judge(*events):
    return judge_documents(EVENTS, collect(events))


def test_the_runs_own_documents_are_fine():
    verdict = judge(*EVENTS)
    assert verdict.ok
    assert (verdict.accepted, verdict.lost, verdict.doubled, verdict.strange, verdict.unequal) == (300, 0, 0, 0, 0)


def test_what_stages_add_to_a_document_changes_nothing():
    added = msgspec.structs.replace(EVENTS[0], id="sampler-0", pid="sampler", seq=0, n=-1, type="run.sampled")
    assert judge(*EVENTS, added).ok


def test_an_event_that_is_missing_is_lost():
    verdict = judge(*EVENTS[:10], *EVENTS[11:])
    assert not verdict.ok
    assert (verdict.lost, verdict.unequal) == (1, 1)


def test_an_event_under_a_second_id_is_doubled():
    again = msgspec.structs.replace(EVENTS[10], id="agent-x-9999", seq=9999, n=-1)
    verdict = judge(*EVENTS, again)
    assert not verdict.ok
    assert (verdict.doubled, verdict.unequal) == (1, 1)


def test_a_run_that_was_to_be_dropped_is_strange():
    other = Agents("y", seed=2).events(20)
    verdict = judge(*EVENTS, *other)
    assert not verdict.ok
    assert verdict.strange == 20


def test_a_document_that_is_there_twice_in_parts_joins_to_the_same():
    whole, part = collect(EVENTS), collect(EVENTS[:100])
    found = {run: join(document, part.get(run, document)) for run, document in whole.items()}
    assert judge_documents(EVENTS, found).ok


def test_letters_that_are_missing_or_strange_are_counted_and_repeated_ones_are_allowed():
    verdict = Verdict(accepted=1)
    judge_letters([b"1", b"2", b"3"], [b"1", b"1", b"3", b"4"], verdict)
    assert (verdict.hostile, verdict.missing_letters, verdict.strange_letters, verdict.repeated) == (3, 1, 1, 1)
    assert not verdict.ok


@pytest.mark.parametrize(
    "fault", ["lost", "doubled", "strange", "unequal", "unread", "missing_letters", "strange_letters"]
)
def test_one_fault_fails_the_verdict(fault):
    assert Verdict(accepted=9, repeated=3, hostile=2).ok
    assert not Verdict(accepted=9, **{fault: 1}).ok
    assert not Verdict().ok
