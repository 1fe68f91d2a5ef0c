from tailrace.document import collect
from tailrace.document.view import render
from tailrace_consumers.dead_letters import DeadLetter
from tailrace_consumers.index import IndexStage
from tests.consumers.making import TOPICS, end, event, received, start


def documents(*parts):
    rendered = [render(document) for events in parts for document in collect(events).values()]
    return [received(body, offset, topic=TOPICS.documents) for offset, body in enumerate(rendered)]


def test_documents_of_one_run_are_joined_to_one_merge_that_knows_its_records():
    records = documents([start("a"), event("a", 1)], [start("b")], [end("a", 2)])
    merges = list(IndexStage().feed(records, 0.0))
    expected = collect([start("a"), event("a", 1), end("a", 2), start("b")])
    assert {merge.document.run_id: render(merge.document) for merge in merges} == {
        run: render(document) for run, document in expected.items()
    }
    assert {merge.document.run_id: [each.offset for each in merge.sources] for merge in merges} == {
        "a": [0, 2],
        "b": [1],
    }


def test_what_is_not_a_document_is_a_dead_letter():
    (letter,) = IndexStage().feed([received(b'{"run_id": 1}', 4, topic=TOPICS.documents)], 0.0)
    assert isinstance(letter, DeadLetter)
    assert letter.offset == 4
