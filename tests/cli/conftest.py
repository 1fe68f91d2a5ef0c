import asyncio
import os
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from tailrace.config import Config
from tailrace.registry import open_store

EXECUTABLE = Path(sys.executable).with_name("tailrace")


class CommandLine:
    """Runs the real executable in a directory of its own, without the settings of whoever runs the tests."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.home = directory / ".tailrace"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
        self.environment = {**inherited, "TZ": "UTC", "LC_ALL": "C.UTF-8"}

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
        return Config(home=str(self.home))

    def store(self, *stories):
        """Merge the documents of stories into the store that the executable reads."""

        async def merge():
            async with aclosing(open_store(self.config)) as store:
                assert await store.merge([story.document for story in stories]) == []

        asyncio.run(merge())


@pytest.fixture
def tailrace(tmp_path):
    return CommandLine(tmp_path)
