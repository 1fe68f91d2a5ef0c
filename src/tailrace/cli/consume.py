"""`tailrace consume`: runs a stage, or the three of them, in this process."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from typing import Annotated

from cyclopts import Parameter

from tailrace.cli.output import say
from tailrace.cli.progress import Board, described
from tailrace.cli.workers import planned, supervise
from tailrace.config import load
from tailrace.consumer import Progress, find_consumer
from tailrace.errors import ConfigError


async def consume(
    stage: Annotated[str, Parameter(help="`sample`, `aggregate`, `index`, or `all` of them in one process.")],
    *,
    metrics: Annotated[
        str | None, Parameter(help="Serve /metrics, /livez and /readyz at `PORT` of this host, or at `HOST:PORT`.")
    ] = None,
    workers: Annotated[int, Parameter(help="So many processes, which share the partitions of a Kafka bus.")] = 1,
    instance: Annotated[str | None, Parameter(help="A name of its own in its Kafka group, kept over restarts.")] = None,
    supervisor: Annotated[int | None, Parameter(show=False)] = None,
) -> int:
    """Run a stage until Ctrl-C or SIGTERM; what it holds is then written and committed first.

    With `--workers`, a process that dies is started again; the ports of `--metrics` count up from the one given, and
    `--instance` is followed by the worker's number.
    """
    given = {name: value for name, value in (("metrics", metrics), ("instance", instance)) if value is not None}
    config = load({"consume": given}, source="the command line")
    consumer = find_consumer(stage)
    if workers < 1:
        raise ConfigError(f"--workers takes 1 or more, not {workers}")
    if workers > 1:
        if config.bus_url.startswith("sqlite:"):
            say(f"on a SQLite bus one worker reads at a time; the other {workers - 1} stand by for it to end")
        return await supervise(planned(config, stage, workers))
    logging.getLogger("tailrace.consumers").setLevel(logging.INFO)
    logging.getLogger("tailrace").addHandler(_Say(logging.INFO))
    with Board() as board:
        final = await consumer(config, report=board.show if supervisor is None else _Leaving(supervisor, board.show))
    for progress in final:
        say(described(progress))
    return 0


class _Leaving:
    """Ends a worker in order once its supervisor is gone, which could not tell it."""

    def __init__(self, supervisor: int, show: Callable[[Progress], None]) -> None:
        self._supervisor = supervisor
        self._show = show
        self._left = False

    def __call__(self, progress: Progress) -> None:
        if not self._left and os.getppid() != self._supervisor:
            self._left = True
            signal.raise_signal(signal.SIGTERM)
        self._show(progress)


class _Say(logging.Handler):
    """What the consumers log, in lines like all other diagnostics."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        say(record.getMessage() + (f": {error!r}" if error else ""))
