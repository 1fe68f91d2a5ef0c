"""`CentralAggregator`: one place that all agents' lines go to, for programs that do not deal with runs."""

from __future__ import annotations

import time
from typing import Any, ClassVar, Self

from tailrace.logger import state
from tailrace.logger.logger import AgentLogger

_POLL_SECONDS = 0.005


class CentralAggregator:
    """Where the lines of all agents meet: the spool of this process, and from there the bus, whoever logs them.

    It holds nothing itself: a line is safe when its call returns, also if `flush` is never called.
    """

    _instance: ClassVar[Self | None] = None

    @classmethod
    def instance(cls) -> Self:
        """The process's one."""
        with state.guard():
            if cls._instance is None:
                cls._instance = cls()
            return cls._instance

    def add_log(self, agent_name: str, message: dict[str, Any]) -> None:
        """A line of an agent: its `level` (default INFO) and `message`, and all other keys as fields.

        Goes into the current run, and begins one where there is none; any thread, does not block, never raises.
        """
        fields = {str(key): value for key, value in message.items() if key not in ("level", "message")}
        AgentLogger(agent_name).log(message.get("level", "INFO"), message.get("message"), **fields)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until the bus has every line, for at most `timeout` seconds: whether it has.

        Blocks; an event loop has `await log.flush()` instead.
        """
        recorder = state.recorder()
        place, deadline = recorder.written(), time.monotonic() + timeout
        recorder.ship_now()
        while not recorder.is_acked(place) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return recorder.is_acked(place)
