"""What reaches a real (pseudo) terminal."""

import json
import os
import pty
import re
import subprocess

import pytest

from tailrace.document.view import render
from tests.cli.conftest import EXECUTABLE
from tests.cli.story import RUN, finished, hostile

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def terminal(tailrace):
    """Runs the executable with a terminal as its stdout; gives what the terminal was sent."""

    def run(*arguments, **environment):
        ours, theirs = pty.openpty()
        environment = {**tailrace.environment, "TERM": "xterm-256color", "COLUMNS": "120", **environment}
        program = subprocess.Popen(
            [EXECUTABLE, *arguments], cwd=tailrace.directory, env=environment, stdout=theirs, stderr=subprocess.PIPE
        )
        os.close(theirs)
        sent = b""
        try:
            while part := os.read(ours, 65536):
                sent += part
        except OSError:  # how Linux ends a terminal whose other side is closed
            pass
        os.close(ours)
        assert program.communicate(timeout=30)[1] == b""
        assert program.returncode == 0
        return sent.decode().replace("\r\n", "\n")

    return run


def test_a_terminal_gets_colours_and_the_status_in_words(tailrace, terminal):
    tailrace.store(finished())
    shown = terminal("runs")
    assert COLOUR.search(shown)
    assert "completed" in COLOUR.sub("", shown)


def test_no_color_is_obeyed(tailrace, terminal):
    tailrace.store(finished())
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", terminal("runs", NO_COLOR="1"))


def test_json_on_a_terminal_is_safe_and_means_the_same(tailrace, terminal):
    tailrace.store(hostile())
    shown = terminal("show", "55556666", "-o", "json")
    assert all(char == "\n" or char.isprintable() for char in shown)
    assert shown.count("\n") > 50
    assert json.loads(shown) == json.loads(render(hostile().document))


@pytest.mark.parametrize("form", ["default", "raw", "json"])
def test_tail_sends_no_control_character_but_colours(tailrace, terminal, form):
    tailrace.publish(hostile())
    shown = COLOUR.sub("", terminal("tail", "-o", form))
    assert all(char == "\n" or char.isprintable() for char in shown)
    assert len(shown.splitlines()) == len(hostile().events)


def test_show_draws_its_tree_on_a_terminal(tailrace, terminal):
    tailrace.store(finished())
    assert f"run {RUN}" in COLOUR.sub("", terminal("show", RUN))
