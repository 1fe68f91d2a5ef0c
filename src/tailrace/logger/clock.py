"""The clock that durations are measured with; `tailrace.testing` puts another in its place."""

from __future__ import annotations

import time
from collections.abc import Callable

seconds: Callable[[], float] = time.perf_counter


def measure_with(other: Callable[[], float]) -> Callable[[], float]:
    """Measure durations with another clock from now on; gives the one before."""
    global seconds
    before, seconds = seconds, other
    return before
