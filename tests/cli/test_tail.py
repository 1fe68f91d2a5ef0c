import json
import os
import signal
import subprocess
import sys

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


def agents_story(run, pid="p1"):
    story = Story(run, pid=pid)
    story.add("run.start")
    story.add("log", {"level": "INFO", "message": "of the run"})
    for agent in ("planner", "critic"):
        story.add("log", {"level": "INFO", "message": f"{agent} of {run[-1]}\nsecond line"}, agent=agent)
    return story


def test_all_agents_begins_each_line_with_the_agent_and_leaves_out_what_none_said(tailrace):
    tailrace.publish(agents_story(RUN))
    raw = tailrace("tail", "--all-agents", "-o", "raw").stdout
    assert raw.splitlines() == [
        "[planner] INFO planner of d",
        "[planner] second line",
        "[critic] INFO critic of d",
        "[critic] second line",
    ]
    lines = tailrace("tail", "--all-agents").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["[planner]", "[critic]"]
    assert lines[0].count("planner") == 2  # in front, and in what it said
    assert len(tailrace("tail", "--all-agents", "-a", "critic").stdout.splitlines()) == 1


def test_previous_gives_the_run_before_the_latest_in_which_the_agent_spoke(tailrace):
    first, second, third = (f"0190a1b2c3d4700080000000000000{number}{number}" for number in (1, 2, 3))
    last = Story("0190a1b2c3d470008000000000000044").add("log", {"level": "INFO", "message": "no agent"})
    tailrace.publish(agents_story(third), agents_story(first), agents_story(second), last)
    previous = tailrace("tail", "-a", "critic", "--previous", "-o", "raw").stdout
    assert previous == "INFO critic of 2\nsecond line\n"
    assert len(tailrace("tail", "--previous", "-n", "3").stdout.splitlines()) == 3
    assert tailrace("tail", "--previous", "-n", "0").stdout == ""
    alone = tailrace("tail", "-a", "nobody", "--previous")
    assert (alone.returncode, alone.stdout) == (0, "")
    assert "no run before the latest" in alone.stderr
    refused = tailrace("tail", "--previous", "-f")
    assert refused.returncode == 2
    assert "leave out --follow" in refused.stderr


AGENT = """
import sys, tailrace
log = tailrace.get_logger("joint")
if len(sys.argv) == 1:
    import subprocess
    with log.run() as run, run.interaction("planner"):
        log.info("in the first process")
        place = tailrace.inject()["tracestate"], tailrace.inject()["traceparent"], tailrace.inject()["baggage"]
        subprocess.run([sys.executable, __file__, *place], check=True)
else:
    with tailrace.extract(dict(zip(("tracestate", "traceparent", "baggage"), sys.argv[1:]))):
        log.agent("planner").info("in the second process")
        log.agent("critic").info("unheard")
"""


def test_follow_with_an_agent_follows_it_across_processes(tailrace, tmp_path):
    tailrace.publish(finished())
    (tmp_path / "agent.py").write_text(AGENT)
    following = tailrace.start("tail", "joint", "-a", "planner", "-f", "--since", "2000-01-01T00:00:00Z", "-o", "raw")
    try:
        subprocess.run([sys.executable, "agent.py"], cwd=tmp_path, env=tailrace.environment, check=True, timeout=60)
        told = [following.stdout.readline().strip() for _ in range(4)]
    finally:
        following.kill()
        following.communicate()
    assert sorted(told) == ["", "INFO in the first process", "INFO in the second process", "success"]
