"""tailrace through its public interface, with its default settings but for the bus and who publishes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

from benchmarks.payloads import AGENT, ITERATION, MASK, WORKFLOW
from benchmarks.peers import Peer

_FLUSH_SECONDS = 120.0


class SpoolOnly(Peer):
    """log_action in an open interaction; on the spool at return; another process publishes (publish="external")."""

    name = "tailrace"
    sink = "spool"
    packages = ("tailrace",)
    modes: ClassVar[frozenset[str]] = frozenset({"call", "loop", "fill"})
    publish: ClassVar[str | None] = "external"
    _spool_bytes: ClassVar[int] = 8 << 30
    """An outage of ten minutes must not meet the budget: dropping is cheap."""

    async def open(self) -> None:
        import tailrace

        self._log = tailrace.configure_logger(
            WORKFLOW,
            home=str(self._home),
            bus=self._bus(),
            publish=self.publish,
            prefix=f"bench-{self.directory.name}",
            spool={"max_bytes": self._spool_bytes},
        )
        self._log.start_iteration(ITERATION)
        self._log.start_interaction(AGENT)
        self._action = self._log.log_action

    def call(self, i: int) -> None:
        name, given, found = self.pool[i & MASK]
        self._action(name, input_data=given, output_data=found)

    def delivered(self) -> int:
        return self._log.stats().accepted

    async def close(self) -> None:
        self._log.close()

    @property
    def _home(self) -> Path:
        return self.directory / "home"

    def _bus(self) -> str | None:
        return None


class OnSqlite(SpoolOnly):
    """The same with nothing set: a thread of the process publishes to the SQLite file."""

    name = "tailrace_sqlite"
    sink = "spool, SQLite"
    modes = frozenset({"call", "loop", "backlog"})
    publish = "internal"

    async def flush(self) -> None:
        result = await self._log.flush("broker", timeout=_FLUSH_SECONDS)
        if not result.reached:
            raise TimeoutError(f"the bus did not take everything: {self._log.stats()}")

    def delivered(self) -> int:
        return self._log.stats().acked

    def has_backlog(self) -> bool:
        """Whether the spool of an earlier process is still there."""
        from tailrace.spool.directory import all_in

        return sum(1 for _ in all_in(self._home / "spool")) > 1

    def is_cut_off(self) -> bool:
        """Whether the publisher has noticed that the bus is away."""
        return bool(self._log.stats().trouble)


class OnKafka(OnSqlite):
    """The same on a real Kafka, with nothing else set: a companion process publishes with acks=all."""

    name = "tailrace_kafka"
    sink = "spool, Kafka"
    needs_kafka = True
    modes = frozenset({"call", "loop", "backlog", "sustained", "outage"})
    publish: ClassVar[str | None] = None

    def _bus(self) -> str:
        return f"kafka://{self.kafka}"

    def elsewhere_cpu_ns(self) -> int:
        return sum(_cpu_ns(int(lock.read_text())) for lock in self._home.glob("spool/companion-*.lock"))


class OnKafkaInThread(OnKafka):
    """The same with publish="internal": a thread of the logging process publishes."""

    name = "tailrace_thread"
    publish = "internal"

    def elsewhere_cpu_ns(self) -> int:
        return 0


def _cpu_ns(process: int) -> int:
    """CPU that all threads of a process have taken so far, those that ended included.

    By its CPU clock, as clock_getcpuclockid(3) names it: /proc has ticks of 10 ms, or only the threads that live.
    """
    return time.clock_gettime_ns((~process << 3) | 2)
