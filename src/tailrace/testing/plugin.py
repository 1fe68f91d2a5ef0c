"""The pytest plugin: fixtures that every project with tailrace installed has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tailrace.testing import CapturedEvents, FakeClock


@pytest.fixture
def tailrace_clock() -> FakeClock:
    """A clock for the events of `tailrace_events`: it stands at 2026-01-01 00:00 UTC until `advance(seconds)`."""
    from tailrace.testing import FakeClock  # noqa: PLC0415 - sessions that do not log pay nothing

    return FakeClock()


@pytest.fixture
def tailrace_events(request: pytest.FixtureRequest) -> Iterator[CapturedEvents]:
    """What the test logs, in memory: `.events`, `.documents`, `.document`, `.data(type)`. See `capture_events`."""
    from tailrace.testing import capture_events  # noqa: PLC0415 - the same

    clock = request.getfixturevalue("tailrace_clock") if "tailrace_clock" in request.fixturenames else None
    with capture_events(clock=clock) as captured:
        yield captured
