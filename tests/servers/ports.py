"""Ports for servers that come and go: none that the kernel hands to clients, none that two test runs share."""

from __future__ import annotations

import socket
from collections.abc import Iterable


class PortLease:
    """The TCP port `port`, ours until `release()` or the end of this process, also while no server listens on it.

    The UDP port of the same number is the lock: bound by one process at a time and let go by the kernel.
    """

    def __init__(self, candidates: Iterable[int]) -> None:
        for port in candidates:
            lock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                lock.bind(("127.0.0.1", port))
                _check_unused(port)
            except OSError:
                lock.close()
            else:
                self.port, self._lock = port, lock
                return
        raise OSError(f"no port is free among {candidates}")

    def release(self) -> None:
        self._lock.close()


def _check_unused(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
