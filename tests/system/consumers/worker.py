"""A consumer in a process of its own, as `tailrace consume STAGE` runs it, which may carry a fuse."""

from __future__ import annotations

import functools
import os
import signal
import threading
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import anyio

from tailrace.config import load
from tailrace.consumer import find_consumer
from tests.processes import PROCESSES
from tests.system.consumers.points import STAGES, Fuse, arm

Settings = dict[str, Any]

_LINES = 40
"""Of its log, when a worker ended as it should not."""
_ASKING = threading.Lock()
"""Starting a process asks after the end of all others, too; of two threads that ask at once one is told 255."""
_CONSUMERS = {name: find_consumer(name) for name in STAGES}  # found once, where the workers are forked from


class Worker:
    """Lives from the constructor on. What it says goes to `<home>/<stage>.log`, which all workers of a home share."""

    def __init__(self, stage: str, settings: Settings, fuse: Fuse | None = None) -> None:
        self._log = Path(settings["home"], f"{stage}.log")
        self._told, theirs = PROCESSES.Pipe(duplex=False)
        self._process = PROCESSES.Process(target=_live, args=(stage, settings, fuse, theirs), daemon=True)
        with _ASKING:
            self._process.start()
        theirs.close()
        self._assigned = False

    def wait_assigned(self, timeout: float) -> bool:
        """Wait until it holds a partition; False if it is gone, or does not hold one in time."""
        with suppress(EOFError):
            self._assigned = self._assigned or (self._told.poll(timeout) and self._told.recv())
        return self._assigned

    def dies(self, timeout: float) -> bool:
        """Wait for its fuse; False if it never came to the point, and then it is killed all the same."""
        ended = self._exit_code(timeout)
        self.kill()
        assert ended in {None, -signal.SIGKILL}, self._ended(ended)
        return ended is not None

    def terminate(self) -> None:
        """SIGTERM, and return when it has ended in order; one that holds no partition yet may not have begun."""
        in_order = {0} if self.wait_assigned(0) else {0, -signal.SIGTERM}
        self._process.terminate()
        code = self._exit_code(30)
        self.kill()
        assert code in in_order, self._ended(code)

    def kill(self) -> None:
        """SIGKILL, unless it is gone; idempotent."""
        if self._told.closed:
            return
        if self._exit_code(0) is None:
            self._process.kill()
            self._exit_code(None)
        self._process.close()
        self._told.close()

    def check_alive(self) -> None:
        ended = self._exit_code(0)
        assert ended is None, self._ended(ended)

    def _exit_code(self, timeout: float | None) -> int | None:
        """Wait for its end, at most so long; None if it lives."""
        wait([self._process.sentinel], timeout)
        with _ASKING:
            return self._process.exitcode

    def _ended(self, code: int | None) -> str:
        last = "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES:])
        return f"a worker ended with {code}\n{last}"


def _live(stage: str, settings: Settings, fuse: Fuse | None, told: Connection) -> None:
    config = load(settings)
    config.home_path.mkdir(parents=True, exist_ok=True)
    log = os.open(config.home_path / f"{stage}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    arm(fuse, stage, config, on_assigned=functools.partial(_tell, told))
    anyio.run(_CONSUMERS[stage], config)


def _tell(told: Connection) -> None:
    with suppress(BrokenPipeError):  # whoever started us is going
        told.send(True)
