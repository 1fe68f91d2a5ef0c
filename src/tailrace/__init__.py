"""tailrace: a workflow logger for LLM agents.

    import tailrace

    log = tailrace.get_logger()
    with log.run() as run, run.interaction("planner", input="...") as turn:
        log.log_action("search", input_data="...", output_data="...")
        turn.output = "..."

A logging call returns in microseconds, never blocks and never raises; what it accepted survives `kill -9`.
"""

from __future__ import annotations

from tailrace.config import wants_auto as _wants_auto
from tailrace.errors import TailraceError
from tailrace.logger import FlushResult, Stats, overrides
from tailrace.logger.aggregator import CentralAggregator
from tailrace.logger.decorators import action, agent, workflow
from tailrace.logger.logger import AgentLogger, Logger
from tailrace.logger.overrides import override
from tailrace.logger.propagation import Inbound, extract, inject
from tailrace.logger.scopes import Action, Interaction, Iteration, Run
from tailrace.logger.state import configure_logger, get_logger
from tailrace.logger.workflow_logger import (
    BaseWorkflowLogger,
    DefaultWorkflowLogger,
    get_workflow_logger,
    set_workflow_logger,
)
from tailrace.logger.wrap import wrap
from tailrace.stdlib.install import Installed, install

__version__ = "0.1.0"

__all__ = [
    # logging
    "configure_logger",
    "get_logger",
    "Logger",
    "AgentLogger",
    "CentralAggregator",
    # scopes
    "Run",
    "Iteration",
    "Interaction",
    "Action",
    # decorators
    "workflow",
    "agent",
    "action",
    # the place in a run, taken elsewhere
    "inject",
    "extract",
    "Inbound",
    "wrap",
    # overrides
    "override",
    "overrides",
    # another logger in the place of the default
    "BaseWorkflowLogger",
    "DefaultWorkflowLogger",
    "get_workflow_logger",
    "set_workflow_logger",
    # what the standard library hears of
    "install",
    "Installed",
    # results
    "FlushResult",
    "Stats",
    # errors
    "TailraceError",
]

if _wants_auto():
    install()
