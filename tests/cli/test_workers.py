"""Several workers of a stage: real processes, killed one by one and together."""

import os
import re
import signal
import time
from pathlib import Path

import pytest

from tailrace.cli import workers
from tailrace.config import Config, ConsumeSettings
from tailrace.errors import ConfigError
from tests.cli.conftest import CommandLine
from tests.cli.story import RUN, finished

STARTED = re.compile(r"worker (\d) is process (\d+)")


class Supervised:
    """A supervisor with its workers, and what it said so far."""

    def __init__(self, process):
        self.process = process
        self.said = ""

    def read_until(self, pattern):
        for line in self.process.stderr:
            self.said += line
            if found := re.search(pattern, line):
                return found
        pytest.fail(f"it ended without {pattern!r}:\n{self.said}")

    def workers(self, count):
        """The process ids of the next so many that start, by number."""
        found = [self.read_until(STARTED) for _ in range(count)]
        return {int(match[1]): int(match[2]) for match in found}

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        _, rest = self.process.communicate(timeout=40)
        self.said += rest
        return self.process.returncode


@pytest.fixture
def supervised(tailrace):
    running = []

    def start(*arguments, command_line=tailrace, **environment):
        running.append(command_line.start("consume", *arguments, **environment))
        return Supervised(running[-1])

    yield start
    for process in running:
        if process.poll() is None:
            process.terminate()
        if not process.stderr.closed:
            process.communicate(timeout=40)


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_gone(*pids):
    deadline = time.monotonic() + 30
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_worker_is_started_again_and_all_end_in_order(tailrace, supervised):
    both = supervised("all", "--workers", "2")
    both.read_until("on a SQLite bus one worker reads at a time; the other 1 stand by")
    pids = both.workers(2)
    os.kill(pids[1], signal.SIGKILL)
    both.read_until("worker 1 was killed by SIGKILL; it is started again in 1 s")
    again = both.workers(1)
    tailrace.publish(finished())
    tailrace.wait_for_run(RUN)
    assert both.end() == 0
    assert "sample: 14 records received" in both.said
    wait_until_gone(pids[0], again[1])


def test_workers_end_when_their_supervisor_is_killed(supervised):
    both = supervised("index", "--workers", "2")
    pids = both.workers(2)
    both.read_until(r"\[\d\] tailrace: index")
    both.process.kill()
    wait_until_gone(*pids.values())


def test_a_worker_that_cannot_go_on_ends_all_with_its_code(tailrace):
    tailrace.home.mkdir()
    (tailrace.home / "tailrace.db").write_bytes(b"this is no database" * 100)
    result = tailrace("consume", "all", "--workers", "2")
    assert result.returncode == 1
    assert "cannot go on (exit code 1): all stop" in result.stderr
    assert "tailrace.db" in result.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--workers", "0"], "--workers"),
        (["--metrics", "x"], "'consume.metrics' from the command line"),
        (["--instance", "a b"], "'consume.instance' from the command line"),
    ],
)
def test_wrong_options_are_wrong_usage(quick, options, told):
    result = quick("consume", "all", *options)
    assert result.returncode == 2
    assert told in result.stderr


def test_each_worker_has_a_port_and_a_static_name_of_its_own():
    config = Config(bus="kafka://host:9092", consume=ConsumeSettings(metrics="0.0.0.0:9464", instance="node-a"))
    planned = workers.planned(config, "sample", 3)
    assert [worker.command[-4:] for worker in planned] == [
        ["--metrics", f"0.0.0.0:{9464 + number}", "--instance", f"node-a-{number}"] for number in range(3)
    ]


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"bus": "memory:"}, "TAILRACE_BUS"), ({"consume": ConsumeSettings(metrics=65534)}, "65536")],
)
def test_what_cannot_be_shared_out_is_a_wrong_setting(settings, told):
    with pytest.raises(ConfigError, match=told):
        workers.planned(Config(**settings), "sample", 3)


def test_on_kafka_every_run_is_done_though_a_worker_was_killed(tmp_path, kafka_url, prefix, supervised):
    tailrace = CommandLine(tmp_path, bus=f"{kafka_url}?session_timeout_ms=3000", prefix=prefix)
    both = supervised("all", "--workers", "2", command_line=tailrace)
    pids = both.workers(2)
    tailrace.publish(finished())
    tailrace.wait_for_run(RUN)
    os.kill(pids[0], signal.SIGKILL)
    both.read_until("worker 0 was killed by SIGKILL")
    others = [number * 32 for number in "abcdef"]
    tailrace.publish(*map(finished, others))
    for run in others:
        tailrace.wait_for_run(run)
    assert both.end(signal.SIGINT) == 0
