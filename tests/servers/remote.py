"""A server that somebody else runs: it answers tests, and is not theirs to stop."""

from __future__ import annotations

from typing import NoReturn

import pytest


class Remote:
    """Has what `Server` has. A test that would stop it is skipped at that point."""

    def __init__(self, url: str, variable: str) -> None:
        self.url = url
        self.address = url.partition("://")[2].partition("?")[0].rstrip("/")
        self.running = True
        self._variable = variable

    def _not_ours(self) -> NoReturn:
        pytest.skip(f"{self._variable} names a server that this test may not stop")

    start = stop = kill = restart = killed = _not_ours
