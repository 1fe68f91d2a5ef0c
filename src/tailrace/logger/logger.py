"""`Logger`: the object behind `tailrace.get_logger()`, and its agent loggers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

from tailrace.logger import FlushResult, Stats, counters
from tailrace.logger.context import RunState, Scope, current, name_of, scope_of
from tailrace.logger.flat import FlatApi
from tailrace.logger.recorder import Recorder
from tailrace.logger.scopes import Run

_POLL_SECONDS = 0.005


class Logger(FlatApi):
    """Logs runs of one workflow; made without a name, it records into whatever run's block it is used in.

    One instance serves every thread, event loop and task of the process.

    No method but `drain`, `flush` and `close` waits for anything; those that record never raise.
    """

    __slots__ = ("_recorder_now", "_workflow")

    def __init__(self, recorder: Callable[[], Recorder], workflow: str | None) -> None:
        self._recorder_now = recorder
        self._workflow = None if workflow is None else name_of(workflow)

    @property
    def workflow_name(self) -> str:
        """The workflow whose runs this logger records: as given, else the setting `workflow_name`."""
        return self._workflow or self._recorder().config.workflow_name

    def _recorder(self) -> Recorder:
        return self._recorder_now()

    def _place(self) -> tuple[Recorder, Scope]:
        recorder, scope = self._recorder_now(), current.get()
        if scope is not None and scope.run.is_open:  # nearly always: no need to look further
            workflow = self._workflow or recorder.config.workflow_name
            if scope.run.workflow == workflow or (self._workflow is None and scope.run.is_ambient):
                return recorder, scope
        return recorder, self._scope()

    def _open_scope(self) -> Scope | None:
        return scope_of(self.workflow_name, ambient=self._workflow is None)

    def run(self, *, session: str | None = None, tags: Iterable[str] = (), **fields: Any) -> Run:
        """A run, as a block: `with log.run(session="c-17", tags=["beta"]) as run:`. Works in `async with` too."""
        return Run(self._recorder(), self.workflow_name, session, list(tags), fields)

    def agent(self, name: str) -> AgentLogger:
        """A logger that speaks as this agent, in whatever run and interaction is current where it is called."""
        return AgentLogger(name, self)

    def stats(self) -> Stats:
        """Counters of this process. Reads the spool directory: milliseconds, not for a hot path."""
        return msgspec.structs.replace(
            self._recorder().stats(),
            capture_failed=sum(counters.counted(counters.CAPTURE).values()),
            inbound_rejected=counters.counted(counters.INBOUND),
        )

    async def drain(self) -> None:
        """Wait until the spool has room: less than half of `spool.max_bytes` used. For loops that may outrun the bus.

        Runs on asyncio and trio.
        """
        import anyio  # noqa: PLC0415 - importing tailrace stays quick

        while not self._recorder().spool_is_roomy():  # noqa: ASYNC110 - shippers in other processes make room too
            await anyio.sleep(10 * _POLL_SECONDS)

    async def flush(
        self,
        level: Literal["process", "disk", "broker"] = "broker",
        *,
        timeout: float = 5.0,  # noqa: ASYNC109 - a result is wanted, not a TimeoutError
    ) -> FlushResult:
        """Wait until all that was accepted before the call is safe at a level, for at most `timeout` seconds.

        `process`: survives the death of the process; true of every accepted event, at once. `disk`: survives a power
        cut. `broker`: acknowledged by the bus (with `publish="external"`, only `tailrace ship` gets it there, and this
        reports `reached=False`).
        """
        import anyio  # noqa: PLC0415 - importing tailrace stays quick
        import anyio.to_thread  # noqa: PLC0415

        recorder = self._recorder()
        reached = True
        if level == "disk":
            await anyio.to_thread.run_sync(recorder.sync)
        elif level == "broker":
            place = recorder.written()
            recorder.ship_now()
            with anyio.move_on_after(timeout):
                while not recorder.is_acked(place):  # noqa: ASYNC110 - the publisher signals nobody
                    await anyio.sleep(_POLL_SECONDS)
            reached = recorder.is_acked(place)
        stats = recorder.stats()
        return FlushResult(reached, stats.accepted, stats.synced, stats.acked, stats.dropped)

    def close(self, timeout: float | None = None) -> bool:
        """Ship what is there, for at most `timeout` seconds (default: the setting `exit_timeout`); then the publisher
        ends. True if the bus has everything; what is left stays on the spool. Blocks. Logging goes on working.

        Called by itself at exit.
        """
        recorder = self._recorder()
        return recorder.close(recorder.config.exit_timeout if timeout is None else timeout)


class AgentLogger(FlatApi):
    """A logger that speaks as one agent, in whatever run and interaction is current where it is called.

    `log.agent(name)` gives one of that logger's workflow. Made alone, `AgentLogger(name)` is one of a logger without a
    name, for agents whose program does not deal with runs: a run that it begins ends with the process.
    """

    __slots__ = ("_agent", "_begun", "_logger")

    def __init__(self, agent_name: str, logger: Logger | None = None) -> None:
        self._agent = name_of(agent_name)
        self._begun: Callable[[RunState], None] | None = None
        if logger is None:
            # Not above: the process's state makes loggers.
            from tailrace.logger import state, unattended  # noqa: PLC0415

            logger, self._begun = state.get_logger(), unattended.end_at_exit
        self._logger = logger

    @property
    def workflow_name(self) -> str:
        """As that of the logger that made it."""
        return self._logger.workflow_name

    def _recorder(self) -> Recorder:
        return self._logger._recorder()  # noqa: SLF001 - one piece with its logger

    def _open_scope(self) -> Scope | None:
        return self._logger._open_scope()  # noqa: SLF001 - the same

    def _has_begun(self, run: RunState) -> None:
        if self._begun is not None:
            self._begun(run)
