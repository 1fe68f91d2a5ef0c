"""What decorated functions, carried places and overrides are to the standard library, and the reverse."""

import logging
import threading

import pytest

import tailrace
from tailrace import overrides
from tailrace.stdlib import LoggingSink, TailraceHandler
from tailrace.testing import capture_events


@pytest.fixture
def lib():
    logger, handler = logging.getLogger("lib"), TailraceHandler()
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)
    handler.close()


@tailrace.agent("planner")
def plan(lib, question):
    lib.warning("before the tool")
    yield pay(lib, 3, card="4111")
    lib.warning("after the tool")


@tailrace.action("pay")
def pay(lib, amount, card):
    lib.warning("in the tool")
    return amount


@tailrace.workflow("support-bot")
def answer(lib):
    return [item for item in plan(lib, "q") if lib.warning("between items") or item]


def test_records_of_libraries_stand_where_the_decorated_call_is_that_they_are_made_in(tailrace_events, lib):
    assert answer(lib) == [3]
    document = tailrace_events.document
    (turn,) = document["interactions"]
    (tool,) = turn["actions"]
    found = [(line["message"], line.get("interaction"), line.get("action")) for line in document["logs"]]
    assert found == [
        ("before the tool", turn["id"], None),
        ("in the tool", turn["id"], tool["id"]),
        ("between items", None, None),
        ("after the tool", turn["id"], None),
    ]


def test_overrides_match_decorated_calls_by_workflow_agent_and_action(tailrace_events, lib):
    with (
        tailrace.override(overrides.redact("input_data"), workflow="support-*", agent="planner", action="pay"),
        tailrace.override(overrides.drop, action="other"),
        tailrace.override(overrides.level("ERROR"), action="pay"),
    ):
        answer(lib)
    (turn,) = tailrace_events.document["interactions"]
    (tool,) = turn["actions"]
    assert (tool["input_data"], tool["output_data"]) == ("[redacted]", 3)
    assert turn["input_data"]["question"] == "q"
    assert "in the tool" not in [line["message"] for line in tailrace_events.document["logs"]]


def test_decorated_calls_are_records_of_the_workflow_logger_with_their_place(caplog):
    caplog.set_level("DEBUG", "tailrace.workflow")
    with LoggingSink(), capture_events() as captured:
        answer(logging.getLogger("unheard"))
    (turn,) = captured.document["interactions"]
    said = {record.event_type: record for record in caplog.records if hasattr(record, "event_type")}
    assert said["action.start"].getMessage().startswith("Agent planner starts pay with data={")
    assert (said["action.end"].interaction, said["action.end"].workflow) == (turn["id"], "support-bot")
    assert {record.run for record in said.values()} == {captured.document["run_id"]}


def test_records_made_in_a_wrapped_thread_or_in_a_callers_place_join_that_run(tailrace_events, lib):
    with tailrace.get_logger("support-bot").run() as run, run.interaction("planner"):
        thread = threading.Thread(target=tailrace.wrap(lib.warning), args=("in a thread",))
        thread.start()
        thread.join()
        headers = tailrace.inject()
    with tailrace.extract(headers):
        lib.warning("from a caller")
    document = tailrace_events.document
    (turn,) = document["interactions"]
    assert [(line["message"], line["interaction"], line["agent"]) for line in document["logs"]] == [
        ("in a thread", turn["id"], "planner"),
        ("from a caller", turn["id"], "planner"),
    ]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_exception_that_leaves_a_decorated_call_and_then_its_thread_is_one_error_of_the_run(tailrace_events):
    @tailrace.action
    def fails():
        raise LookupError("no such order")

    with tailrace.install(), tailrace.get_logger("support-bot").run():
        thread = threading.Thread(target=tailrace.wrap(fails))
        thread.start()
        thread.join()
    (error,) = tailrace_events.document["errors"]
    assert (error["error_msg"], error["exception"]["message"]) == ("LookupError in action", "no such order")
