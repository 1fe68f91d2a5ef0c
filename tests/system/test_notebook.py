"""A notebook: a program that comes cell by cell, in a loop that runs already, with exceptions that end nothing.

The cells are executed by nbclient in a real kernel, as `jupyter execute` does.
"""

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError

from tailrace.config import load
from tests.system.whereabouts import conserved, whereabouts

pytestmark = pytest.mark.anyio

# WARNING, since the kernel logs its own end, when nobody can tell any more what was counted.
CONFIGURE = 'import tailrace\ntailrace.install("WARNING")\nlog = tailrace.configure_logger("notebook")'
CELLS = [
    CONFIGURE,
    'log.start_interaction("planner", input_data="Where is order 17?")',
    'log.log_action("lookup_order", {"order": 17}, {"status": "shipped"})',
    'import asyncio\nawait asyncio.sleep(0)\nlog.log_action("chat", "Say it.")',
    'raise LookupError("order 18")',
    CONFIGURE,  # somebody goes back to the first cell
    'log.end_interaction("Order 17 was shipped.")',
    'await asyncio.sleep(0)\nlog.start_interaction("critic")',
    'log.info("behind the cell that was a task")',
    'async with log.run(session="c-18") as run, run.interaction("critic"):\n    1 / 0',
    """
async def turn(number):
    async with log.run(number=number):
        await asyncio.sleep(0)
        log.log_action("step", number)
done = await asyncio.gather(*map(turn, range(3)))
""",
    "tailrace.install()()",  # undone
    'raise KeyError("order 19")',
]
TELL = (
    "import json, os\n"
    "stats = log.stats()\n"
    'open("told", "a").write(json.dumps([os.getpid(), stats.calls, stats.accepted, stats.dropped]) + "\\n")'
)
RAISED = {4: "LookupError", 9: "ZeroDivisionError", 12: "KeyError"}


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch, tmp_path):
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))


def notebook(*cells):
    """The notebook and what executes it; errors of a cell are its output, as for somebody who sits before it."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    return made, NotebookClient(made, timeout=60, kernel_name="python3", allow_errors=True)


def check(cells, documents):
    """Cells have no output but their own exception; the documents hold what the cells said, each thing once."""
    for number, cell in enumerate(cells):
        assert [output.get("ename") for output in cell.outputs] == ([RAISED[number]] if number in RAISED else [])
    first, second, *turns = documents
    assert [first["state"], second["state"]] == ["abandoned", "complete"]  # no cell ends the first one's run
    turn, critic = first["interactions"]
    assert (turn["agent_name"], turn["output_data"]) == ("planner", "Order 17 was shipped.")
    assert [action["action_name"] for action in turn["actions"]] == ["lookup_order", "chat"]
    assert critic["agent_name"] == "critic"
    (line,) = first["logs"]
    assert "interaction" not in line  # what a cell with `await` begins is not current in the next
    (error,) = first["errors"]  # not the second exception, which its own run has, nor the last, which nobody heard
    assert (error["error_msg"], error["exception"]["message"]) == ("uncaught exception in a cell", "order 18")
    assert error["interaction"] == turn["id"]
    assert 'raise LookupError("order 18")' in error["exception"]["traceback"]  # the line of a cell is in no file
    assert second["final_status"] == "failed"
    (error,) = second["errors"]
    assert error["exception"]["type"] == "ZeroDivisionError"
    assert "1 / 0" in error["exception"]["traceback"]
    assert sorted(turn["fields"]["number"] for turn in turns) == [0, 1, 2]
    assert all(turn["integrity"]["complete"] and len(turn["actions"]) == 1 for turn in turns)


async def test_a_notebook_whose_kernel_is_shut_down_leaves_every_event_once():
    made, client = notebook(*CELLS, TELL)
    await client.async_execute()
    left = await whereabouts(load())
    assert left.spool == set()  # the kernel's exit shipped them
    check(made.cells[:-1], await conserved())


async def test_a_notebook_whose_kernel_is_killed_leaves_every_event_once():
    made, client = notebook(*CELLS, TELL, "import signal\nos.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(DeadKernelError):
        await client.async_execute()
    check(made.cells[:-2], await conserved())
