import os
import subprocess
import sys

import pytest

from tests.cli.conftest import EXECUTABLE
from tests.cli.story import Story, finished


def test_version_and_help(tailrace):
    assert tailrace("--version").stdout == "tailrace 0.1.0\n"
    shown = tailrace("--help")
    assert shown.returncode == 0
    for command in ("demo", "runs", "search", "show", "tail", "consume", "ship", "topics", "doctor"):
        assert f" {command} " in shown.stdout


@pytest.mark.parametrize("command", ["demo", "runs", "search", "show", "tail", "consume", "ship", "topics", "doctor"])
def test_each_command_has_help(tailrace, command):
    result = tailrace(command, "--help")
    assert result.returncode == 0
    assert f"Usage: tailrace {command}" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnus"], "runs"),
        (["runs", "--nope"], "--nope"),
        (["runs", "-o", "xml"], "table"),
        (["runs", "agnet:x"], "agent"),
        (["tail", "--since", "yesterday"], "since"),
        (["show"], "run"),
        (["search"], "text"),
        (["consume", "nothing"], "nothing"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(tailrace, arguments, said):
    result = tailrace(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("tailrace: ")
    assert result.stderr.count("\n") == 1
    assert said in result.stderr.lower()


def test_a_wrong_setting_names_its_origin_and_the_fix(tailrace):
    result = tailrace("runs", TAILRACE_BUSS="memory:")
    assert result.returncode == 2
    assert "TAILRACE_BUSS" in result.stderr
    assert "did you mean 'bus'?" in result.stderr


def test_an_error_of_the_store_is_one_line_without_a_traceback(tailrace):
    tailrace.home.mkdir()
    (tailrace.home / "tailrace.db").write_bytes(b"this is no database" * 100)
    result = tailrace("runs")
    assert (result.returncode, result.stdout) == (1, "")
    assert "Traceback" not in result.stderr
    assert "tailrace.db" in result.stderr


def test_a_reader_that_goes_away_is_met_in_silence(tailrace):
    tailrace.store(*(finished(f"{number:024x}1234abcd") for number in range(50)))
    reading, writing = os.pipe()
    os.close(reading)
    for command in (["runs", "-n", "50"], ["runs", "-n", "50", "-o", "json"]):
        run = subprocess.run(
            [EXECUTABLE, *command],
            cwd=tailrace.directory,
            env=tailrace.environment,
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
        assert (run.returncode, run.stderr) == (1, b"")
    os.close(writing)


def test_a_terminal_encoding_that_lacks_a_character_is_no_failure(tailrace):
    tailrace.store(Story(workflow="日本").add("run.start"))
    result = tailrace("runs", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert result.returncode == 0
    assert "\\u65e5\\u672c" in result.stdout


def test_without_the_extra_one_line_says_what_to_install():
    code = "import sys; sys.modules['cyclopts'] = None; from tailrace.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "tailrace: the command line needs an extra: pip install 'tailrace[cli]'\n"
