"""The exchangeable workflow logger: the default one, one's own, and setting them."""

import asyncio
import json
import threading

import pytest

import tailrace
from tests.logger.conftest import documents
from tests.system.scripts import run


def run_my_process():
    logger = tailrace.get_workflow_logger()
    logger.start_iteration(1)
    logger.log_action("agent_1", "some_action", {"foo": "bar"})
    logger.end_iteration("success")


class CustomJsonWorkflowLogger(tailrace.DefaultWorkflowLogger):
    def __init__(self, output_file):
        super().__init__()
        self.output_file = output_file

    def end_iteration(self, status):
        super().end_iteration(status)
        with open(self.output_file, "w") as f:  # noqa: PTH123
            json.dump(self.in_memory_data, f, indent=4)


def test_a_custom_logger_writes_its_file_and_still_reaches_the_document(log, tmp_path):
    with tailrace.set_workflow_logger(CustomJsonWorkflowLogger(tmp_path / "my_output.json")):
        run_my_process()
    assert json.loads((tmp_path / "my_output.json").read_text()) == [
        {"iteration": 1, "status": "success"},
        {"agent": "agent_1", "action": "some_action", "details": {"foo": "bar"}},
    ]
    log.finalize()
    (document,) = documents()
    (iteration,) = document["iterations"]
    assert (iteration["iteration_id"], iteration["status"]) == (1, "success")
    (action,) = iteration["actions"]
    assert (action["agent"], action["action_name"], action["input_data"]) == ("agent_1", "some_action", {"foo": "bar"})
    assert document["agents"] == ["agent_1"]


def test_calls_inside_a_run_of_the_workflow_belong_to_it(log):
    with log.run() as current:
        run_my_process()
    (document,) = documents()
    assert document["run_id"] == current.run_id
    assert document["iterations"][0]["actions"][0]["action_name"] == "some_action"


@pytest.mark.parametrize(("last_line", "status"), [("", "completed"), ("raise LookupError", "failed")])
def test_a_run_that_the_default_logger_began_ends_with_the_process(last_line, status):
    code, _, _ = run(
        "import tailrace\n"
        "tailrace.configure_logger(publish='external')\n"
        "logger = tailrace.get_workflow_logger()\n"
        "logger.start_iteration(1)\n" + last_line
    )
    assert code == bool(last_line)
    (document,) = documents()
    assert document["final_status"] == status


def test_what_comes_out_of_order_is_kept(log):
    logger = tailrace.DefaultWorkflowLogger()
    logger.end_iteration("success")
    logger.log_action("a", "b", {"c": 1})
    logger.finalize("failed")
    logger.finalize()
    (document,) = documents()
    assert document["logs"][0]["fields"] == {"status": "success"}
    assert document["actions"][0]["input_data"] == {"c": 1}
    assert document["final_status"] == "failed"


def test_what_is_remembered_stays_bounded(log):
    logger = tailrace.DefaultWorkflowLogger()
    for number in range(1100):
        logger.log_action("a", "b", number)
    assert len(logger.in_memory_data) == 1000
    assert logger.in_memory_data[-1]["details"] == 1099


def test_settings_are_undone_in_any_order():
    first, second = tailrace.DefaultWorkflowLogger(), tailrace.DefaultWorkflowLogger()
    default = tailrace.get_workflow_logger()
    undo_first = tailrace.set_workflow_logger(first)
    undo_second = tailrace.set_workflow_logger(second)
    undo_again = tailrace.set_workflow_logger(second)
    undo_first()
    assert tailrace.get_workflow_logger() is second
    undo_again()
    assert tailrace.get_workflow_logger() is second
    undo_second()
    undo_second()
    assert tailrace.get_workflow_logger() is default


def test_a_local_setting_holds_in_its_own_task_alone():
    default = tailrace.get_workflow_logger()

    async def agent(logger):
        with tailrace.set_workflow_logger(logger, local=True):
            await asyncio.sleep(0)
            assert tailrace.get_workflow_logger() is logger
            seen = []
            thread = threading.Thread(target=lambda: seen.append(tailrace.get_workflow_logger()))
            thread.start()
            thread.join()
            assert seen == [default]
        assert tailrace.get_workflow_logger() is default

    async def main():
        await asyncio.gather(*(agent(tailrace.DefaultWorkflowLogger()) for _ in range(3)))

    asyncio.run(main())


def test_only_a_workflow_logger_can_be_set():
    with pytest.raises(TypeError, match="derives from BaseWorkflowLogger; dict does not"):
        tailrace.set_workflow_logger({})
    with pytest.raises(TypeError, match="abstract"):
        tailrace.BaseWorkflowLogger()
