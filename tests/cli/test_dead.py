"""Dead letters, from a record that nobody can read to its redriving."""

import json

import pytest

from tailrace.bus import Record
from tailrace.bus.topics import Topics
from tailrace.event import encode
from tests.cli.conftest import InThisProcess
from tests.cli.story import RUN, finished

TOPICS = Topics("tailrace")
EVENTS = TOPICS.events("research")
NONSENSE = b"\x1b[31mno event"


def listed(tailrace, *options):
    result = tailrace("dead", "list", "-o", "json", *options)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def with_nonsense(quick):
    quick.publish_records(Record(EVENTS, b"k", NONSENSE, (("traceparent", b"00-1"),)))
    return quick


def test_a_record_that_nobody_can_read_is_listed_with_where_from_and_why(with_nonsense):
    (letter,) = listed(with_nonsense)
    assert letter.pop("error")
    assert letter.pop("time").endswith("Z")
    assert letter == {
        "letter": "0:0",
        "stage": "sample",
        "topic": EVENTS,
        "partition": 0,
        "offset": 0,
        "key": "k",
        "bytes": len(NONSENSE),
        "redriven": 0,
    }
    assert len(listed(with_nonsense, "--stage", "sample", "--topic", "tailrace.events.*", "--since", "1h")) == 1
    for others in (["--stage", "index"], ["--topic", TOPICS.documents], ["--since", "2999-01-01"]):
        assert listed(with_nonsense, *others) == []
    table = with_nonsense("dead", "list").stdout.splitlines()
    assert table[0].split() == ["letter", "given", "up", "stage", "from", "size", "error"]
    assert f"{EVENTS} 0:0" in table[1]


def test_a_letter_is_shown_whole_and_harmless_to_a_terminal(with_nonsense):
    shown = with_nonsense("dead", "show", "0:0")
    assert shown.returncode == 0
    assert "\x1b" not in shown.stdout
    assert "no event" in shown.stdout
    letter = json.loads(with_nonsense("dead", "show", "0:0", "-o", "json").stdout)
    assert letter["value"] == NONSENSE.decode()
    assert letter["headers"] == {"traceparent": "00-1"}


def test_a_letter_that_is_not_there_fails_and_says_where_to_look(with_nonsense):
    for command in (["show", "7:7"], ["redrive", "7:7"]):
        result = with_nonsense("dead", *command)
        assert result.returncode == 1
        assert result.stderr == "tailrace: no dead letter is named '7:7'; `tailrace dead list` names them\n"


def test_without_dead_letters_it_says_so(quick):
    quick.publish(finished())
    assert quick("dead", "list").stderr == "tailrace: no dead letters\n"
    assert quick("dead", "redrive", "--all").stderr == "tailrace: no dead letter is to be sent back\n"


def test_redriving_asks_which(with_nonsense):
    result = with_nonsense("dead", "redrive")
    assert result.returncode == 2
    assert "--all" in result.stderr


def test_what_dies_again_is_known_and_left_alone_by_the_next_redriving(with_nonsense):
    assert with_nonsense("dead", "redrive", "--all").stdout == f"1 letter sent back to {EVENTS}\n"
    assert [letter["redriven"] for letter in listed(with_nonsense)] == [1, 0]
    again = with_nonsense("dead", "redrive", "--all")
    assert (again.returncode, again.stdout) == (0, "")
    assert "1 record died again after redriving" in again.stderr
    assert with_nonsense("dead", "redrive", "--all", "--again").returncode == 0
    assert [letter["redriven"] for letter in listed(with_nonsense)] == [2, 1, 0]


def test_a_redriven_event_completes_its_run_and_twice_changes_nothing(quick):
    *others, last = finished().events
    told = {"tr-topic": EVENTS, "tr-partition": "0", "tr-offset": "99", "tr-stage": "sample", "tr-error": "a bug"}
    headers = tuple((name, text.encode()) for name, text in told.items())
    quick.publish_records(
        *(Record(EVENTS, e.run.encode(), encode(e)) for e in others),
        Record(TOPICS.dead, last.run.encode(), encode(last), headers),
    )
    assert not json.loads(quick("show", RUN, "-o", "json").stdout)["integrity"]["complete"]
    tried = quick("dead", "redrive", "--stage", "sample", "--dry-run")
    assert tried.stdout == f"1 letter would go back to {EVENTS}\n"
    assert quick("dead", "redrive", "0:0").returncode == 0
    whole = quick("show", RUN, "-o", "json").stdout
    assert json.loads(whole)["integrity"]["complete"]
    assert quick("dead", "redrive", "--all").returncode == 0
    assert quick("show", RUN, "-o", "json").stdout == whole


def test_what_does_not_come_from_a_topic_of_the_prefix_or_has_no_value_stays(quick):
    quick.publish_records(
        Record(TOPICS.dead, b"1", b"v", (("tr-topic", b"payroll"),)),
        Record(TOPICS.dead, b"2", b"v", (("tr-topic", TOPICS.dead.encode()),)),
        Record(TOPICS.dead, b"3", b"", (("tr-topic", EVENTS.encode()), ("tr-size", b"2000000"))),
        Record(TOPICS.dead, b"4", b"v"),
    )
    result = quick("dead", "redrive", "--all")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count("it stays") == 4
    assert "1.9 MiB" in result.stderr
    topics = [json.loads(line)["name"] for line in quick("topics", "list", "-o", "json").stdout.splitlines()]
    assert "payroll" not in topics


def test_letters_are_listed_and_redriven_on_kafka(tmp_path, capfd, kafka_url, prefix):
    tailrace = InThisProcess(tmp_path, capfd, bus=kafka_url, prefix=prefix)
    topics = Topics(prefix)
    told = (("tr-topic", topics.events("w").encode()), ("tr-stage", b"sample"))
    tailrace.publish_records(*(Record(topics.dead, b"k%d" % n, b"v%d" % n, told) for n in range(3)))
    letters = listed(tailrace)
    assert {letter["key"] for letter in letters} == {"k0", "k1", "k2"}
    assert tailrace("dead", "redrive", letters[0]["letter"]).returncode == 0
    assert tailrace("dead", "redrive", "--all").stdout == f"3 letters sent back to {topics.events('w')}\n"
    infos = map(json.loads, tailrace("topics", "list", "-o", "json").stdout.splitlines())
    assert {info["name"]: info["records"] for info in infos} == {topics.dead: 3, topics.events("w"): 4}
