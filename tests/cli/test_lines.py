import msgspec
import pytest

from tailrace.cli import wording
from tailrace.cli.lines import line, plain, summary
from tests.cli.story import Story, finished, hostile


def shown(event):
    return line(event).plain


def test_a_line_says_when_which_run_who_and_what():
    event = Story().add("action", {"action_name": "chat", "status": "ok"}, agent="planner").events[0]
    assert shown(event).endswith("00:00.000 run~1234abcd planner action chat ok")


def test_a_line_without_an_agent_leaves_it_out():
    assert shown(Story().add("run.end", {"final_status": "completed"}).events[0]).endswith(
        "run~1234abcd run.end completed"
    )


@pytest.mark.parametrize("prefix", [False, True])
def test_a_line_without_styles_says_the_same(prefix):
    events = [
        Story().add("action", {"action_name": "chat", "error": "x"}, agent="plan[red]ner\x1b").events[0],
        Story().add("log", {"level": "INFO", "message": "a\nb" * 300}).events[0],
    ]
    for event in events:
        assert plain(event, prefix=prefix) == line(event, prefix=prefix).plain != ""


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999Z", "not a time"])
def test_a_time_that_no_calendar_has_is_shown_as_it_came(time):
    event = msgspec.structs.replace(Story().add("log", {"message": "x"}).events[0], ts=time)
    assert shown(event).startswith(f"{time} run~")
    assert wording.local_time(time) == time


@pytest.mark.parametrize(
    ("type_", "data", "said"),
    [
        ("log", {"level": "INFO", "message": "hello", "fields": {"n": 1}}, 'INFO hello {"n":1}'),
        ("error", {"error_msg": "boom", "exception": {"type": "OSError", "message": "gone"}}, "boom ! OSError: gone"),
        ("interaction.start", {"agent_name": "planner", "input_data": {"q": 1}}, '{"q":1}'),
        ("action.end", {"output_data": [1], "error": {"type": "E", "message": "m"}}, "[1] ! E: m"),
        ("resource", {"resource_name": "s3://x"}, "s3://x"),
        ("iteration.end", {"status": "success"}, "success"),
        ("some.future.type", {"new": 1}, '{"new":1}'),
        ("run.start", {}, ""),
        ("log", {"level": None, "message": ["x"]}, '["x"]'),
        ("action", {"action_name": 3, "error": "text"}, "3 text"),
    ],
)
def test_the_summary_is_what_the_event_says(type_, data, said):
    assert summary(Story().add(type_, data).events[0]) == said


def test_a_number_that_no_float_holds_is_shown_as_it_came():
    import msgspec

    event = msgspec.structs.replace(Story().add("log").events[0], data=msgspec.Raw(b'{"message":1e999}'))
    assert "1e999" in summary(event)


def test_hostile_text_never_reaches_the_terminal():
    for event in hostile().events:
        assert shown(event).isprintable()


def test_an_agent_has_one_colour_and_failures_stand_out():
    events = finished().events
    styles = {(event.agent, str(span.style)) for event in events for span in line(event).spans if event.agent}
    named = {style for agent, style in styles if agent == "planner"} - {"dim", "bold"}
    assert len(named) == 1
    assert [event.type for event in events if any(span.style == "red" for span in line(event).spans)] == [
        "action.end",
        "error",
    ]
