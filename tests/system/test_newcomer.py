"""The first program that somebody writes, which dies on its first lines: what is left is what they come to look at."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from tests.system.scripts import companions_gone, spools, stored_documents

pytestmark = pytest.mark.anyio

AS_A_SCRIPT = [sys.executable, "agent.py"]
UNKNOWING = [sys.executable, "-c", "import tailrace, runpy; runpy.run_path('agent.py', run_name='__main__')"]
INSTALL = "import tailrace; tailrace.install()"
FIRST_CALL = "import os, signal, tailrace; tailrace.get_logger('agent').info('begun')"

DEATHS = {
    "raises behind install": (AS_A_SCRIPT, INSTALL, "raise RuntimeError('no API key')"),
    "misspells a name behind install": (AS_A_SCRIPT, INSTALL, "answer = qestion"),
    "chains exceptions behind install": (
        AS_A_SCRIPT,
        INSTALL,
        "try: {}['key']\nexcept KeyError as e: raise SystemError('no key') from e",
    ),
    "divides by zero and knows nothing of tailrace": (UNKNOWING, "", "1 / 0"),
    "is no Python and knows nothing of tailrace": (UNKNOWING, "", "print('begun'"),
    "raises behind a log call": (AS_A_SCRIPT, f"{FIRST_CALL}; tailrace.install()", "raise LookupError('order 17')"),
}


async def test_the_command_for_a_program_that_knows_nothing_of_tailrace_is_the_readmes():
    readme = Path(__file__).parents[2] / "README.md"
    assert f'`python -c "{UNKNOWING[-1]}"`' in await anyio.Path(readme).read_text(encoding="utf-8")


def ended(command, program, **variables):
    """(exit code, stdout, stderr) of the program as the file `agent.py`, which tracebacks name."""
    Path("agent.py").write_text(program, encoding="utf-8")
    environment = {**os.environ, **variables}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=environment)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("death", DEATHS)
async def test_a_script_whose_first_line_raises_leaves_a_failed_run_and_ends_as_without_tailrace(death):
    command, first, line = DEATHS[death]
    without = [part.replace("import tailrace,", "import argparse,") for part in command]
    status, out, printed = ended(without, f"pass\n{line}" if first else line)
    printed = printed.replace("import argparse,", "import tailrace,")  # from 3.13 on tracebacks show that line, too
    auto = {"TAILRACE_AUTO": "1"} if command is UNKNOWING else {}
    assert ended(command, f"{first}\n{line}" if first else line, **auto) == (status, out, printed)
    assert status == 1
    (document,) = await stored_documents()
    assert (document["state"], document["final_status"]) == ("complete", "failed")
    (error,) = document["errors"]
    kind, _, message = printed.splitlines()[-1].partition(": ")
    assert error["error_msg"] == "uncaught exception"
    assert error["exception"]["type"] == document["error"]["type"] == kind
    assert error["exception"]["message"].startswith(message)
    assert error["exception"]["traceback"] == printed
    assert spools() == []


ABRUPT = {
    "by os._exit": ("os._exit(3)", 3),
    "by SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
}


@pytest.mark.parametrize("way", ABRUPT)
async def test_a_script_that_ends_right_behind_its_first_log_call_leaves_the_line_in_an_abandoned_run(way):
    line, status = ABRUPT[way]
    assert ended(AS_A_SCRIPT, f"{FIRST_CALL}\n{line}") == (status, "", "")
    await companions_gone()
    (document,) = await stored_documents()
    assert (document["state"], document["final_status"]) == ("abandoned", "abandoned")
    assert [line["message"] for line in document["logs"]] == ["begun"]
    assert document["integrity"]["gaps"] == {}
    assert document["counts"]["events"] == 3  # the start, the line, and that nobody will end it
    assert spools() == []
