import msgspec
import pytest

from tailrace.document import Document, Summary
from tailrace.document.summary import prepare, summarise
from tailrace.document.view import render
from tailrace.event import types
from tests.document.making import ACT, ITERATION, RUN, TURN, Story, at


@pytest.fixture
def story():
    return Story()


def test_a_summary_holds_what_lists_show(story):
    story.tell(types.RUN_START, {"verbosity": "INFO", "session": "c-17", "tags": ["beta"]})
    story.tell(types.INTERACTION_START, {"agent_name": "planner"}, interaction=TURN, agent="planner")
    story.tell(types.ACTION, {"action_name": "search", "tokens": 5, "cost": 0.25}, interaction=TURN, agent="critic")
    story.tell(types.RUN_END, {"final_status": "completed"})
    assert summarise(story.document) == Summary(
        run_id=RUN,
        workflow_name="support-bot",
        state="complete",
        final_status="completed",
        start_time=at(0),
        end_time=at(3),
        agents=["critic", "planner"],
        tags=["beta"],
        session="c-17",
        counts={"iterations": 0, "interactions": 1, "actions": 1, "resources": 0, "errors": 0, "logs": 0, "events": 4},
        tokens={"total": 5.0},
        cost_usd=0.25,
    )
    assert prepare(story.document).summary == summarise(story.document)


def test_a_run_without_start_or_end_has_a_summary_too(story):
    summary = summarise(story.tell(types.LOG, {"message": "hello"}).document)
    assert (summary.state, summary.final_status, summary.start_time, summary.end_time) == ("open", None, None, None)
    assert (summary.tags, summary.session) == ([], None)
    assert summarise(Document("empty")).run_id == "empty"


def test_fields_of_other_types_are_made_to_fit(story):
    story.tell(types.RUN_START, {"session": {"id": 7}, "tags": ["a", 1, None, "b"]})
    story.tell(types.RUN_END, {"final_status": 200})
    summary = summarise(story.document)
    assert (summary.session, summary.final_status, summary.tags) == ('{"id":7}', "200", ["a", "b"])
    assert summarise(Story().tell(types.RUN_START, {"tags": "beta"}).document).tags == []


def test_the_body_is_the_rendered_document(story):
    story.tell(types.LOG, {"message": "hello"})
    prepared = prepare(story.document)
    assert prepared.body == render(story.document)


def test_the_texts_are_the_values_that_people_and_models_wrote_in_their_order(story):
    story.tell(types.RUN_START, {"verbosity": "INFO", "session": "c-17", "tags": ["beta"], "fields": {"team": "blue"}})
    story.tell(types.ITERATION_START, {"iteration_id": 1}, iteration=ITERATION)
    story.tell(
        types.INTERACTION_START,
        {"agent_name": "planner", "input_data": {"question": ["why", 42, 1.5, True, None]}},
        iteration=ITERATION,
        interaction=TURN,
    )
    story.tell(
        types.ACTION_START,
        {"action_name": "search"},
        iteration=ITERATION,
        interaction=TURN,
        action=ACT,
        agent="planner",
    )
    story.tell(types.RESOURCE, {"resource_name": "s3://x"})
    story.tell(types.LOG, {"level": "INFO", "message": "done"})
    story.tell("some.future.type", {"secret": "not searched"})
    texts = prepare(story.document).texts
    assert texts[:5] == ["support-bot", "c-17", "beta", "blue", "1"]
    assert [text for text in texts if text in {"planner", "why", "42", "1.5", "search", "s3://x", "done"}] == [
        "planner",
        "why",
        "42",
        "1.5",
        "search",
        "s3://x",
        "done",
    ]
    assert not {"p-0", RUN, ITERATION, TURN, at(0), "not searched", "True"} & set(texts)


def test_text_beyond_the_limit_is_left_out_and_flagged(story):
    story.tell(types.LOG, {"level": "", "message": "a" * 10})
    story.tell(types.LOG, {"level": "", "message": "b" * 10})
    whole = prepare(story.document)
    assert not whole.text_truncated
    size = sum(len(text) + 1 for text in whole.texts)
    for limit in range(size):
        cut = prepare(story.document, max_text=limit)
        assert cut.texts == whole.texts[: len(cut.texts)]
        assert sum(map(len, cut.texts)) <= limit
        assert cut.text_truncated == (cut.texts != whole.texts)
        assert (cut.body, cut.summary) == (whole.body, whole.summary)
    assert prepare(story.document, max_text=0).texts == []


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (b'{"score":1e400,"kept":"seen"}', ["seen"]),
        (b"1e400", []),
        (b"[-1e999,7]", ["7"]),
        (b'{"\\u00e9":1e400,"deep":[{"kept":"s\\u00e9"}]}', ["s\u00e9"]),
        (b"1" * 5_000, []),
    ],
)
def test_what_no_decoder_takes_is_left_out_of_the_texts_and_stays_in_the_body(story, value, left):
    story.tell(types.RUN_START, b'{"tags":["beta"],"session":%s}' % (value if value == b"1e400" else b'"c"'))
    story.tell(types.LOG, b'{"level":"INFO","message":%s}' % value)
    prepared = prepare(story.document)
    assert value in prepared.body
    assert prepared.texts[-1 - len(left) :] == ["INFO", *left]
    assert prepared.summary == summarise(story.document)
    assert prepared.summary.tags == ["beta"]
    assert prepared.summary.session == (None if value == b"1e400" else "c")
    msgspec.json.encode(prepared.summary)
