"""The agent that a soak runs and kills, and the pipe on which it tells what was accepted.

A stream is one thread's sequence of calls. After each call that returned, the thread writes (stream, number of the
call) to the pipe: whoever reads it knows what must not be lost, without asking the logger or a file.
"""

from __future__ import annotations

import itertools
import os
import signal
import struct
import threading
import time
import warnings
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Self

import anyio
import msgspec

import tailrace
from tailrace.config import load
from tailrace.publish import ship
from tailrace.registry import open_bus
from tests.processes import PROCESSES

WORKFLOW = "soak"
STREAMS_A_ROUND = 16
_ACCEPTED = struct.Struct("<II")
_TEXT = "The flight of the customer was delayed; a refund of 42 EUR is due. " * 4


class Plan(msgspec.Struct, frozen=True):
    """What one agent does until it is killed or told to end."""

    settings: dict[str, Any]
    round: int = 0
    threads: int = 3
    forks: int = 0
    """Children that log as one more stream each."""
    actions: int = 50
    """In each run."""
    pause: float = 0.0
    """Seconds between two calls of a thread."""


class Ending(msgspec.Struct, frozen=True):
    """What an agent that was told to end says of itself."""

    reached: bool
    """Everything was acknowledged by the bus."""
    accepted: int
    dropped: int
    worst: float
    """The longest logging call, in seconds."""


class Agent:
    """An agent in a process of its own, with a thread here that reads the pipe."""

    def __init__(self, plan: Plan) -> None:
        self.marks: dict[int, int] = {}
        """Stream -> number of its last accepted call; complete once the process is gone."""
        self._begun = threading.Event()
        self._gone = False
        self._orders, theirs = PROCESSES.Pipe()
        accepted, told = PROCESSES.Pipe(duplex=False)
        self._process = PROCESSES.Process(target=_live, args=(plan, told, theirs), daemon=True)
        self._process.start()
        told.close()
        theirs.close()
        self._reader = threading.Thread(target=self._read, args=(accepted,))
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def accepted(self) -> int:
        """Calls accepted so far."""
        return sum(self.marks.values())

    def wait_begun(self) -> None:
        """Return after the first accepted call."""
        assert self._begun.wait(60), "the agent accepted nothing"

    def kill(self) -> None:
        """SIGKILL to the agent and its children, unless it is gone already."""
        if self._gone:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._ended()

    def end(self, timeout: float = 60.0) -> Ending:
        """Let it finish its calls and wait for the bus, at most `timeout` seconds."""
        self._orders.send(timeout)
        ending: Ending = self._orders.recv()
        self._ended()
        return ending

    def _ended(self) -> None:
        self._gone = True
        self._process.join()
        self._process.close()
        self._reader.join()
        self._orders.close()

    def _read(self, accepted: Connection) -> None:
        with accepted:
            # Records of 8 bytes are written whole, and a multiple of 8 is read: none is ever torn.
            while chunk := os.read(accepted.fileno(), 1 << 16):
                self.marks.update(_ACCEPTED.iter_unpack(chunk))
                self._begun.set()
        self._begun.set()


class Shipper:
    """Ships spools over and over in a process of its own, until killed."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._process = PROCESSES.Process(target=_ship, args=(settings,), daemon=True)
        self._process.start()

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()


def _live(plan: Plan, told: Connection, orders: Connection) -> None:
    os.setsid()  # children are killed with us
    warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what this is about
    log = tailrace.configure_logger(WORKFLOW, **plan.settings)
    stop = threading.Event()
    worst = [0.0] * STREAMS_A_ROUND

    def work(number: int) -> None:
        stream = plan.round * STREAMS_A_ROUND + number
        calls = itertools.count(1)
        while not stop.is_set():
            with log.run(stream=stream):
                for call in itertools.islice(calls, plan.actions):
                    begin = time.perf_counter()
                    log.log_action("step", input_data=[stream, call], output_data=_TEXT)
                    worst[number] = max(worst[number], time.perf_counter() - begin)
                    os.write(told.fileno(), _ACCEPTED.pack(stream, call))
                    if plan.pause:
                        time.sleep(plan.pause)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(plan.threads)]
    for thread in threads:
        thread.start()
    for number in range(plan.forks):
        time.sleep(0.01)
        if os.fork() == 0:
            work(plan.threads + number)
    timeout = orders.recv()
    stop.set()
    for thread in threads:
        thread.join()
    result = anyio.run(lambda: log.flush("broker", timeout=timeout))
    log.close()
    stats = log.stats()
    orders.send(Ending(result.reached, stats.accepted, sum(stats.dropped.values()), max(worst)))


def _ship(settings: dict[str, Any]) -> None:
    async def over_and_over() -> None:
        config = load(settings)
        bus = open_bus(config)
        while True:
            await ship(config, bus)
            await anyio.sleep(0.05)

    anyio.run(over_and_over)
