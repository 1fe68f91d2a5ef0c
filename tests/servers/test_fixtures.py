"""The fixtures `kafka` and `opensearch` where the servers are not ours, or cannot be had."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run_pytest(selection, **environment):
    """pytest's outcome and output for some tests of servers, in an environment where only `environment` differs."""
    own = {name: value for name, value in os.environ.items() if not re.fullmatch("CI|JAVA_HOME|TAILRACE_.*", name)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "tests/servers/test_servers.py",
        "-k",
        selection,
    ]
    done = subprocess.run(command, cwd=ROOT, env=own | environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("name", ["kafka", "opensearch"])
def test_without_java_the_tests_skip_with_one_line_of_help(name):
    code, output = run_pytest(name, PATH="/nowhere")
    assert code == 0
    assert "1 skipped" in output
    help_line = rf"^SKIPPED .*no Java found: .*apt-get install .*TAILRACE_TEST_{name.upper()}"
    assert len(re.findall(help_line, output, re.MULTILINE)) == 1


def test_without_java_the_tests_fail_in_ci():
    code, output = run_pytest("kafka", PATH="/nowhere", CI="true")
    assert code == 1
    assert "1 error" in output


def test_a_server_that_is_not_ours_is_used_and_never_stopped(kafka):
    code, output = run_pytest("kafka", PATH="/nowhere", TAILRACE_TEST_KAFKA=kafka.url)
    assert code == 0
    assert re.search("^SKIPPED .*TAILRACE_TEST_KAFKA names a server that this test may not stop", output, re.MULTILINE)
    assert kafka.running
