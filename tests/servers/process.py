"""A server in its own process, which a test may stop, kill and start again on the same port and data."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

from tests.servers import jars
from tests.servers.jars import UnavailableError
from tests.servers.ports import PortLease

__all__ = ["Server", "ServerFailedError", "UnavailableError"]

_GUARD = Path(__file__).with_name("guard.py")
_STOP_SECONDS = 30.0
_QUICK = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""Serves after a few seconds, and never becomes as fast as Java can be."""
_POLL_SECONDS = 0.05


class ServerFailedError(Exception):
    """The server ended by itself or did not become ready in time; the message ends with its log's last lines."""


class Server(ABC):
    """One server on `127.0.0.1` with its files in `directory`. It dies with this process, however this process dies.

    `start()`, then `wait_ready()`; `close()` when done. Not thread-safe.

    Raises:
        UnavailableError: from the constructor, when Java or Maven is missing.
    """

    scheme: ClassVar[str]
    pom: ClassVar[Path]

    def __init__(self, directory: Path, ports: Iterable[int]) -> None:
        self.java_options: Sequence[str] = _QUICK
        """Empty for what Java does by itself: slower at first, then faster. For the next start."""
        self._java = jars.find_java()
        self._jars = jars.fetch(self.pom)
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._lease = PortLease(ports)
        self._log = directory / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        return self._lease.port

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """What the setting `bus` or `store` takes."""
        return f"{self.scheme}://{self.address}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process, with the data of the last time if there was one. Does not wait until it answers."""
        assert not self.running, f"{self.url} is running"
        self._release_process()
        command = [sys.executable, "-I", str(_GUARD), *self._java_command(*self._arguments())]
        with self._log.open("ab") as log:
            # Its own session: Ctrl-C on the terminal reaches only us, and we decide how the server ends.
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=self.directory, start_new_session=True
            )

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Return once the server serves requests, at most `timeout` seconds after this call.

        Raises:
            ServerFailedError: it ended, or still does not serve.
        """
        deadline = time.monotonic() + timeout
        while not self._answers():
            if not self.running:
                raise ServerFailedError(f"{self.url} ended before it answered\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ServerFailedError(f"{self.url} did not answer within {timeout:g} s\n{self.log_tail()}")
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """SIGTERM, and return when the process is gone; SIGKILL if that takes longer than 30 s."""
        self._end(b"t")

    def kill(self) -> None:
        """SIGKILL, and return when the process is gone."""
        self._end(b"k")

    def restart(self) -> None:
        """Stop it if it runs, start it on the same port and data, and wait until it serves."""
        self.stop()
        self.start()
        self.wait_ready()

    @contextmanager
    def killed(self) -> Iterator[None]:
        """The server is dead (SIGKILL) in the block, and serves again after it, also when the block fails."""
        self.kill()
        try:
            yield
        finally:
            self.restart()

    def close(self) -> None:
        """Kill it and give its port back. Its files stay."""
        self.kill()
        self._lease.release()

    def log_tail(self, lines: int = 30) -> str:
        if not self._log.exists():
            return ""
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def _java_command(self, *arguments: str) -> list[str]:
        return [self._java, *self.java_options, "-cp", f"{self._jars}/*", *arguments]

    def _end(self, order: bytes) -> None:
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        if process.poll() is None:
            # Ended by itself just now: nothing to order. Too slow to stop: the end of the input, below, kills it.
            with suppress(BrokenPipeError, subprocess.TimeoutExpired):
                os.write(process.stdin.fileno(), order)
                process.wait(_STOP_SECONDS)
        self._release_process()

    def _release_process(self) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._process = None

    @abstractmethod
    def _arguments(self) -> list[str]:
        """Prepare the directory where needed; the Java options, main class and its arguments."""

    @abstractmethod
    def _answers(self) -> bool:
        """True if this very server, and no other on its port, serves requests."""
