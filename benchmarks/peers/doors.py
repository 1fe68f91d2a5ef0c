"""tailrace's other doors: the call with overrides installed, and a record of `logging` on its way to an event."""

from __future__ import annotations

import logging
from typing import ClassVar

from benchmarks.payloads import AGENT, MASK, PLACE
from benchmarks.peers.ours import SpoolOnly


class OverrideElsewhere(SpoolOnly):
    """As `tailrace`, with an override installed that is for another agent."""

    name = "tailrace_override_elsewhere"
    modes: ClassVar[frozenset[str]] = frozenset({"call"})
    agent: ClassVar[str] = "nobody"

    async def open(self) -> None:
        import tailrace

        await super().open()
        tailrace.override(lambda event, write: write(event), agent=self.agent)


class OverrideMatching(OverrideElsewhere):
    """As `tailrace`, with an override that lets every call pass as it is."""

    name = "tailrace_override_matching"
    agent = AGENT


class StdlibRecord(SpoolOnly):
    """A LogRecord with `extra` through a TailraceHandler, the logger's only one."""

    name = "tailrace_stdlib"
    modes = frozenset({"call"})

    async def open(self) -> None:
        from tailrace.stdlib import TailraceHandler

        await super().open()
        self._logger = logging.Logger("agents.researcher", logging.INFO)  # noqa: LOG001 - nobody else's handlers
        self._logger.addHandler(TailraceHandler())

    def call(self, i: int) -> None:
        name, given, found = self.pool[i & MASK]
        self._logger.info("action", extra={**PLACE, "action_name": name, "input": given, "output": found})
