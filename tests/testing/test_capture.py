"""`tailrace.testing`: what a test of a program that logs can see."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

import tailrace
from tailrace import overrides
from tailrace.errors import ConfigError
from tailrace.logger import state
from tailrace.testing import FakeClock, capture_events
from tests.system.scripts import run


def test_what_is_logged_in_the_block_is_seen_as_events_data_and_documents():
    log = tailrace.get_logger("support-bot")
    with capture_events() as captured:
        assert captured.documents == []
        with log.run() as run, run.interaction("planner", input="q"):
            log.log_action("chat", "q", "a", tokens=3)
            log.info("line", n=1)
    assert [event.type for event in captured.events][:3] == ["run.start", "interaction.start", "action"]
    assert captured.data("action", agent="planner") == [
        {"action_name": "chat", "input_data": "q", "output_data": "a", "tokens": 3}
    ]
    assert captured.data("action", agent="critic") == []
    assert captured.document["workflow_name"] == "support-bot"
    assert captured.document["tokens"] == {"total": 3}
    assert captured.document["integrity"]["complete"]


def test_it_makes_no_files_and_no_threads(tmp_path):
    before = threading.enumerate()
    with capture_events(logs_dir="logs") as captured:
        log = tailrace.get_logger()
        log.info("x")
        log.finalize()
        assert threading.enumerate() == before
        assert log.stats().accepted == 3
        assert log.close() is True
    assert list(tmp_path.iterdir()) == []
    assert captured.document["state"] == "complete"


def test_configuring_inside_the_block_keeps_capturing(tmp_path):
    with capture_events() as captured:
        log = tailrace.configure_logger(workflow_name="other", verbosity="ERROR", logs_dir="logs", home="home")
        log.info("hidden")
        log.error("shown")
        log.finalize()
    assert captured.document["workflow_name"] == "other"
    assert [line["message"] for line in captured.document["logs"]] == ["shown"]
    assert list(tmp_path.iterdir()) == []


def test_after_the_block_recorder_run_and_clock_are_those_of_before():
    state.reset()
    with capture_events() as outer:
        log = tailrace.get_logger()
        with log.run() as run:
            with capture_events(clock=FakeClock()) as inner:
                log.info("inside")
            assert log.run_id == run.run_id
            with run.interaction("a") as turn, turn.action("b"):
                log.info("outside")
    assert [line["message"] for line in inner.document["logs"]] == ["inside"]
    assert [line["message"] for line in outer.document["logs"]] == ["outside"]
    assert outer.document["run_id"] == run.run_id
    assert outer.document["start_time"] > "2026-01-02"
    assert state._recorder is None


def test_an_error_in_the_block_ends_it_all_the_same():
    with pytest.raises(ZeroDivisionError), capture_events():
        1 / 0  # noqa: B018
    assert state._make_recorder is state.Recorder


def test_threads_and_redaction_are_as_ever():
    with capture_events() as captured:
        log = tailrace.get_logger()
        threads = [threading.Thread(target=log.info, args=("x",), kwargs={"password": "p"}) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(captured.documents) == 8
    assert captured.data("log") == [{"level": "INFO", "message": "x", "fields": {"password": "[redacted]"}}] * 8


def test_a_wrong_setting_is_an_error():
    with pytest.raises(ConfigError, match="verbosty"), capture_events(verbosty="INFO"):
        pass


def test_one_document_is_asked_for_and_there_are_none_or_two():
    with capture_events() as captured:
        with pytest.raises(LookupError, match=r"there are 0$"):
            captured.document  # noqa: B018
        for name in ("a", "b"):
            with tailrace.get_logger(name).run():
                pass
        with pytest.raises(LookupError, match=r"there are 2: a .*, b "):
            captured.document  # noqa: B018
        captured.clear()
        assert captured.events == []


def test_the_clock_gives_times_and_durations(tailrace_events, tailrace_clock):
    @tailrace.action
    def slow():
        tailrace_clock.advance(1.5)

    with tailrace.get_logger().run():
        slow()
        tailrace_clock.advance(3600)
    document = tailrace_events.document
    assert (document["start_time"], document["end_time"]) == (
        "2026-01-01T00:00:00.000000Z",
        "2026-01-01T01:00:01.500000Z",
    )
    assert document["actions"][0]["duration_ms"] == 1500
    assert tailrace_clock.now == datetime(2026, 1, 1, 1, 0, 1, 500_000, tzinfo=UTC)


def test_a_clock_without_a_time_zone_is_refused():
    with pytest.raises(ValueError, match="has no time zone"):
        FakeClock(datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.anyio
async def test_flush_drain_and_stats_answer_in_the_block(tailrace_events):
    log = tailrace.get_logger()
    log.info("x")
    await log.drain()
    for level in ("process", "disk", "broker"):
        assert (await log.flush(level)).reached
    assert log.stats().dropped == {}


def test_what_is_captured_has_passed_the_overrides(tmp_path):
    copies = tmp_path.parent / "copies.jsonl"
    with (
        tailrace.override(overrides.redact("input_data"), action="pay"),
        tailrace.override(overrides.drop, action="heartbeat"),
        tailrace.override(overrides.tee("sqlite:///copies.db")),
        capture_events() as captured,
        tailrace.override(overrides.tee(copies), action="pay"),
        tailrace.get_logger().run() as run,
    ):
        run.log_action("pay", {"amount": 3})
        run.log_action("heartbeat")
        assert tailrace.get_logger().stats().dropped == {"override:drop": 1}
    assert captured.data("action") == [{"action_name": "pay", "input_data": "[redacted]"}]
    assert captured.document["integrity"]["dropped"] == {"override:drop": 1}
    assert len(copies.read_bytes().splitlines()) == 1
    assert list(tmp_path.iterdir()) == [], "copies for another bus go nowhere"


def test_an_override_of_before_works_again_after_the_block():
    state.reset()
    tailrace.configure_logger(publish="external")
    with tailrace.get_logger().run() as run:
        with capture_events():
            undo = tailrace.override(overrides.drop, action="heartbeat")
        run.log_action("heartbeat")
        assert tailrace.get_logger().stats().dropped == {"override:drop": 1}
        with capture_events() as captured:
            undo.remove()
            with tailrace.get_logger().run() as inner:
                inner.log_action("heartbeat")
        run.log_action("heartbeat")
    assert len(captured.data("action")) == 1
    assert tailrace.get_logger().stats().dropped == {"override:drop": 1}
    state.reset()


def test_configuring_inside_changes_the_settings_of_the_block_and_none_outside(capsys):
    state.reset()
    tailrace.configure_logger("outside", verbosity="ERROR", publish="external")
    with capture_events(verbosity="DEBUG") as captured:
        log = tailrace.configure_logger("inside")
        with log.run():
            log.debug("seen")
    assert captured.document["workflow_name"] == "inside"
    assert captured.data("log") == [{"level": "DEBUG", "message": "seen"}]
    tailrace.configure_logger(logs_dir="logs")
    config = state.recorder().config
    assert (config.workflow_name, config.verbosity, config.logs_dir) == ("outside", "ERROR", "logs")
    assert capsys.readouterr().err == (
        "tailrace: configure_logger was called again and changed logs_dir from None to logs\n"
    )
    state.reset()


def test_configuring_alike_twice_inside_says_nothing(capsys):
    with capture_events():
        for _ in range(2):
            tailrace.configure_logger("inside", logs_dir="logs")
    assert capsys.readouterr().err == ""


def test_a_run_left_open_in_a_block_is_gone_after_it_also_at_exit():
    code, out, err = run(
        "import logging, pathlib, tailrace\n"
        "from tailrace.stdlib import TailraceHandler\n"
        "from tailrace.testing import capture_events\n"
        "logging.getLogger().addHandler(TailraceHandler())\n"
        "for _ in range(2):\n"
        "    with capture_events() as captured:\n"
        "        tailrace.AgentLogger('hidden').info('a')\n"
        "        tailrace.get_workflow_logger().start_iteration(1)\n"
        "    with capture_events() as of_logging:\n"
        "        logging.getLogger('lib').warning('b')\n"
        "    print(*(len(each.documents) for each in (captured, of_logging)), of_logging.events[0].type)\n"
        "logging.shutdown()\n"
        "print(pathlib.Path('.tailrace').exists())\n"
    )
    assert (code, err) == (0, "")
    assert out == "1 1 run.start\n1 1 run.start\nFalse\n"
    assert not Path(".tailrace").exists()
