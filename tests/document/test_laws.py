"""The algebra that lets every hop repeat, reorder, split and resend: checked on arbitrary events."""

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from tailrace.document import Document, collect, join, of
from tailrace.document.restore import restore
from tailrace.document.view import render
from tests.document.strategies import RUN, events, runs


def document_of(found):
    return collect(found).get(RUN, Document(RUN))


@given(runs, runs)
def test_join_is_commutative(a, b):
    a, b = document_of(a), document_of(b)
    assert join(a, b) == join(b, a)
    assert render(join(a, b)) == render(join(b, a))


@given(runs, runs, runs)
def test_join_is_associative(a, b, c):
    a, b, c = document_of(a), document_of(b), document_of(c)
    assert join(join(a, b), c) == join(a, join(b, c))


@given(runs)
def test_join_is_idempotent_and_leaves_its_arguments_alone(found):
    document = document_of(found)
    before = render(document)
    assert join(document, document) == document
    assert render(document) == before


@given(events(), events())
def test_two_versions_of_one_event_join_alike_in_any_order(a, b):
    a, b = of(a), of(b)
    assert join(a, b) == join(b, a)


@given(runs, st.randoms(use_true_random=False))
def test_any_split_order_and_duplication_of_a_runs_events_gives_the_same_document(found, random):
    whole = render(document_of(found))
    sent = found + random.choices(found, k=len(found)) if found else []
    random.shuffle(sent)
    parts, at = [Document(RUN)], 0
    while at < len(sent):
        size = random.randint(1, 5)
        parts.append(document_of(sent[at : at + size]))
        at += size
    random.shuffle(parts)
    over_the_wire = [restore(render(part)) if random.random() < 0.5 else part for part in parts]
    assert render(reduce(join, over_the_wire)) == whole


@given(runs)
def test_the_json_of_a_document_holds_all_of_it(found):
    document = document_of(found)
    restored = restore(render(document))
    assert restored.events.keys() == document.events.keys()
    assert restored.received == document.received
    assert render(restored) == render(document)
