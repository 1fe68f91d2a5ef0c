"""The bridge between tailrace and the standard library: `logging` in both directions, uncaught exceptions.

`TailraceHandler` makes each LogRecord an event of the current run. `LoggingSink` makes each event a LogRecord under
`tailrace.workflow`, and `WorkflowHook` does both for a program that knows only its methods. `ContextFilter` and
`JsonFormatter` serve any handler. Both directions at once make no loop: what came from `logging` is not sent there
again, nor the other way round.
"""

from __future__ import annotations

from tailrace.stdlib.context import ContextFilter
from tailrace.stdlib.formatter import JsonFormatter
from tailrace.stdlib.handler import TailraceHandler
from tailrace.stdlib.hook import WorkflowHook
from tailrace.stdlib.sink import LoggingSink

__all__ = ["ContextFilter", "JsonFormatter", "LoggingSink", "TailraceHandler", "WorkflowHook"]
