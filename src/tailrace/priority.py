"""How urgently threads run that nobody waits for."""

from __future__ import annotations

import contextlib
import os


def never_preempt() -> None:
    """The calling thread, when it wakes up, lets who runs on its processor go on. Its share of time stays what it was.

    Else it would often push the program's own thread aside in the middle of a log call, for some 0.4 ms each time.
    """
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # of this thread
