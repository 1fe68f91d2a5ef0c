import json
import subprocess
import sys

import pytest

WATCH = """
import json, logging, os, signal, sys, threading

done = []

def watch(event, arguments):
    if event == "open" and (arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
        done.append(f"open {arguments[0]}")
    elif event.startswith(("socket.", "sqlite3.", "subprocess.", "os.mkdir", "os.rename", "os.remove", "os.fork")):
        done.append(event)

def state():
    return {
        "threads": [thread.name for thread in threading.enumerate()],
        "signals": [str(signal.getsignal(number)) for number in signal.valid_signals()],
        "descriptors": os.listdir("/dev/fd"),
        "hooks": [repr(hook) for hook in (sys.excepthook, sys.unraisablehook, threading.excepthook, sys.gettrace())],
        "log handlers": [repr(handler) for handler in logging.getLogger().handlers],
        "environment": dict(os.environ),
        "directory": os.listdir(),
    }

before = state()
sys.addaudithook(watch)
"""
REPORT = """
after = state()
print(json.dumps([done, [name for name in before if before[name] != after[name]], state()["directory"]]))
"""


def run(program, cwd):
    """What a fresh interpreter printed."""
    done = subprocess.run([sys.executable, "-B", "-c", program], cwd=cwd, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_importing_tailrace_brings_msgspec_and_a_checksum_and_nothing_else_from_outside_the_standard_library(tmp_path):
    brought = run(
        "import json, sys; before = set(sys.modules); import tailrace\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in set(sys.modules) - before})))",
        tmp_path,
    )
    outside = set(brought) - set(sys.stdlib_module_names)
    assert outside <= {"tailrace", "msgspec", "typing_extensions", "xxhash"}
    assert "tailrace" in outside


HEAVY = {
    *("asyncio", "anyio", "aiokafka", "aiohttp", "opensearchpy", "hyperscan", "rich", "cyclopts"),
    *("sqlite3", "socket", "ssl", "http.client", "urllib.request", "subprocess", "multiprocessing", "email"),
    *("tempfile", "shutil", "tomllib", "difflib", "importlib.metadata", "_strptime"),
}
"""What only the publisher, a reader, a wrong setting or a settings file needs."""


@pytest.mark.parametrize(
    ("program", "needed"),
    [
        ("import tailrace", set()),
        ("import tailrace; tailrace.configure_logger(bus='kafka://h:1', redact={'enabled': False})", set()),
        ("import tailrace; tailrace.configure_logger(bus='kafka://h:1')", {"hyperscan"}),
    ],
)
def test_neither_importing_nor_configuring_brings_what_it_does_not_need(tmp_path, program, needed):
    brought = run(f"import json, sys; {program}\nprint(json.dumps(sorted(sys.modules)))", tmp_path)
    assert HEAVY & set(brought) <= needed
    assert not [name for name in brought if name.startswith(("tailrace.cli", "tailrace_consumers"))]


@pytest.mark.parametrize(
    "program",
    [
        "import tailrace",
        "import tailrace; tailrace.configure_logger('bot', logs_dir='logs', bus='kafka://nowhere.invalid:1')",
        "import tailrace; tailrace.configure_logger(bus='sqlite:///deep/er/x.db'); tailrace.get_logger('other')",
    ],
)
def test_neither_importing_nor_configuring_leaves_a_trace(tmp_path, program):
    done, changed, directory = run(WATCH + program + REPORT, tmp_path)
    assert (done, changed, directory) == ([], [], [])


def test_the_watch_sees_a_first_event(tmp_path):
    program = "import tailrace; tailrace.configure_logger(publish='external'); tailrace.get_logger().info('x')"
    done, changed, directory = run(WATCH + program + REPORT, tmp_path)
    assert "os.mkdir" in done
    assert any(each.startswith("open ") for each in done)
    assert {"threads", "descriptors", "directory"} <= set(changed)
    assert directory == [".tailrace"]
