"""The scoped API: what entering and leaving record, whatever happens inside."""

import asyncio
import threading

import pytest

import tailrace
from tests.logger.conftest import documents


def test_scopes_nest_into_the_document(log):
    with log.run(session="c-17", tags=["beta"], build=7) as run:
        assert len(run.run_id) == 32
        with run.iteration() as it, it.interaction("planner", input="q") as turn:
            with turn.action("search", input="q", attempt=1) as act:
                act.output = ["r"]
                act.tokens = 12
                act.model = "m-1"
            turn.output = "answer"
        run.set(reward=1.0)
    (document,) = documents()
    assert (document["run_id"], document["session"], document["tags"]) == (run.run_id, "c-17", ["beta"])
    assert document["fields"] == {"build": 7}
    assert document["outcome"] == {"reward": 1.0}
    (iteration,) = document["iterations"]
    assert (iteration["iteration_id"], iteration["status"]) == (1, "success")
    (turn,) = iteration["interactions"]
    assert (turn["agent_name"], turn["input_data"], turn["output_data"]) == ("planner", "q", "answer")
    (action,) = turn["actions"]
    assert (action["action_name"], action["input_data"], action["output_data"]) == ("search", "q", ["r"])
    assert (action["tokens"], action["model"], action["status"]) == (12, "m-1", "success")
    assert action["duration_ms"] >= 0
    assert action["fields"] == {"attempt": 1}
    assert document["final_status"] == "completed"


def test_an_exception_fails_each_level_and_is_recorded_once(log):
    with (
        pytest.raises(ZeroDivisionError),
        log.run() as run,
        run.iteration() as it,
        it.interaction("a") as turn,
        turn.action("divide"),
    ):
        1 / 0  # noqa: B018
    (document,) = documents()
    iteration = document["iterations"][0]
    turn = iteration["interactions"][0]
    levels = [turn["actions"][0], turn, iteration]
    assert [level["status"] for level in levels] == ["failed"] * 3
    assert document["final_status"] == "failed"
    assert all(level["error"]["type"] == "ZeroDivisionError" for level in [*levels, document])
    (error,) = document["errors"]
    assert error["action"] == turn["actions"][0]["id"]
    assert "1 / 0" in error["exception"]["traceback"]


def test_an_exception_that_was_handled_inside_leaves_the_outer_levels_well(log):
    with log.run() as run, run.interaction("a") as turn:
        with pytest.raises(OSError, match="disk"), turn.action("write"):
            raise OSError("disk")
        turn.output = "did without"
    (document,) = documents()
    assert document["final_status"] == "completed"
    assert document["interactions"][0]["actions"][0]["status"] == "failed"
    assert document["counts"]["errors"] == 1


def test_cancellation_is_a_status_and_no_error(log):
    async def main():
        async with log.run() as run, run.interaction("a"):
            await asyncio.sleep(60)

    async def cancelled():
        task = asyncio.ensure_future(main())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    (document,) = documents()
    assert document["final_status"] == "cancelled"
    assert document["errors"] == []


def test_a_status_set_by_hand_is_the_one_recorded(log):
    with log.run() as run:
        with run.interaction("a") as turn:
            turn.status = "escalated"
        run.status = "partial"
    (document,) = documents()
    assert document["interactions"][0]["status"] == "escalated"
    assert document["final_status"] == "partial"


def test_flat_calls_inside_a_scope_belong_to_it_and_after_it_no_more(log):
    with log.run() as run:
        with run.interaction("a"):
            log.log_action("inside")
            log.info("line")
        log.log_action("after")
    (document,) = documents()
    assert [each["action_name"] for each in document["interactions"][0]["actions"]] == ["inside"]
    assert [each["action_name"] for each in document["actions"]] == ["after"]
    assert document["logs"][0]["interaction"] == document["interactions"][0]["id"]
    assert log.run_id is None


def test_scope_objects_record_into_their_own_place_from_other_threads(log):
    with log.run() as run, run.interaction("a") as turn:

        def work(number):
            with turn.action("call", input=number) as act:
                act.output = number * 2

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    actions = documents()[0]["interactions"][0]["actions"]
    assert sorted((each["input_data"], each["output_data"]) for each in actions) == [(n, 2 * n) for n in range(8)]


def test_runs_nest_and_the_outer_one_goes_on(log):
    with log.run() as outer:
        with log.run() as inner:
            log.info("inner")
        log.info("outer")
    by_id = {document["run_id"]: document for document in documents()}
    assert [line["message"] for line in by_id[inner.run_id]["logs"]] == ["inner"]
    assert [line["message"] for line in by_id[outer.run_id]["logs"]] == ["outer"]


def test_a_logger_without_a_name_records_into_the_block_it_is_used_in_and_one_with_a_name_does_not(log):
    named = tailrace.get_logger("audit")
    with tailrace.get_logger("billing").run() as run:
        log.info("here")
        assert log.run_id == run.run_id
        log.agent("clerk").info("here too")
        named.info("elsewhere")
        log.info("still here")
    by_name = {document["workflow_name"]: document for document in documents()}
    assert [line["message"] for line in by_name["billing"]["logs"]] == ["here", "here too", "still here"]
    assert [line["message"] for line in by_name["audit"]["logs"]] == ["elsewhere"]


def test_finalize_inside_a_run_block_ends_it_once(log):
    with log.run():
        log.finalize("early")
    (document,) = documents()
    assert document["final_status"] == "early"
    assert document["other_events"] == []


def test_the_run_id_before_the_block_is_an_error_that_says_how(log):
    with pytest.raises(RuntimeError, match=r"with log\.run"):
        log.run().run_id  # noqa: B018
