"""The fixtures as a project has them that installs tailrace, and the example that shows them."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def pytest_in(directory, *arguments):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=60)


def test_the_example_passes_and_leaves_nothing(tmp_path):
    example = ROOT / "examples" / "test_agent.py"
    (tmp_path / example.name).write_bytes(example.read_bytes())
    result = pytest_in(tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "5 passed" in result.stdout
    assert {path.name for path in tmp_path.iterdir()} <= {example.name, "__pycache__"}


def test_the_fixtures_are_listed_with_what_they_are(tmp_path):
    listed = pytest_in(tmp_path, "--fixtures").stdout
    assert "tailrace_events" in listed
    assert "What the test logs, in memory" in listed
    assert "tailrace_clock" in listed


def test_the_plugin_costs_a_session_that_does_not_use_it_no_capture(tmp_path):
    (tmp_path / "test_x.py").write_text(
        "import sys\ndef test_x(): assert 'tailrace.testing.capture' not in sys.modules\n"
    )
    assert pytest_in(tmp_path).returncode == 0
