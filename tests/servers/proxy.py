"""Stands between a client and a Kafka broker that advertises its address, and makes the trouble it is told to make."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from typing import Literal

from tests.servers.ports import PortLease

_PRODUCE = 0

Fault = Literal["none", "mute", "half a request", "no produce response"]


class Proxy:
    """Listens on `port` of 127.0.0.1 from the start; `target` is where it connects to. Close it when done."""

    def __init__(self, ports: list[int]) -> None:
        self._lease = PortLease(ports)
        self.port = self._lease.port
        self.target = 0
        self.delay = 0.0
        """Seconds that each answer takes longer."""
        self.fault: Fault = "none"
        """`mute`: answers are swallowed. The others cut the connection: in the midst of a request to produce, or
        when the broker has written the records and answers."""
        self.faults = 0
        """How often the fault happened."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def close(self) -> None:
        for each in (self._listener, *self._open):
            _cut(each)
        for thread in self._threads:
            thread.join(10)
        self._lease.release()

    def _start(self, target, *arguments) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    broker = socket.create_connection(("127.0.0.1", self.target))
                except OSError:
                    _cut(client)
                    continue
                self._open += [client, broker]
                producing: set[bytes] = set()
                self._start(self._pass_requests, client, broker, producing)
                self._start(self._pass_answers, client, broker, producing)

    def _pass_requests(self, client: socket.socket, broker: socket.socket, producing: set[bytes]) -> None:
        with suppress(OSError):
            while frame := _frame(client):
                if struct.unpack_from(">h", frame, 4)[0] == _PRODUCE:
                    producing.add(frame[8:12])
                    if self.fault == "half a request":
                        self.faults += 1
                        broker.sendall(frame[: len(frame) // 2])
                        break
                broker.sendall(frame)
        _cut(client)
        _cut(broker)

    def _pass_answers(self, client: socket.socket, broker: socket.socket, producing: set[bytes]) -> None:
        with suppress(OSError):
            while frame := _frame(broker):
                time.sleep(self.delay)
                if self.fault == "mute":
                    self.faults += 1
                    continue
                if self.fault == "no produce response" and frame[4:8] in producing:
                    self.faults += 1
                    break
                producing.discard(frame[4:8])
                client.sendall(frame)
        _cut(client)
        _cut(broker)


def _frame(source: socket.socket) -> bytes:
    """One request or answer with its length; empty at the end."""
    head = source.recv(4, socket.MSG_WAITALL)
    if len(head) < 4:
        return b""
    size = struct.unpack(">i", head)[0]
    body = source.recv(size, socket.MSG_WAITALL)
    return head + body if len(body) == size else b""


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
