"""From tailrace to `logging`: which records come, what they carry, and how they look as JSON."""

import io
import logging

import msgspec
import pytest

import tailrace
from tailrace import overrides
from tailrace.stdlib import ContextFilter, JsonFormatter, LoggingSink, TailraceHandler, WorkflowHook
from tests.logger.conftest import documents, log, spooled  # noqa: F401 - the fixture


class Listening(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


@pytest.fixture
def workflow():
    """What arrives under `tailrace.workflow`."""
    logger, handler = logging.getLogger("tailrace.workflow"), Listening()
    logger.addHandler(handler)
    logger.setLevel("DEBUG")
    yield handler.records
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def said(records):
    return [(record.levelname, record.getMessage()) for record in records]


def test_each_event_is_a_record_with_its_place(log, workflow):  # noqa: F811
    with LoggingSink().install():
        with log.run() as run, run.iteration(1) as iteration, iteration.interaction("planner", input="q") as turn:
            with turn.action("search", input={"q": 1}) as action:
                action.output = "r"
            log.log_action("chat", "hi", "ho")
            log.info("100% sure")
            log.log_error("boom", exc=ValueError("bad"))
        log.add_resource("s3://x")
    assert said(workflow) == [
        ("INFO", "Starting workflow support-bot"),
        ("INFO", "Starting iteration 1"),
        ("INFO", "Agent planner begins with data='q'"),
        ("DEBUG", "Agent planner starts search with data={'q': 1}"),
        ("DEBUG", "Agent planner ends an action with status success with output='r'"),
        ("DEBUG", "Agent planner performed chat with data='hi' with output='ho'"),
        ("INFO", "100% sure"),
        ("ERROR", "boom: ValueError: bad"),
        ("INFO", "Agent planner ends with status success"),
        ("INFO", "Ending iteration with status success"),
        ("INFO", "Workflow completed."),
        ("INFO", "Starting workflow support-bot"),
        ("INFO", "Resource s3://x"),
    ]
    events = spooled()
    assert [record.event_id for record in workflow] == [event.id for event in events]
    for record, event in zip(workflow, events, strict=True):
        for name in ("run", "workflow", "iteration", "interaction", "action", "agent"):
            assert getattr(record, name) == getattr(event, name)
        assert record.event_type == event.type
        assert record.data == msgspec.json.decode(event.data)
        assert record.name == "tailrace.workflow"


def test_a_level_of_the_logger_is_asked_before_anything_is_handed_on(log, workflow):  # noqa: F811
    logging.getLogger("tailrace.workflow").setLevel("ERROR")
    with LoggingSink():
        log.log_action("x")
        log.error("y")
    assert said(workflow) == [("ERROR", "y")]


def test_names_choose_what_a_sink_hands_on(log, workflow):  # noqa: F811
    with LoggingSink(agent="planner"):
        log.agent("planner").info("seen")
        log.agent("critic").info("unseen")
    assert said(workflow) == [("INFO", "seen")]


def test_a_removed_sink_hands_on_nothing(log, workflow):  # noqa: F811
    sink = LoggingSink().install().install()
    sink.remove()
    sink.remove()
    log.info("x")
    assert workflow == []


def test_secrets_are_masked_before_they_are_handed_on(log, workflow):  # noqa: F811
    with LoggingSink():
        log.log_action("login", {"password": "hunter2"})
    assert "hunter2" not in str([vars(record) for record in workflow])


def test_a_sink_sees_what_overrides_left(log, workflow):  # noqa: F811
    with LoggingSink(), tailrace.override(overrides.redact("message")), tailrace.override(overrides.drop, agent="x"):
        log.info("private")
        log.agent("x").info("dropped")
    assert said(workflow)[1:] == [("INFO", "[redacted]")]


def test_a_handler_that_raises_costs_its_record_and_not_the_event(log, workflow, capsys):  # noqa: F811
    class Broken(logging.Handler):
        def emit(self, record):
            raise OSError("disk full")

    broken = Broken()
    logging.getLogger("tailrace.workflow").addHandler(broken)
    try:
        with LoggingSink():
            log.info("x")
    finally:
        logging.getLogger("tailrace.workflow").removeHandler(broken)
    log.finalize()
    assert documents()[0]["counts"]["events"] == 3
    assert log.stats().overrides_failed == 2
    assert capsys.readouterr().err.count("disk full") == 1


def test_a_handler_that_logs_does_not_loop(log):  # noqa: F811
    """As one that sends over HTTP does, whose library logs each request."""
    inner = TailraceHandler()
    library = logging.Logger("library")  # noqa: LOG001
    library.addHandler(inner)

    class Sending(logging.Handler):
        def emit(self, record):
            library.warning("sent %s", record.getMessage())

    sending = Sending()
    logging.getLogger("tailrace.workflow").addHandler(sending)
    logging.getLogger("tailrace.workflow").setLevel("DEBUG")
    try:
        with LoggingSink(), log.run():
            log.info("x")
    finally:
        logging.getLogger("tailrace.workflow").removeHandler(sending)
        logging.getLogger("tailrace.workflow").setLevel(logging.NOTSET)
        inner.close()
    messages = sorted(line["message"] for document in documents() for line in document["logs"])
    assert messages == ["sent Starting workflow support-bot", "sent Workflow completed.", "sent x", "x"]


def formatted(record, **options):
    line = JsonFormatter(**options).format(record)
    assert "\n" not in line
    return msgspec.json.decode(line)


def failing_record():
    try:
        raise ValueError("first\nsecond")
    except ValueError as error:
        exc_info = (type(error), error, error.__traceback__)
    logger = logging.Logger("app")  # noqa: LOG001
    return logger.makeRecord(
        "app", 40, "/src/app.py", 7, "order %d", (17,), exc_info, extra={"days": 3, "level": "theirs", "odd": object()}
    )


def test_a_json_line_holds_the_record_its_extra_and_its_exception(log):  # noqa: F811
    record = failing_record()
    with log.run() as run, run.interaction("planner"):
        ContextFilter().filter(record)
    line = formatted(record)
    assert line["timestamp"].endswith("Z")
    assert (line["level"], line["logger"], line["message"]) == ("ERROR", "app", "order 17")
    assert (line["run"], line["workflow"], line["agent"]) == (run.run_id, "support-bot", "planner")
    assert (line["days"], line["extra_level"]) == (3, "theirs")
    assert "iteration" not in line
    assert (line["exception"]["type"], line["exception"]["message"]) == ("ValueError", "first\nsecond")
    assert "raise ValueError" in line["exception"]["traceback"]


def test_an_ecs_line_has_the_schemas_names_and_nothing_that_changes_a_mapping(log, workflow):  # noqa: F811
    with LoggingSink(), log.run() as run, run.interaction("planner"):
        log.log_action("search", {"any": {"depth": [1, {"x": 2}]}})
    action = next(record for record in workflow if record.event_type == "action")
    line = formatted(action, ecs=True)
    assert line["@timestamp"].endswith("Z")
    assert line["log.level"] == "debug"
    assert (line["trace.id"], line["span.id"]) == (run.run_id, action.interaction)
    assert (line["service.name"], line["event.action"]) == ("support-bot", "action")
    assert {name for name in line if name.startswith("labels.")} == {"labels.interaction", "labels.agent"}
    assert line["labels.agent"] == "planner"
    assert msgspec.json.decode(line["tailrace.data"])["input_data"] == {"any": {"depth": [1, {"x": 2}]}}
    assert all(isinstance(value, str | int) for value in line.values())

    failed = formatted(failing_record(), ecs=True)
    assert (failed["error.type"], failed["error.message"]) == ("ValueError", "first\nsecond")
    assert "raise ValueError" in failed["error.stack_trace"]
    assert (failed["labels.days"], failed["log.origin.file.line"]) == ("3", 7)
    assert all(isinstance(value, str | int) for value in failed.values())


@pytest.mark.parametrize("ecs", [False, True])
@pytest.mark.parametrize("arguments", [("%d", ("seven",)), ("\ud800", ()), (object(), ())])
def test_any_record_becomes_one_line(ecs, arguments):
    record = logging.Logger("x").makeRecord("x", 20, "f", 1, *arguments, None)  # noqa: LOG001
    assert formatted(record, ecs=ecs)["message"]


def test_the_hooks_own_example_gives_a_document_and_the_records_it_describes(log, workflow):  # noqa: F811
    hook = WorkflowHook("my_py_logging_workflow")
    hook.start_iteration(1)
    hook.log_interaction("agent_1", "process_data", {"foo": "bar"})
    hook.end_iteration("success")
    hook.finalize()
    (document,) = documents()
    assert (document["workflow_name"], document["final_status"]) == ("my_py_logging_workflow", "completed")
    (iteration,) = document["iterations"]
    assert (iteration["iteration_id"], iteration["status"]) == (1, "success")
    (turn,) = iteration["interactions"]
    assert turn["agent_name"] == "agent_1"
    assert [(each["action_name"], each["input_data"]) for each in turn["actions"]] == [("process_data", {"foo": "bar"})]
    assert document["integrity"]["complete"]
    *steps, (level, whole) = said(workflow)
    assert steps == [
        ("INFO", "Starting iteration 1"),
        ("DEBUG", "Agent agent_1 performed process_data with data={'foo': 'bar'}"),
        ("INFO", "Ending iteration with status success"),
        ("INFO", "Workflow completed."),
    ]
    assert level == "DEBUG"
    assert msgspec.json.decode(whole)["run_id"] == document["run_id"]
    assert workflow[1].run == document["run_id"]
    assert workflow[1].agent == "agent_1"


def test_the_hook_says_each_step_once_also_beside_an_installed_sink(log, workflow):  # noqa: F811
    logging.getLogger("tailrace.workflow").setLevel("INFO")
    with LoggingSink():
        hook = WorkflowHook("w")
        hook.start_iteration(1)
        hook.log_interaction("a", "b", {})
        hook.finalize()
    assert [message for _, message in said(workflow)] == ["Starting iteration 1", "Workflow completed."]


def test_the_hook_forgives_what_comes_out_of_order(log, workflow, capsys):  # noqa: F811
    hook = WorkflowHook("w")
    hook.finalize()
    assert hook.run_id is None
    hook.log_interaction("a", "b", 1)
    hook.end_iteration("success")
    first = hook.run_id
    hook.finalize("failed")
    hook.finalize()
    hook.start_iteration(1)
    hook.start_iteration(2)
    assert hook.run_id != first
    hook.finalize()
    failed, second = documents()
    assert failed["final_status"] == "failed"
    assert failed["interactions"][0]["actions"][0]["input_data"] == 1
    assert failed["logs"][0]["fields"] == {"status": "success"}
    assert [each["iteration_id"] for each in second["iterations"]] == [1, 2]
    assert capsys.readouterr().err.count("hint: ") == 1


def test_records_of_the_program_join_the_hooks_run(log):  # noqa: F811
    handler = TailraceHandler()
    app = logging.Logger("app")  # noqa: LOG001
    app.addHandler(handler)
    hook = WorkflowHook("w")
    hook.start_iteration(1)
    app.warning("inside")
    hook.finalize()
    (document,) = documents()
    assert document["logs"][0]["iteration"] == document["iterations"][0]["id"]


def test_a_stream_handler_prints_what_the_founding_example_prints(log):  # noqa: F811
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("%(levelname)s %(agent)s %(message)s"))
    logger = logging.getLogger("tailrace.workflow")
    logger.addHandler(handler)
    logger.setLevel("INFO")
    try:
        hook = WorkflowHook("w")
        hook.start_iteration(1)
        hook.end_iteration("success")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert out.getvalue() == "INFO  Starting iteration 1\nINFO  Ending iteration with status success\n"
