import json
import os
import signal

from tailrace.bus import Record
from tailrace.bus.topics import Topics
from tailrace.event import encode
from tests.cli.story import HOSTILE, RUN, Story, finished

OTHER = "0190a1b2c3d4700080000000aaaabbbb"


def test_without_follow_it_prints_what_is_there_and_ends(tailrace):
    tailrace.publish(finished())
    result = tailrace("tail")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == len(finished().events)
    assert lines[0] == '00:00:00.000 run~1234abcd run.start c-17 ["beta"]'
    assert lines[3] == "00:00:03.000 run~1234abcd planner action chat"


def test_json_is_each_event_as_on_the_topic(tailrace):
    tailrace.publish(finished())
    assert tailrace("tail", "-o", "json").stdout.encode().splitlines() == [encode(event) for event in finished().events]


def test_raw_is_only_what_the_events_say(tailrace):
    tailrace.publish(Story().add("log", {"level": "INFO", "message": HOSTILE}).add("run.end", {"final_status": "done"}))
    read = os.fsencode(tailrace("tail", "-o", "raw").stdout)
    assert read.decode() == f"INFO {HOSTILE}\ndone\n".replace("\r\n", "\n")  # text mode of the test's own pipe


def test_a_workflow_and_agents_narrow_it(tailrace):
    tailrace.publish(
        finished(), Story(OTHER, "Support Bot").add("log", {"level": "INFO", "message": "hi"}, agent="critic")
    )
    assert tailrace("tail", "Support Bot", "-o", "raw").stdout == "INFO hi\n"
    assert tailrace("tail", "unheard-of").stdout == ""
    told = [json.loads(line) for line in tailrace("tail", "-a", "critic", "-o", "json").stdout.splitlines()]
    assert {(event["agent"], event["workflow"]) for event in told} == {
        ("critic", "research"),
        ("critic", "Support Bot"),
    }
    both = tailrace("tail", "research", "-a", "critic", "-a", "planner", "-o", "json").stdout.splitlines()
    assert {json.loads(line)["agent"] for line in both} == {"critic", "planner"}


def test_last_gives_the_end_of_what_is_there(tailrace):
    tailrace.publish(finished())
    assert tailrace("tail", "-n", "2", "-o", "raw").stdout == "WARNING one price is old\ncompleted\n"
    assert tailrace("tail", "-n", "0").stdout == ""


def test_last_counts_back_from_the_end_however_much_is_there(tailrace):
    record = Record("tailrace.events.research", RUN.encode(), encode(Story().add("run.start").events[0]))
    tailrace.publish_records(*[record] * 1100)  # more than the bus gives at once
    assert len(tailrace("tail", "-n", "7").stdout.splitlines()) == 7


def test_a_workflow_beyond_the_limit_of_topics_is_found_in_the_one_it_shares(tailrace):
    event = Story().add("log", {"level": "INFO", "message": "shared"}).events[0]
    tailrace.publish_records(Record(Topics("tailrace").overflow("research"), RUN.encode(), encode(event)))
    assert tailrace("tail", "research", "-o", "raw").stdout == "INFO shared\n"


def test_since_goes_by_the_time_at_which_the_bus_took_the_event(tailrace):
    tailrace.publish(finished())
    assert len(tailrace("tail", "--since", "1h").stdout.splitlines()) == len(finished().events)
    assert tailrace("tail", "--since", "2999-01-01T00:00:00Z").stdout == ""


def test_follow_prints_new_events_until_it_is_interrupted(tailrace):
    tailrace.publish(finished())
    following = tailrace.start("tail", "-f", "-n", "1", "-o", "raw")
    try:
        assert following.stdout.readline() == "completed\n"
        tailrace.publish(Story(OTHER).add("log", {"level": "INFO", "message": "later"}))
        assert following.stdout.readline() == "INFO later\n"
        following.send_signal(signal.SIGINT)
        out, error = following.communicate(timeout=20)
    finally:
        following.kill()
        following.communicate()
    assert (out, error, following.returncode) == ("", "", 130)  # what shells expect of Ctrl-C


def test_bytes_that_are_no_event_are_named_on_stderr_and_passed_over(tailrace):
    tailrace.publish(Story().add("log", {"level": "INFO", "message": "good"}))
    tailrace.publish_records(Record("tailrace.events.research", RUN.encode(), b"\x1b[2Jrubbish"))
    result = tailrace("tail", "-o", "raw")
    assert (result.returncode, result.stdout) == (0, "INFO good\n")
    assert "tailrace.events.research partition 0 offset 1: not an event" in result.stderr
    assert "\x1b" not in result.stderr
