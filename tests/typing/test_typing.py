"""Two type checkers agree on the public interface: what is right passes, and each line that is wrong is found."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
API = ROOT / "tests" / "typing" / "api.py"
BIN = Path(sys.executable).parent


def wrong_lines():
    return {number for number, line in enumerate(API.read_text().splitlines(), 1) if "  # error: " in line}


def mypy():
    command = [BIN / "mypy", "--strict", "--no-error-summary", "--no-pretty", "--show-absolute-path", API]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = re.findall(r"^(.+\.py):(\d+): error: (.+)$", result.stdout, re.MULTILINE)
    assert result.returncode in {0, 1}, result.stdout + result.stderr
    return found


def pyright():
    project = API.with_name("pyrightconfig.json")
    command = [BIN / "basedpyright", "--outputjson", "--project", project, "--pythonpath", sys.executable]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    told = json.loads(result.stdout)["generalDiagnostics"]
    return [(each["file"], each["range"]["start"]["line"] + 1, each["message"]) for each in told]


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_what_is_right_passes_and_each_wrong_line_is_found(checker):
    found = checker()
    assert {Path(file).name for file, _, _ in found} == {"api.py"}, found
    lines = {int(line): message for _, line, message in found}
    assert lines.keys() == wrong_lines(), lines
