"""Starting a companion process, so that nothing of it is left behind in the process that starts it: no child to wait
for, no descriptor, no terminal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from zlib import crc32

import msgspec

from tailrace.config import Config, environment_for_child
from tailrace.errors import TailraceError
from tailrace.forking import unforked
from tailrace.spool import files
from tailrace.spool.frame import VERSION
from tailrace.spool.lock import Lock

_PROGRAM = """\
import json, sys
order = sys.stdin.buffer.read()
sys.path[:] = json.loads(order)["path"]
from tailrace.publish.companion import main
main(order)
"""
_MOST_SAID = 2_000
_ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(16 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}
"""glibc: large batches are copied several times, and memory that goes back to the kernel in between costs more in page
faults than the copying itself."""
_UNWANTED = ("PYTHONINSPECT", "PYTHONSTARTUP", "TAILRACE_AUTO")


class LaunchError(TailraceError):
    """No companion could be started. `final`: nor can one be later."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


class Order(msgspec.Struct, frozen=True):
    """What a companion is told on its standard input."""

    config: Config
    name: str
    path: list[str]
    """Where modules are looked for, as in the process that starts it. Not in its environment: there it would hold from
    the first moment on, and a module of the program's that is called like one of Python's own would come too early."""


def name_of(config: Config) -> str:
    """Whom one companion serves: the processes that ship to one bus in one way. 8 hex digits.

    Those whose frames are of another version have another: it might not be able to read them.
    """
    way = msgspec.json.encode(
        (config.bus_url, str(config.spool_path.absolute()), config.prefix, config.topics, VERSION)
    )
    return f"{crc32(way):08x}"


def lock_of(spool: Path, name: str) -> Lock:
    """Held by the companion of that name while it lives."""
    return Lock(spool / f"companion-{name}.lock")


def companion_of(config: Config) -> int | None:
    """The process id of the companion that serves processes with these settings; None if none lives. For people."""
    lock = lock_of(config.spool_path, name_of(config))
    if not lock.path.exists() or lock.acquire(shared=True):
        lock.release()
        return None
    try:
        return int(files.read(lock.path))
    except (OSError, ValueError):
        return None


class Companionship:
    """The companion that this process's spools need."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._name = name_of(config)
        self._lock = lock_of(config.spool_path, self._name)

    def is_there(self) -> bool:
        """Whether one lives. Also true where nobody can tell."""
        with unforked:  # a child would take the lock for the companion, whom it then kept out
            is_free = self._lock.acquire(shared=True)
            self._lock.release()
        return not is_free and self._lock.path.parent.exists()

    def ensure(self) -> bool:
        """Start one if there is none; whether it was needed. Returns when it has begun; blocks for some 0.1 s.

        Raises:
            LaunchError: it could not be started, or said why it cannot ship.
        """
        if self.is_there():
            return False
        path = [str(Path(place).absolute()) for place in sys.path if place]
        _launch(Order(self._config, self._name, path))
        return True


def _launch(order: Order) -> None:
    interpreter = _interpreter()
    told, tell = os.pipe()
    hear, said = os.pipe()
    try:
        child = _spawn(interpreter, told, said)
    except OSError as error:
        for fd in (told, tell, hear, said):
            os.close(fd)
        raise LaunchError(f"{interpreter}: {error}") from error
    os.close(told)
    os.close(said)
    with contextlib.suppress(BrokenPipeError), os.fdopen(tell, "wb") as pipe:
        pipe.write(msgspec.json.encode(order))
    with os.fdopen(hear, "rb") as pipe:
        output = pipe.read()  # to its end: it has begun, or is gone
    status = _reaped(child)
    if status != 0:
        lines = output.decode("utf-8", "replace").strip().splitlines() or [f"it ended with status {status}"]
        raise LaunchError(lines[-1][:_MOST_SAID])


def _interpreter() -> str:
    """The program that runs Python modules.

    Raises:
        LaunchError: there is none: an executable made of a program and its interpreter would run that program again.
    """
    name = Path(sys.executable or "").name
    if getattr(sys, "frozen", False) or not name.startswith(("python", "pypy")):
        raise LaunchError(f"the program {name or 'that embeds Python'} is not a Python interpreter", final=True)
    return sys.executable


def _spawn(interpreter: str, told: int, said: int) -> int:
    nothing = os.devnull
    return os.posix_spawn(
        interpreter,
        [interpreter, "-P", "-c", _PROGRAM],
        _environment(),
        file_actions=[
            (os.POSIX_SPAWN_DUP2, told, 0),
            (os.POSIX_SPAWN_OPEN, 1, nothing, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, said, 2),
        ],
        setsigmask=[],
        setsigdef=[signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD],
    )


def _environment() -> dict[str, str]:
    return _ALLOCATOR | environment_for_child(_UNWANTED)


def _reaped(child: int) -> int:
    """The exit status; 0 where the program itself waits for all its children and was told instead."""
    try:
        _, status = os.waitpid(child, 0)
    except ChildProcessError:
        return 0
    return os.waitstatus_to_exitcode(status)
