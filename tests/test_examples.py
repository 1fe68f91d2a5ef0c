"""The examples of the four designs, run as a user would, and the documents that they leave."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.scripts import stored_documents

EXAMPLES = Path(__file__).parents[1] / "examples"


async def left_by(name):
    """What an example printed, and the one document that it left in the store."""
    command = [sys.executable, EXAMPLES / name]
    done = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8")
    (document,) = await stored_documents()
    assert document["integrity"]["complete"]
    assert document["final_status"] == "completed"
    return done.stdout, done.stderr, document


def written_to(pattern):
    """The JSON in the one file that the example wrote."""
    (path,) = Path().glob(pattern)
    return json.loads(path.read_text())


def without_ids(element, *names):
    return {name: element[name] for name in names}


@pytest.mark.anyio
async def test_the_invisible_logger():
    out, err, document = await left_by("design_1.py")
    assert (out, err) == ("", "")
    assert (document["workflow_name"], document["verbosity"]) == ("my_invisible_workflow", "DEBUG")
    assert document["start_time"] <= document["end_time"]
    (iteration,) = document["iterations"]
    assert (iteration["iteration_id"], iteration["status"]) == (1, "success")
    assert iteration["started_at"] <= iteration["ended_at"]
    (turn,) = iteration["interactions"]
    assert without_ids(turn, "agent_name", "input_data", "output_data") == {
        "agent_name": "agent_a",
        "input_data": {"some": "data"},
        "output_data": {"some_output": True},
    }
    assert turn["start_time"] <= turn["end_time"]
    (action,) = turn["actions"]
    assert without_ids(action, "action_name", "input_data", "output_data") == {
        "action_name": "action_foo",
        "input_data": "foo",
        "output_data": "bar",
    }
    assert (document["resources"], document["errors"]) == ([], [])
    written = written_to("logs/my-invisible-workflow-*.json")
    del document["sampling"], written["sampling"]
    assert written == document


@pytest.mark.anyio
async def test_logging_under_the_hood():
    out, err, document = await left_by("design_2.py")
    assert out == ""
    assert err.splitlines()[:4] == [
        "INFO Starting iteration 1",
        "DEBUG Agent agent_1 performed process_data with data={'foo': 'bar'}",
        "INFO Ending iteration with status success",
        "INFO Workflow completed.",
    ]
    assert err.splitlines()[4] == "DEBUG {"
    printed = json.loads("{" + err.split("DEBUG {", 1)[1])
    assert printed["iterations"] == document["iterations"]
    assert document["workflow_name"] == "my_py_logging_workflow"
    (iteration,) = document["iterations"]
    (turn,) = iteration["interactions"]
    (action,) = turn["actions"]
    assert (iteration["iteration_id"], iteration["status"]) == (1, "success")
    assert (turn["agent_name"], action["action_name"]) == ("agent_1", "process_data")
    assert action["input_data"] == {"foo": "bar"}


@pytest.mark.anyio
async def test_agents_with_loggers_of_their_own():
    out, err, document = await left_by("design_3.py")
    assert (out, err) == ("", "")
    lines = [(line["agent"], line["level"], line["message"], line.get("fields")) for line in document["logs"]]
    assert lines == [
        ("agent_a", "INFO", "Starting run step", {"data": {"foo": 1}}),
        ("agent_a", "INFO", "Completed run step", None),
        ("agent_b", "INFO", "Starting run step", {"data": {"bar": 2}}),
        ("agent_b", "INFO", "Completed run step", None),
    ]
    assert document["agents"] == ["agent_a", "agent_b"]


@pytest.mark.anyio
async def test_a_logger_of_ones_own():
    out, err, document = await left_by("design_4.py")
    assert (out, err) == ("", "")
    assert written_to("my_output.json") == [
        {"iteration": 1, "status": "success"},
        {"agent": "agent_1", "action": "some_action", "details": {"foo": "bar"}},
    ]
    for iteration in document["iterations"]:
        assert (iteration["iteration_id"], iteration["status"]) == (1, "success")
        (action,) = iteration["actions"]
        assert (action["agent"], action["action_name"]) == ("agent_1", "some_action")
        assert action["input_data"] == {"foo": "bar"}
    assert len(document["iterations"]) == 2


def test_every_design_has_its_example():
    assert sorted(path.name for path in EXAMPLES.glob("design_*.py")) == [f"design_{n}.py" for n in range(1, 5)]
