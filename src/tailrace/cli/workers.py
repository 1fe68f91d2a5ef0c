"""Several workers of one stage: a process each, started again when it dies, ended together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

import anyio
import msgspec
from anyio.abc import ByteReceiveStream, Process, TaskStatus

from tailrace.cli.output import say
from tailrace.config import Config
from tailrace.consumer import Address
from tailrace.errors import ConfigError

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
"""Seconds before a worker that died is started again: doubling, until it has run for as long as the longest."""
_STOP_SECONDS = 20.0
"""For workers to write what they hold (5 s at most) and to leave their groups; then they are killed."""
_MAX_LINE = 1 << 16
_CANNOT_GO_ON = frozenset({1, 2})
"""Exit codes of a worker that said why; to start it again would end the same."""


class Worker(msgspec.Struct, frozen=True):
    """How to start one."""

    number: int
    command: Sequence[str]


def planned(config: Config, stage: str, count: int) -> list[Worker]:
    """Each with a metrics port and a static name of its own, where there are such: counted up from those set.

    Raises:
        ConfigError: the bus lives in one process, or the ports do not suffice.
    """
    if config.bus_url.startswith("memory:"):
        raise ConfigError("a memory: bus lives in one process, so no worker could read it; set TAILRACE_BUS")
    return [_worker(config, stage, number) for number in range(count)]


def _worker(config: Config, stage: str, number: int) -> Worker:
    command = [sys.executable, "-m", "tailrace.cli", "consume", stage, "--supervisor", str(os.getpid())]
    address = Address.of(config)
    if address is not None:
        command += ["--metrics", str(address.plus(number))]
    if config.consume.instance is not None:
        command += ["--instance", f"{config.consume.instance}-{number}"]
    return Worker(number, command)


async def supervise(workers: Sequence[Worker]) -> int:
    """Run the workers until SIGTERM or SIGINT, which they get as SIGTERM and may take 20 s to follow.

    A worker that dies, or ends unasked, is started again. One that cannot go on (exit code 1 or 2) ends them all.
    Returns 0 when all have ended in order, the code of the one that cannot go on, else 1. A second signal acts as
    usual; workers end by themselves when this process is gone.
    """
    return await _Supervisor(workers).run()


class _Supervisor:
    def __init__(self, workers: Sequence[Worker]) -> None:
        self._workers = workers
        self._running: dict[int, Process] = {}
        self._stopping = anyio.Event()
        self._code = 0

    async def run(self) -> int:
        async with anyio.create_task_group() as background:
            await background.start(self._stop_on_signal)
            background.start_soon(self._end)
            try:
                async with anyio.create_task_group() as keeping:
                    for worker in self._workers:
                        keeping.start_soon(self._keep, worker)
            finally:
                self._signal_all(signal.SIGKILL)
            background.cancel_scope.cancel()
        return self._code

    async def _stop_on_signal(self, *, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            task_status.started()
            async for _ in signals:
                break
        self._stopping.set()

    async def _end(self) -> None:
        """Once it is time to stop: ask every worker to end, and see to it that they do."""
        await self._stopping.wait()
        self._signal_all(signal.SIGTERM)
        await anyio.sleep(_STOP_SECONDS)
        for number in self._running:
            say(f"worker {number} did not end within {_STOP_SECONDS:.0f} s and is killed; what it held is read again")
        self._signal_all(signal.SIGKILL)

    def _signal_all(self, number: signal.Signals) -> None:
        for process in self._running.values():
            with suppress(ProcessLookupError):
                process.send_signal(number)

    async def _keep(self, worker: Worker) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            started = time.monotonic()
            code = await self._run_once(worker)
            if self._stopping.is_set():
                self._note_end(worker, code)
                return
            if code in _CANNOT_GO_ON:
                say(f"worker {worker.number} cannot go on (exit code {code}): all stop")
                self._code = code
                self._stopping.set()
                return
            if time.monotonic() - started >= _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            say(f"worker {worker.number} {_ended(code)}; it is started again in {pause:.0f} s")
            with anyio.move_on_after(pause):
                await self._stopping.wait()
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _note_end(self, worker: Worker, code: int) -> None:
        if code not in {0, -signal.SIGTERM}:  # the latter: it was still starting, and held nothing
            say(f"worker {worker.number} {_ended(code)}")
            self._code = self._code or 1

    async def _run_once(self, worker: Worker) -> int:
        # A session of its own: Ctrl-C reaches this process alone, which passes it on once.
        process = await anyio.open_process(
            worker.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._running[worker.number] = process
        try:
            say(f"worker {worker.number} is process {process.pid}")
            if self._stopping.is_set():
                process.terminate()
            if process.stderr is not None:
                await _relay(process.stderr, worker.number)
            return await process.wait()
        finally:
            if process.returncode is not None:
                del self._running[worker.number]


def _ended(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


async def _relay(stderr: ByteReceiveStream, number: int) -> None:
    """What a worker says, with its number before each line."""
    rest = b""
    async for chunk in stderr:
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _MAX_LINE:
            lines, rest = [*lines, rest], b""
        for line in lines:
            sys.stderr.write(f"[{number}] {line.decode('utf-8', 'replace')}\n")
        sys.stderr.flush()
    if rest:
        sys.stderr.write(f"[{number}] {rest.decode('utf-8', 'replace')}\n")
