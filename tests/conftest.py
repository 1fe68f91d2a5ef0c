"""Fixtures of every test: isolated settings, and real servers started once and only when a test asks for one."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import hypothesis
import pytest

from tests.servers import Kafka, OpenSearch, Server, UnavailableError, jars
from tests.servers.remote import Remote

_SERVERS: dict[str, type[Server]] = {"kafka": Kafka, "opensearch": OpenSearch}


# How long an example takes is no property of the code: a machine may be busy.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("untimed")


def pytest_configure() -> None:
    """Give SIGINT its meaning back: a shell starts what runs in its background with it ignored, and so do children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a server, so that `-m "not kafka"` leaves it out."""
    for item in items:
        for name in _SERVERS:
            if name in getattr(item, "fixturenames", ()):
                item.add_marker(name)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Copy the jars before the first test, whose timeout is no measure for a download."""
    if session.config.option.collectonly:
        return
    for name, server in _SERVERS.items():
        if _remote(name) is None and any(item.get_closest_marker(name) for item in session.items):
            with suppress(UnavailableError):  # the fixture says so, to each test that needs it
                jars.fetch(server.pom)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def isolated_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine reaches a test, and no default file of a test leaves its directory."""
    for name in os.environ:
        if name.startswith("TAILRACE_") and not name.startswith("TAILRACE_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def prefix() -> str:
    """For topics and indexes: tests share one broker, and none sees another's."""
    return f"t-{secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server | Remote]:
    yield from _served("kafka", tmp_path_factory)


@pytest.fixture(scope="session")
def kafka_url(kafka: Server | Remote) -> str:
    return kafka.url


@pytest.fixture(scope="session")
def opensearch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server | Remote]:
    yield from _served("opensearch", tmp_path_factory)


@pytest.fixture(scope="session")
def opensearch_url(opensearch: Server | Remote) -> str:
    return opensearch.url


def _remote(name: str) -> Remote | None:
    variable = f"TAILRACE_TEST_{name.upper()}"
    return Remote(os.environ[variable], variable) if os.environ.get(variable) else None


def _served(name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server | Remote]:
    remote = _remote(name)
    if remote is not None:
        yield remote
        return
    try:
        server = _SERVERS[name](tmp_path_factory.mktemp(name))
    except UnavailableError as error:
        line = f"{error}; or set TAILRACE_TEST_{name.upper()} to the URL of a running one"
        if os.environ.get("CI"):
            pytest.fail(line, pytrace=False)
        pytest.skip(line)
    try:
        server.start()
        server.wait_ready()
        yield server
    finally:
        server.close()
