"""What some peers send to: a real Kafka and an HTTP sink, each in its own process, for the time of a run."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def kafka(directory: Path) -> Iterator[str]:
    """`host:port` of an Apache Kafka, started for this; empty where none can be started, and stderr says why."""
    with _started("Kafka", directory) as address:
        yield address


@contextmanager
def opensearch(directory: Path) -> Iterator[str]:
    """As `kafka`, an OpenSearch."""
    with _started("OpenSearch", directory) as address:
        yield address


@contextmanager
def _started(name: str, directory: Path) -> Iterator[str]:
    try:
        from tests import servers
    except ImportError as error:
        yield _without(name, str(error))
        return
    try:
        server = getattr(servers, name)(directory)
    except servers.UnavailableError as error:
        yield _without(name, str(error))
        return
    server.java_options = ()  # as they are operated
    try:
        server.start()
        server.wait_ready()
        yield server.address
    finally:
        server.close()


@contextmanager
def http_sink() -> Iterator[str]:
    """URL of a server that takes every request."""
    command = [sys.executable, str(Path(__file__).with_name("http_sink.py"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


@contextmanager
def refused_port() -> Iterator[str]:
    """`host:port` that refuses every connection, and that nobody else is given meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


def _without(name: str, reason: str) -> str:
    print(f"without {name}: {reason}", file=sys.stderr)
    return ""
