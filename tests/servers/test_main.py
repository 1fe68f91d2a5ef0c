"""`make servers`, as a person uses it."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from tests.servers import Kafka, OpenSearch, UnavailableError, jars

ROOT = Path(__file__).parents[2]


@pytest.mark.kafka
@pytest.mark.opensearch
def test_both_servers_run_until_the_command_is_terminated(tmp_path, monkeypatch):
    try:
        jars.find_java()
        jars.fetch(Kafka.pom)
        jars.fetch(OpenSearch.pom)
    except UnavailableError as error:
        pytest.skip(str(error))  # the tests that use the fixtures fail for it in CI
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-m", "tests.servers"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as command:
        try:
            bus = re.fullmatch(r"export TAILRACE_BUS=kafka://(127\.0\.0\.1:\d+)\n", command.stdout.readline())
            store = re.fullmatch(r"export TAILRACE_STORE=opensearch://(127\.0\.0\.1:\d+)\n", command.stdout.readline())
            assert AdminClient({"bootstrap.servers": bus[1]}).list_topics(timeout=10).brokers
            urllib.request.urlopen(f"http://{store[1]}", timeout=10).close()
        finally:
            command.terminate()
        assert command.wait(30) == 0
        assert command.stdout.read() == ""
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://{store[1]}", timeout=10)
    assert list(tmp_path.iterdir()) == []
