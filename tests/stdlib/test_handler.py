"""From `logging` to tailrace: what becomes of a LogRecord, and that none is lost, doubled or sent in circles."""

import asyncio
import logging
import logging.config
import logging.handlers
import pickle
import queue
import threading

import pytest

import tailrace
from tailrace.stdlib import ContextFilter, TailraceHandler
from tests.logger.conftest import documents, log, spooled  # noqa: F401 - the fixture
from tests.stdlib.both_ways import both_ways
from tests.system.scripts import run

TRACE = 5


@pytest.fixture
def app(log):  # noqa: F811
    """A program's logger with nothing but a TailraceHandler; one that pytest, which listens to all, does not know."""
    handler = TailraceHandler()
    logger = logging.Logger("app", level=1)  # noqa: LOG001
    logger.addHandler(handler)
    yield logger
    handler.close()


def lines():
    return [line for document in documents() for line in document["logs"]]


def test_a_record_is_a_log_line_of_the_current_run(app, log):  # noqa: F811
    with log.run() as current, current.interaction("planner") as turn:
        app.warning("order %d of %s is late", 17, "ann", extra={"days": 3, "carrier": {"name": "x"}})
        assert turn
    (document,) = documents()
    (line,) = document["logs"]
    assert (line["level"], line["message"], line["agent"]) == ("WARNING", "order 17 of ann is late", "planner")
    assert line["interaction"] == document["interactions"][0]["id"]
    source = line["fields"].pop("source")
    assert source.startswith("test_handler.py:")
    assert line["fields"] == {
        "logger": "app",
        "template": "order %d of %s is late",
        "days": 3,
        "carrier": {"name": "x"},
    }


def test_an_error_with_an_exception_stands_among_the_runs_errors(app, log):  # noqa: F811
    with log.run():
        try:
            {}["missing"]
        except KeyError:
            app.exception("lookup failed")
            app.warning("tried again", exc_info=True)
    (document,) = documents()
    (error,) = document["errors"]
    assert error["error_msg"] == "lookup failed"
    assert (error["exception"]["type"], error["exception"]["message"]) == ("KeyError", "'missing'")
    assert '{}["missing"]' in error["exception"]["traceback"]
    (line,) = document["logs"]
    assert line["fields"]["exception"]["type"] == "KeyError"


@pytest.mark.parametrize(
    ("number", "level"),
    [(10, "DEBUG"), (20, "INFO"), (25, "INFO"), (30, "WARNING"), (35, "WARNING"), (40, "ERROR"), (99, "CRITICAL")],
)
def test_levels_map_to_the_next_lower_one(app, number, level):
    tailrace.configure_logger(verbosity="DEBUG")
    app.log(number, "x")
    app.log(TRACE, "fine")
    first, second = lines()
    assert first["level"] == level
    assert first["fields"].get("level_name", level) == logging.getLevelName(number)
    assert (second["level"], second["fields"]["level_name"]) == ("DEBUG", "Level 5")


def test_the_verbosity_holds_for_records_too(app):
    app.debug("hidden")
    app.info("shown")
    assert [line["message"] for line in lines()] == ["shown"]


def test_an_adapter_adds_its_fields(app):
    logging.LoggerAdapter(app, {"tenant": "acme"}).info("x")
    assert lines()[0]["fields"]["tenant"] == "acme"


def test_extra_that_is_called_like_a_field_of_ours_is_kept_beside_it(app):
    app.info("x", extra={"logger": "theirs", "source": "theirs"})
    fields = lines()[0]["fields"]
    assert fields["logger"] == "app"
    assert (fields["extra_logger"], fields["extra_source"]) == ("theirs", "theirs")


class Hostile:
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


class Talking:
    def __init__(self, logger):
        self.logger = logger

    def __str__(self):
        self.logger.info("%s talks", self)
        return "talking"


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("%d", ("seven",)),
        ("%s %s", ("one",)),
        ("no place", ("left over",)),
        ("%s", (Hostile(),)),
        (Hostile(), ()),
        ("%(a)s", ({"b": 1},)),
        (b"bytes", ()),
        ({"a": "dict"}, ()),
        ("\ud800 %s", ("\ud800",)),
    ],
)
def test_no_record_is_lost_or_raises_whatever_is_in_it(app, message, arguments, capsys):
    app.info(message, *arguments)
    assert len(lines()) == 1
    assert capsys.readouterr().err == ""


def test_arguments_that_do_not_fit_their_format_are_kept(app):
    app.info("%d items", "seven")
    (line,) = lines()
    assert line["message"] == "%d items"
    assert line["fields"]["args"] == ["seven"]
    assert "TypeError" in line["fields"]["format_error"]


def test_an_argument_that_logs_itself_ends(app):
    app.info("%s", Talking(app))
    assert [line["message"] for line in lines()] == ["%s talks", "talking"]


def test_what_happens_outside_a_run_goes_to_one_run_that_the_handler_ends(app, log):  # noqa: F811
    app.info("before")
    with log.run():
        app.info("inside")
    thread = threading.Thread(target=app.info, args=("elsewhere",))
    thread.start()
    thread.join()
    (handler,) = app.handlers
    handler.close()
    found = {document["run_id"]: document for document in documents()}
    outside, inside = found.values()
    assert [line["message"] for line in outside["logs"]] == ["before", "elsewhere"]
    assert [line["message"] for line in inside["logs"]] == ["inside"]
    assert (outside["final_status"], outside["fields"]) == ("completed", {"opened_by": "logging"})
    app.info("after")
    assert len(documents()) == 3


def test_what_tailrace_says_itself_is_not_recorded(app):
    handler = app.handlers[0]
    ours = [logging.getLogger("tailrace"), logging.getLogger("tailrace.workflow")]
    for logger in ours:
        logger.addHandler(handler)
        logger.warning("own")
        logger.removeHandler(handler)
    logging.getLogger("tailraceful").addHandler(handler)
    logging.getLogger("tailraceful").warning("theirs")
    logging.getLogger("tailraceful").removeHandler(handler)
    publisher = threading.Thread(target=app.warning, args=("from our thread",), name="tailrace-publisher")
    publisher.start()
    publisher.join()
    assert [line["message"] for line in lines()] == ["theirs"]


def test_loggers_that_are_ignored_are_ignored_with_those_below(log):  # noqa: F811
    handler = TailraceHandler(ignore=["urllib3"])
    for name in ("urllib3", "urllib3.connectionpool", "urllib33"):
        record = logging.makeLogRecord({"name": name, "levelno": 30, "levelname": "WARNING", "msg": name})
        assert handler.handle(record)
    handler.close()
    assert [line["message"] for line in lines()] == ["urllib33"]


def test_a_record_that_meets_two_handlers_is_one_event(app):
    second = TailraceHandler()
    app.addHandler(second)
    app.info("once")
    app.removeHandler(second)
    assert len(lines()) == 1


@pytest.mark.parametrize("is_late", [False, True])
def test_a_queue_keeps_the_place_where_a_record_was_made(app, log, is_late):  # noqa: F811
    (direct,) = app.handlers
    records = queue.SimpleQueue()
    queued = logging.handlers.QueueHandler(records)
    queued.addFilter(ContextFilter())
    listener = logging.handlers.QueueListener(records, direct)
    app.handlers[:] = [queued]

    async def agent(number):
        with log.run(number=number) as current, current.interaction(f"agent-{number}"):
            for _ in range(5):
                app.info("from %s", number, extra={"number": number})
                await asyncio.sleep(0)

    async def main():
        await asyncio.gather(*(agent(number) for number in range(4)))

    if is_late:
        asyncio.run(main())
    listener.start()
    if not is_late:
        asyncio.run(main())
    listener.stop()
    app.handlers[:] = [direct]
    found = documents()
    assert len(found) == 4
    for document in found:
        number = document["fields"]["number"]
        assert [line["fields"]["number"] for line in document["logs"]] == [number] * 5
        assert {line["agent"] for line in document["logs"]} == {f"agent-{number}"}


def test_the_filter_gives_ids_to_formats_and_survives_pickling(log):  # noqa: F811
    record = logging.makeLogRecord({"msg": "x", "agent": "mine"})
    with log.run() as current:
        assert ContextFilter().filter(record)
        assert (record.run, record.workflow, record.agent) == (current.run_id, "support-bot", "mine")
        arrived = pickle.loads(pickle.dumps(record))
    assert arrived.run == current.run_id
    assert TailraceHandler().handle(arrived)
    outside = logging.makeLogRecord({})
    ContextFilter().filter(outside)
    assert (outside.run, outside.iteration) == ("", "")


def test_an_error_of_the_handlers_own_is_told_as_logging_tells_it(app, capsys, monkeypatch):
    from tailrace.logger import state

    monkeypatch.setattr(state, "settled_recorder", lambda: 1 / 0)
    app.info("x")
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_secret_in_a_record_is_masked(app):
    app.info("logging in with password=hunter2hunter2", extra={"api_key": "sk-secret"})
    stored = b"".join(bytes(event.data) for event in spooled())
    assert b"hunter2" not in stored
    assert b"sk-secret" not in stored


def test_a_forked_child_goes_on_and_ends_nothing_of_its_parents():
    code, _, err = run(
        "import logging, os, tailrace\n"
        "from tailrace.stdlib import TailraceHandler\n"
        "tailrace.configure_logger('w', publish='external')\n"
        "logging.getLogger().addHandler(TailraceHandler())\n"
        "logging.warning('parent')\n"
        "if os.fork() == 0:\n"
        "    logging.warning('child'); logging.shutdown(); os._exit(0)\n"
        "os.wait()\n"
    )
    assert (code, "tailrace: " in err) == (0, False)  # Python itself may warn of the fork
    (document,) = documents()
    assert {line["message"] for line in document["logs"]} == {"parent", "child"}
    assert document["final_status"] == "completed"
    assert document["counts"]["events"] == 4
    assert document["integrity"]["complete"]


def test_both_ways_at_once_from_many_threads_lose_nothing_and_make_no_loop(tmp_path):
    assert both_ways(threads=8, each=500, directory=tmp_path) == (4_000, 4_000)
