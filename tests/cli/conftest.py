import asyncio
import os
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from tailrace.bus import Record
from tailrace.bus.topics import Topics
from tailrace.cli import app
from tailrace.config import Config
from tailrace.event import encode, stamp
from tailrace.registry import open_bus, open_store

EXECUTABLE = Path(sys.executable).with_name("tailrace")


class CommandLine:
    """Runs the real executable in a directory of its own, without the settings of whoever runs the tests."""

    def __init__(self, directory: Path, **settings):
        self.directory = directory
        self.settings = settings
        self.home = directory / ".tailrace"
        foreign = ("TAILRACE_", "NO_COLOR", "FORCE_COLOR", "COLUMNS")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        chosen = {f"TAILRACE_{name.upper()}": value for name, value in settings.items()}
        self.environment = {**inherited, **chosen, "TZ": "UTC", "LC_ALL": "C.UTF-8"}

    def __call__(self, *arguments, **environment):
        return subprocess.run(
            [EXECUTABLE, *arguments],
            cwd=self.directory,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    def start(self, *arguments, **environment):
        """The same, still running: output on pipes."""
        return subprocess.Popen(
            [EXECUTABLE, *arguments],
            cwd=self.directory,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    @property
    def config(self) -> Config:
        return Config(home=str(self.home), **self.settings)

    def store(self, *stories):
        """Merge the documents of stories into the store that the executable reads."""

        async def merge():
            async with aclosing(open_store(self.config)) as store:
                assert await store.merge([story.document for story in stories]) == []

        asyncio.run(merge())

    def wait_for_run(self, run_id):
        """Return when the store holds the run; some consumer is at work on it."""

        async def wait():
            async with aclosing(open_store(self.config)) as store:
                async with asyncio.timeout(30):
                    while await store.get(run_id) is None:
                        await asyncio.sleep(0.05)

        asyncio.run(wait())

    def publish(self, *stories):
        """Put the events of stories on the bus that the executable reads, in the order of their times."""
        topics = Topics(self.config.prefix)
        events = sorted((event for story in stories for event in story.events), key=stamp)
        self.publish_records(*(Record(topics.events(e.workflow), e.run.encode(), encode(e)) for e in events))

    def publish_records(self, *records):
        async def publish():
            async with aclosing(open_bus(self.config)) as bus:
                await bus.publish(records)

        asyncio.run(publish())


class InThisProcess(CommandLine):
    """The same commands without a process for each: for tests of many, which say nothing of signals and terminals."""

    def __init__(self, directory: Path, capfd, **settings):
        super().__init__(directory, **settings)
        self.capfd = capfd

    def __call__(self, *arguments, **environment):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.directory)
            for name, value in {**self.environment, **environment}.items():
                patch.setenv(name, value)
            self.capfd.readouterr()
            code = app.run(arguments)
            return subprocess.CompletedProcess(arguments, code, *self.capfd.readouterr())


@pytest.fixture
def tailrace(tmp_path):
    return CommandLine(tmp_path)


@pytest.fixture
def quick(tmp_path, capfd):
    return InThisProcess(tmp_path, capfd)
