"""Commands that operate the pipeline: consume, ship, topics, doctor; and the demo, which uses all of it."""

import json
import signal
import subprocess
import sys

import pytest

from tailrace.config import SpoolSettings
from tailrace.spool.append import Spool, SpoolFullError
from tailrace.spool.directory import all_in
from tailrace.spool.frame import NO_SPAN, pack
from tests.cli.story import RUN, finished

UNREACHABLE = "kafka://127.0.0.1:1"  # port 1 is refused at once

KILLED = """
import os, signal, tailrace
log = tailrace.get_logger("research")
with log.run() as run:
    log.info("before the kill")
    print(run.run_id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_program(tailrace):
    """A program that logged and was killed before anything of it was shipped; its run id."""
    environment = {**tailrace.environment, "TAILRACE_PUBLISH": "external"}
    run = subprocess.run(
        [sys.executable, "-c", KILLED],
        cwd=tailrace.directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    return run.stdout.strip()


def test_ship_brings_what_a_killed_program_logged_to_the_bus(tailrace):
    killed_program(tailrace)
    result = tailrace("ship")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.endswith("of 1 spool\n")
    assert "before the kill" in tailrace("tail", "-o", "raw").stdout
    assert tailrace("ship").stdout == "shipped 0 records of 0 spools\n"
    assert list(tailrace.config.spool_path.iterdir()) == []


def test_ship_fails_and_keeps_the_spool_where_the_bus_is_away(tailrace):
    killed_program(tailrace)
    result = tailrace("ship", TAILRACE_BUS=UNREACHABLE)
    assert result.returncode == 1
    assert "left on the spool" in result.stderr
    assert tailrace("ship").stdout.endswith("of 1 spool\n")


def test_reading_commands_show_what_a_killed_program_logged(tailrace):
    run_id = killed_program(tailrace)
    (summary,) = [json.loads(line) for line in tailrace("runs", "-o", "json").stdout.splitlines()]
    assert (summary["run_id"], summary["final_status"]) == (run_id, "abandoned")
    assert "before the kill" in tailrace("show", run_id).stdout


def test_a_store_that_cannot_be_brought_up_to_date_is_shown_as_it_is(tailrace):
    tailrace.store(finished())
    tailrace.home.joinpath("reading.lock").mkdir()
    result = tailrace("runs")
    assert result.returncode == 0
    assert RUN[-8:] in result.stdout
    assert result.stderr.startswith("tailrace: showing what is stored; not brought up to date: ")
    assert result.stderr.count("\n") == 1


def test_many_readers_at_once_see_the_same(tailrace):
    tailrace.publish(finished())
    readers = [tailrace.start("runs", "-o", "json") for _ in range(3)]
    shown = [reader.communicate(timeout=60) for reader in readers]
    assert [reader.returncode for reader in readers] == [0, 0, 0]
    assert len(set(shown)) == 1
    assert RUN in shown[0][0]


def test_topics_are_made_once_and_listed(tailrace):
    made = tailrace("topics", "apply", "research", "Support Bot").stdout.splitlines()
    assert [line.split()[0] for line in made] == ["created"] * 6
    names = [line.split()[1] for line in made]
    assert names[0] == "tailrace.events.research"
    assert names[1].startswith("tailrace.events.support-bot-")
    assert names[-2:] == ["tailrace.documents", "tailrace.dead"]
    assert {line.split()[0] for line in tailrace("topics", "apply", "research").stdout.splitlines()} == {"exists"}
    listed = [json.loads(line) for line in tailrace("topics", "list", "-o", "json").stdout.splitlines()]
    assert {info["name"] for info in listed} == set(names)
    assert tailrace("topics", "list").stdout.splitlines()[0].split() == ["topic", "partitions", "records"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_consume_runs_the_stages_until_a_signal_and_ends_in_order(tailrace, number):
    tailrace.publish(finished())
    consuming = tailrace.start("consume", "all")
    try:
        wanted = {"sample: 14", "aggregate: 14", "index: "}
        said = [consuming.stderr.readline() for _ in range(3)]
        assert all(line.startswith("tailrace: ") for line in said)
        tailrace.wait_for_run(RUN)
        consuming.send_signal(number)
        out, error = consuming.communicate(timeout=20)
    finally:
        consuming.kill()
    assert (consuming.returncode, out) == (0, "")
    assert all(any(text in line for line in error.splitlines()) for text in wanted), error


def test_consume_stops_with_one_line_where_it_cannot_go_on(tailrace):
    tailrace.home.mkdir()
    (tailrace.home / "tailrace.db").write_bytes(b"this is no database" * 100)
    result = tailrace("consume", "all")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "tailrace.db" in result.stderr.splitlines()[-1]


def test_doctor_is_content_with_the_defaults_and_makes_no_file(tailrace):
    result = tailrace("doctor")
    assert result.returncode == 0
    assert {line.split()[0] for line in result.stdout.splitlines()} == {"ok"}
    assert list(tailrace.directory.iterdir()) == []


def test_doctor_tells_each_setting_and_where_it_came_from_but_no_password(tailrace):
    (tailrace.directory / "tailrace.toml").write_text("[topics]\npartitions = 3\n")
    result = tailrace("doctor", TAILRACE_BUS="kafka://u:hunter2@127.0.0.1:1?sasl_password=hunter2")
    assert (result.returncode, result.stderr) == (1, "")
    assert "topics.partitions = 3  from" in result.stdout
    assert "tailrace.toml" in result.stdout
    assert "from environment variable TAILRACE_BUS" in result.stdout
    assert "hunter2" not in result.stdout + result.stderr


def test_doctor_finds_an_orphan_and_the_fix_helps(tailrace):
    killed_program(tailrace)
    before = tailrace("doctor")
    assert before.returncode == 0
    (warning,) = [line for line in before.stdout.splitlines() if line.startswith("warn")]
    assert "dead" in warning
    assert "fix: tailrace ship" in before.stdout
    assert tailrace("ship").returncode == 0
    assert "warn" not in tailrace("doctor").stdout


def test_doctor_names_a_spool_that_a_newer_version_left(tailrace):
    killed_program(tailrace)
    (directory,) = all_in(tailrace.home / "spool")
    first = directory.segment(1)
    first.write_bytes(b"TRF\x03" + first.read_bytes()[4:])
    result = tailrace("doctor")
    assert f"{directory.producer}: written by a newer tailrace" in result.stdout
    assert "fix: upgrade tailrace here" in result.stdout


def fill(spool):
    for seq in range(1000):
        spool.append(pack(seq, "tailrace.events.w", b"k" * 32, NO_SPAN, b"v" * 100))


def test_doctor_fails_on_the_full_spool_of_a_live_process_and_says_what_helps(tailrace):
    spool = Spool(tailrace.home / "spool", "p1", SpoolSettings(segment_bytes=4096, max_bytes=40_000), "internal")
    try:
        with pytest.raises(SpoolFullError):
            fill(spool)
        result = tailrace("doctor", TAILRACE_SPOOL__MAX_BYTES="36000")
    finally:
        spool.release()
    assert result.returncode == 1
    assert "full, so that its process drops and counts new events" in result.stdout
    assert "TAILRACE_SPOOL__MAX_BYTES" in result.stdout


def test_doctor_fails_where_the_bus_or_the_store_is_away(tailrace):
    result = tailrace("doctor", TAILRACE_BUS=UNREACHABLE, TAILRACE_STORE="opensearch://127.0.0.1:1")
    assert result.returncode == 1
    failed = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("FAIL")]
    assert failed == ["bus", "store"]
    assert result.stdout.count("fix: ") == 2
    assert result.stderr == ""


def test_doctor_fails_where_the_spool_cannot_be_written(tailrace):
    tailrace.home.mkdir()
    (tailrace.home / "spool").write_text("a file in its place")
    result = tailrace("doctor")
    assert result.returncode == 1
    assert "FAIL spool" in result.stdout


def test_doctor_shows_a_wrong_setting_as_a_failure(tailrace):
    result = tailrace("doctor", TAILRACE_SAMPLE__RATE="7")
    assert result.returncode == 1
    assert result.stdout.startswith("FAIL settings")
    assert "TAILRACE_SAMPLE__RATE" in result.stdout


def test_the_demo_shows_its_run_and_commands_that_work(tailrace):
    result = tailrace("demo")
    assert (result.returncode, result.stderr) == (0, "")
    assert "research-team  completed" in result.stdout
    assert "3 agents  5 actions  1 error  635 tokens  $0.0055" in result.stdout
    assert "TimeoutError: prices.example did not answer" in result.stdout
    assert "note:" not in result.stdout
    commands = [line.split("   ")[0].split() for line in result.stdout.split("next:\n")[1].splitlines()]
    assert len(commands) == 3
    for command in commands[:2]:
        assert command[0] == "tailrace"
        again = tailrace(*command[1:])
        assert (again.returncode, again.stderr) == (0, "")
        assert "research-team" in again.stdout


def test_the_demo_without_a_bus_says_where_the_run_is(tailrace):
    result = tailrace("demo", TAILRACE_BUS=UNREACHABLE, TAILRACE_EXIT_TIMEOUT="0")
    assert (result.returncode, result.stdout) == (1, "")
    assert "is on the spool" in result.stderr
    assert "tailrace doctor" in result.stderr
