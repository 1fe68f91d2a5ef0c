"""On a bus with consumers of its own, reading commands only read."""

import signal

import pytest

from tests.cli.conftest import CommandLine
from tests.cli.story import RUN, finished


@pytest.fixture
def on_kafka(tmp_path, kafka_url, prefix):
    return CommandLine(tmp_path, bus=kafka_url, prefix=prefix)


def test_tail_doctor_topics_and_consume_work_on_kafka(on_kafka):
    on_kafka.publish(finished())
    assert len(on_kafka("tail", "research").stdout.splitlines()) == len(finished().events)
    assert on_kafka("runs").stdout == ""

    before = on_kafka("doctor")
    assert before.returncode == 0, before.stdout
    assert "sample: 14 records behind" in before.stdout
    assert "fix: tailrace consume all" in before.stdout

    consuming = on_kafka.start("consume", "all")
    try:
        on_kafka.wait_for_run(RUN)
        consuming.send_signal(signal.SIGTERM)
        consuming.communicate(timeout=30)
    finally:
        consuming.kill()
    assert consuming.returncode == 0
    assert RUN[-8:] in on_kafka("runs").stdout
    assert "sample: 0 records behind" in on_kafka("doctor").stdout
    assert f"{on_kafka.settings['prefix']}.documents" in on_kafka("topics", "list").stdout
