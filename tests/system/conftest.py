"""A pipeline as an operator runs it: the three consumers as processes, on real Kafka and OpenSearch."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
TAILRACE = str(Path(sys.executable).parent / "tailrace")


class Pipeline:
    """Processes of one test, with one environment; stopped at its end."""

    stages = ("sample", "aggregate", "index")

    def __init__(self, directory, **settings):
        self.directory = directory
        self.environment = {**os.environ, **{f"TAILRACE_{name}": value for name, value in settings.items()}}
        self.processes = {}

    def start(self, *stages):
        for stage in stages or self.stages:
            log = (self.directory / f"{stage}.log").open("ab")
            with log:
                self.processes[stage] = subprocess.Popen(
                    [TAILRACE, "consume", stage], env=self.environment, stdout=log, stderr=log
                )

    def kill(self, stage):
        process = self.processes.pop(stage)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stop(self):
        for process in self.processes.values():
            process.terminate()
        codes = [process.wait(30) for process in self.processes.values()]
        self.processes = {}
        return codes

    def tailrace(self, *arguments, check=True):
        return subprocess.run(
            [TAILRACE, *arguments], env=self.environment, capture_output=True, text=True, check=check, timeout=90
        )

    def example(self, name, *arguments, **options):
        return subprocess.Popen(
            [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def finish(self, process, timeout=100):
        out, err = process.communicate(timeout=timeout)
        return process.returncode, out, err

    def logs(self):
        return {stage: (self.directory / f"{stage}.log").read_text()[-2000:] for stage in self.stages}


@pytest.fixture
def pipeline(tmp_path, kafka_url, opensearch_url, prefix):
    bus = f"{kafka_url}?session_timeout_ms=3000"  # how long the group waits for a member that was killed
    made = Pipeline(tmp_path, BUS=bus, STORE=opensearch_url, PREFIX=prefix, HOME=str(tmp_path / "home"))
    yield made
    for process in made.processes.values():
        process.kill()
        process.wait()


@pytest.fixture
def embedded(tmp_path):
    return Pipeline(tmp_path, HOME=str(tmp_path / "home"))
