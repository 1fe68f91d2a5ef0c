"""The flat API: the founding example, and what it forgives."""

import asyncio
import threading

import msgspec
import pytest

import tailrace
from tests.logger.conftest import documents, spooled


def test_the_founding_example_gives_the_founding_document(log):
    log.start_iteration(1)
    log.start_interaction("agent_a", input_data={"some": "data"})
    log.log_action("action_foo", input_data="foo", output_data="bar")
    log.end_interaction(output_data={"some_output": True})
    log.end_iteration("success")
    log.add_resource("s3://bucket/x.csv")
    log.log_error("boom")
    log.finalize()

    (document,) = documents()
    assert document["workflow_name"] == "support-bot"
    assert document["verbosity"] == "INFO"
    assert document["final_status"] == "completed"
    assert document["state"] == "complete"
    assert document["start_time"] <= document["end_time"]
    (iteration,) = document["iterations"]
    assert (iteration["iteration_id"], iteration["status"]) == (1, "success")
    (interaction,) = iteration["interactions"]
    assert (interaction["agent_name"], interaction["input_data"]) == ("agent_a", {"some": "data"})
    assert interaction["output_data"] == {"some_output": True}
    (action,) = interaction["actions"]
    assert (action["action_name"], action["input_data"], action["output_data"]) == ("action_foo", "foo", "bar")
    assert [each["resource_name"] for each in document["resources"]] == ["s3://bucket/x.csv"]
    assert [each["error_msg"] for each in document["errors"]] == ["boom"]
    assert document["integrity"]["complete"]
    assert document["counts"]["events"] == 9


def test_a_run_begins_with_the_first_call_and_a_new_one_after_finalize(log):
    assert log.run_id is None
    log.info("first")
    first = log.run_id
    log.finalize()
    assert log.run_id is None
    log.info("second")
    assert log.run_id not in (None, first)
    assert [document["state"] for document in documents()] == ["complete", "open"]


def test_an_action_with_nothing_open_belongs_to_the_run(log):
    log.log_action("search", input_data=1)
    log.start_iteration(1)
    log.log_action("search", input_data=2)
    log.finalize()
    (document,) = documents()
    assert [action["input_data"] for action in document["actions"]] == [1]
    assert [action["input_data"] for action in document["iterations"][0]["actions"]] == [2]
    assert document["counts"]["actions"] == 2


def test_an_end_without_a_start_keeps_what_it_was_given(log):
    log.end_interaction(output_data="kept")
    log.end_iteration("success")
    log.finalize()
    (document,) = documents()
    assert [line["fields"] for line in document["logs"]] == [
        {"output_data": "kept", "status": None},
        {"status": "success"},
    ]


def test_two_starts_in_a_row_leave_the_first_open_and_lose_nothing(log):
    log.start_interaction("a", input_data=1)
    log.start_interaction("b", input_data=2)
    log.end_interaction(output_data=3)
    log.finalize()
    (document,) = documents()
    first, second = document["interactions"]
    assert (first["agent_name"], "end_time" in first) == ("a", False)
    assert (second["agent_name"], second["output_data"]) == ("b", 3)


def test_finalize_twice_ends_one_run(log):
    log.info("x")
    log.finalize("failed")
    log.finalize()
    (document,) = documents()
    assert document["final_status"] == "failed"


def test_log_lines_below_the_verbosity_are_not_recorded(log):
    log.debug("hidden")
    log.info("shown", step=3)
    log.error("shown too")
    log.finalize()
    (document,) = documents()
    assert [(line["level"], line["message"], line.get("fields")) for line in document["logs"]] == [
        ("INFO", "shown", {"step": 3}),
        ("ERROR", "shown too", None),
    ]


def test_tokens_and_cost_add_up_in_the_document(log):
    log.log_action("llm", model="m", tokens={"input": 10, "output": 5}, cost=0.25)
    log.log_action("llm", model="m", tokens=7, cost=0.5)
    log.finalize()
    (document,) = documents()
    assert document["tokens"] == {"input": 10, "output": 5, "total": 22}
    assert document["cost_usd"] == 0.75


def test_an_error_keeps_type_message_and_traceback(log):
    try:
        raise LookupError("no such thing")
    except LookupError as error:
        log.log_error("it broke", exc=error, attempt=2)
    log.finalize()
    (found,) = documents()[0]["errors"]
    assert found["exception"]["type"] == "LookupError"
    assert found["exception"]["message"] == "no such thing"
    assert "raise LookupError" in found["exception"]["traceback"]
    assert found["fields"] == {"attempt": 2}


def test_what_is_stored_is_what_was_passed_at_the_call(log):
    payload = {"a": [1]}
    log.log_action("x", input_data=payload)
    payload["a"].append(2)
    log.finalize()
    assert documents()[0]["actions"][0]["input_data"] == {"a": [1]}


def test_a_value_that_cannot_be_encoded_becomes_a_marked_stand_in(log):
    log.log_action("x", input_data={"ok": 1, "bad": threading.Lock()})
    log.finalize()
    stored = documents()[0]["actions"][0]["input_data"]
    assert stored["ok"] == 1
    assert stored["bad"]["$unencodable"] == "_thread.lock"
    assert log.stats().dropped == {}


def test_an_event_over_the_limit_keeps_its_name_length_and_hash(log):
    log.log_action("big", input_data="x" * 2_000_000, output_data="small")
    log.finalize()
    (action,) = documents()[0]["actions"]
    assert action["action_name"] == "big"
    assert action["output_data"] == "small"
    assert action["input_data"]["$truncated"] == 2_000_002
    assert len(action["input_data"]["sha256"]) == 64


def test_agent_loggers_speak_as_their_agent_in_the_current_run(log):
    planner = log.agent("planner")
    log.info("of the run")
    planner.info("started", data=1)
    planner.error("failed")
    log.finalize()
    (document,) = documents()
    assert [line.get("agent") for line in document["logs"]] == [None, "planner", "planner"]
    assert document["agents"] == ["planner"]


def test_loggers_of_two_workflows_have_runs_of_their_own_in_one_context(log):
    other = tailrace.get_logger("billing")
    log.start_interaction("a")
    other.info("inside billing")
    assert other.run_id != log.run_id
    log.log_action("x")
    other.finalize()
    log.log_action("y")
    log.finalize()
    by_name = {document["workflow_name"]: document for document in documents()}
    assert [each["action_name"] for each in by_name["support-bot"]["interactions"][0]["actions"]] == ["x", "y"]
    assert by_name["billing"]["counts"]["logs"] == 1


def test_concurrent_tasks_and_threads_never_mix_their_runs(log):
    async def agent(number):
        log.start_iteration(number)
        log.start_interaction(f"agent-{number}", input_data=number)
        for step in range(5):
            log.log_action("step", input_data=[number, step])
            await asyncio.sleep(0)
        log.end_interaction(output_data=number)
        log.end_iteration()
        log.finalize(f"done-{number}")

    async def main():
        await asyncio.gather(*(agent(number) for number in range(100)))

    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = documents()
    assert len(found) == 400
    for document in found:
        (iteration,) = document["iterations"]
        number = iteration["iteration_id"]
        (interaction,) = iteration["interactions"]
        assert [action["input_data"] for action in interaction["actions"]] == [[number, step] for step in range(5)]
        assert (interaction["output_data"], document["final_status"]) == (number, f"done-{number}")
        assert document["integrity"]["complete"]


def test_events_carry_the_contracts_fields(log):
    log.start_iteration(1)
    log.start_interaction("a")
    log.log_action("x")
    log.finalize()
    events = spooled()
    for place, event in enumerate(events):
        assert event.id == f"{event.pid}-{event.seq}"
        assert event.n == place
        assert len(event.run) == 32
        assert event.ts.endswith("Z")
        assert len(event.ts) == 27
    assert len({event.id for event in events}) == len(events)
    wire = msgspec.json.decode(msgspec.json.encode(events[-2]))
    assert {"id", "seq", "pid", "run", "workflow", "type", "ts", "iteration", "interaction", "data"} <= wire.keys()


def test_logs_dir_gets_the_document_of_each_run_at_finalize(log, tmp_path):
    log = tailrace.configure_logger(workflow_name="My Bot", logs_dir="logs", publish="external")
    for _ in range(2):
        log.log_action("x", input_data=1)
        log.finalize()
    files = sorted((tmp_path / "logs").iterdir())
    assert len(files) == 2
    for path in files:
        document = msgspec.json.decode(path.read_bytes())
        assert path.name.startswith("my-bot-")
        assert path.name.endswith(f"_{document['run_id'][-8:]}.json")
        assert document["final_status"] == "completed"
        assert document["actions"][0]["input_data"] == 1


def test_a_logs_dir_that_cannot_be_written_is_told_once_and_costs_nothing_else(log, tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    log = tailrace.configure_logger(workflow_name="w", logs_dir="taken", publish="external")
    for _ in range(2):
        log.info("x")
        log.finalize()
    assert capsys.readouterr().err.count("could not be written") == 1
    assert [document["state"] for document in documents()] == ["complete", "complete"]


@pytest.mark.parametrize("call", ["log_action", "start_interaction", "log_error", "info", "add_resource", "finalize"])
def test_a_call_never_raises_where_no_spool_can_be_made(call, tmp_path, capsys):
    from tailrace.logger import state

    state.reset()
    (tmp_path / "home").write_text("a file where the directory should be")
    log = tailrace.configure_logger(home="home", publish="external")
    log.info("first")
    getattr(log, call)("x")
    stats = log.stats()
    assert stats.calls == sum(stats.dropped.values()) > 0
    assert stats.dropped.keys() == {"io_error"}
    assert capsys.readouterr().err.count("tailrace: ") == 1
    state.reset()


@pytest.mark.parametrize("name", [7, None, "x" * 5000, "\ud800", "", ["a"], "\u6771\u4eac"])
def test_any_agent_name_gives_a_readable_document(log, name):
    log.start_interaction(name, input_data=1)
    log.agent(name).info("x")
    log.finalize()
    (document,) = documents()
    assert document["interactions"][0]["input_data"] == 1
    assert len(document["interactions"][0]["agent_name"]) <= 1000
    assert document["integrity"]["complete"]


def test_drops_are_shown_in_the_document_once_there_is_room(tmp_path):
    from tailrace.logger import state
    from tailrace.spool.append import SpoolFullError

    log = tailrace.configure_logger(workflow_name="w", publish="external")
    log.info("kept")
    spool, full = state.recorder()._spool, True
    write = spool.write

    def refuse(frame):
        if full:
            raise SpoolFullError("full")
        write(frame)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(spool, "write", refuse)
        for _ in range(3):
            log.info("dropped")
        full = False
        log.finalize()
    (document,) = documents()
    assert document["integrity"]["dropped"] == {"spool_full": 3}
    assert [span for spans in document["integrity"]["gaps"].values() for span in spans] == [[2, 4]]
    assert not document["integrity"]["complete"]
    stats = log.stats()
    assert (stats.calls, stats.accepted, stats.dropped) == (7, 4, {"spool_full": 3})
    state.reset()
