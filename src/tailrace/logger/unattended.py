"""Runs that nobody is told to end, because their program never sees a run: the end of the process ends them."""

from __future__ import annotations

import atexit
import os
import sys

from tailrace.event import types
from tailrace.logger import state
from tailrace.logger.context import RunState
from tailrace.logger.runfile import leave_document

_MAX_RUNS = 10_000
"""Beyond it, a run is left to be found abandoned."""

_runs: dict[str, RunState] = {}


def end_at_exit(run: RunState) -> None:
    """Have the run end with the process, unless it has ended by then. In a forked child it is its parent's to end."""
    with state.guard():
        if len(_runs) >= _MAX_RUNS:
            for key in [key for key, each in _runs.items() if not each.is_open]:
                del _runs[key]
        if len(_runs) < _MAX_RUNS:
            _runs[run.run_id] = run


def _end_all() -> None:
    # What Python's own excepthook leaves behind: an exception ended the main program.
    final_status = "failed" if getattr(sys, "last_value", None) is not None else "completed"
    with state.guard():
        runs = [*_runs.values()]
        _runs.clear()
    for run in runs:
        if run.is_open and run.opened_by == os.getpid():
            recorder = state.recorder()
            recorder.end_run(run, types.RunEnd(final_status=final_status))
            leave_document(recorder, run)


atexit.register(_end_all)  # runs before tailrace ships what is left, which was registered earlier
