"""The consumers as the command line runs them: on real buses and stores, and as processes."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import anyio
import pytest

from tailrace.bus import Record
from tailrace.bus.topics import Topics
from tailrace.config import Config, ConsumeSettings
from tailrace.consumer import find_consumer
from tailrace.document import collect
from tailrace.document.view import render
from tailrace.errors import TailraceError
from tailrace.event import encode
from tailrace.registry import open_bus, open_store
from tailrace.sampling import SampleSettings
from tailrace_consumers.metrics import serving
from tests.consumers.making import end, event, failure, start
from tests.consumers.test_health import get, samples

pytestmark = pytest.mark.anyio

FINE = [start("fine"), event("fine", 1), end("fine", 2)]
BAD = [start("bad"), failure("bad", 1), end("bad", 2, "failed")]
OPEN = [start("open"), event("open", 1)]


def config_of(home, **settings):
    return Config(home=str(home), **settings)


async def publish(config, *events, raw=()):
    bus = open_bus(config)
    topic = Topics(config.prefix).events("w")
    await bus.publish([Record(topic, each.run.encode(), encode(each)) for each in events])
    await bus.publish([Record(topic, b"k", value) for value in raw])
    await bus.aclose()


async def stored(config, *runs):
    store = open_store(config)
    documents = {run: await store.get(run) for run in runs}
    await store.aclose()
    return {run: render(document) if document else None for run, document in documents.items()}


def expected(*events):
    return {run: render(document) for run, document in collect(events).items()}


@pytest.fixture(params=["sqlite", "memory"])
def config(request, tmp_path):
    if request.param == "sqlite":
        return config_of(tmp_path / "home")
    return config_of(tmp_path / "home", bus=f"memory:{tmp_path}", store=f"memory:{tmp_path}")


async def test_all_brings_the_store_up_to_date_and_ends(config):
    await publish(config, *FINE, *BAD, *OPEN)
    progress = await find_consumer("all")(config, until="caught_up")
    assert await stored(config, "fine", "bad", "open") == expected(*FINE, *BAD, *OPEN)
    assert [(each.stage, each.lag) for each in progress] == [("sample", 0), ("aggregate", 0), ("index", 0)]


async def test_the_three_apart_do_the_same_and_later_events_are_joined(config):
    await publish(config, *OPEN)
    for name in ("sample", "aggregate", "index"):
        await find_consumer(name)(config, until="caught_up")
    await publish(config, end("open", 2))
    await find_consumer("all")(config, until="caught_up")
    assert await stored(config, "open") == expected(*OPEN, end("open", 2))


async def test_only_runs_with_errors_are_stored_when_nothing_else_is_to_be_kept(tmp_path):
    config = config_of(tmp_path, sample=SampleSettings(rate=0.0, keep_errors=True, grace=0.0))
    await publish(config, *FINE, *BAD)
    progress = await find_consumer("all")(config, until="caught_up")
    found = await stored(config, "fine", "bad")
    assert b'"stub":true' in found["fine"]
    assert b'"reason":"error"' in found["bad"]
    assert progress[0].counts["dropped_by_rate"] == progress[0].counts["kept_by_error"] == 1
    assert progress[0].lag == 0


async def test_what_is_no_event_ends_among_the_dead_letters(config):
    await publish(config, *FINE, raw=[b"nonsense"])
    progress = await find_consumer("all")(config, until="caught_up")
    assert [each.dead for each in progress] == [1, 0, 0]
    bus = open_bus(config)
    async with bus.subscribe(Topics(config.prefix).dead) as subscription:
        batch = await subscription.receive(wait=0.0)
    await bus.aclose()
    assert [record.value for record in batch.records] == [b"nonsense"]


async def test_a_stage_that_cannot_go_on_says_so_and_ends_the_others(config):
    await publish(config, raw=[b"nonsense"] * 1000)
    with anyio.fail_after(20), pytest.raises(TailraceError, match="sample stops"):
        await find_consumer("all")(config)


async def test_progress_is_reported_while_it_runs_and_cancelling_ends_it(config):
    await publish(config, *FINE)
    reports = []

    async def run_all():
        await find_consumer("all")(config, report=reports.append)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(run_all)
            while await stored(config, "fine") != expected(*FINE):
                await anyio.sleep(0.02)
            group.cancel_scope.cancel()
    assert {report.stage for report in reports} == {"sample", "aggregate", "index"}


def consume(directory, name, **settings):
    environment = {**os.environ, **{f"TAILRACE_{key.upper()}": value for key, value in settings.items()}}
    command = [sys.executable, "-m", "tailrace_consumers", name]
    return subprocess.Popen(command, cwd=directory, env=environment, stderr=subprocess.PIPE, text=True)


def read_until(process, text):
    """The process's log up to the line that holds the text."""
    seen = ""
    for line in process.stderr:
        seen += line
        if text in line:
            return seen
    pytest.fail(f"the process ended without {text!r}:\n{seen}")


async def test_sigterm_lets_a_process_write_and_commit_what_it_holds(tmp_path):
    config = config_of(tmp_path / ".tailrace")
    topics = Topics(config.prefix)
    await publish(config, *OPEN)
    await find_consumer("sample")(config, until="caught_up")
    bus = open_bus(config)
    with consume(tmp_path, "aggregate", aggregate__live_after="3600") as process:
        try:
            read_until(process, "received=2")
            assert [topic.records for topic in await bus.topics(topics.documents)] == [0]
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    assert [topic.records for topic in await bus.topics(topics.documents)] == [1]
    assert sum((await bus.lag(topics.all_sampled, group=topics.group("aggregate"))).values()) == 0
    await bus.aclose()


async def test_a_killed_process_loses_nothing(tmp_path):
    config = config_of(tmp_path / ".tailrace")
    await publish(config, *OPEN, *FINE)
    with consume(tmp_path, "all", aggregate__live_after="3600") as process:
        try:
            read_until(process, "stage=aggregate received=5")
        finally:
            process.kill()
    await find_consumer("all")(config, until="caught_up")
    assert await stored(config, "open", "fine") == expected(*OPEN, *FINE)


async def test_while_a_process_runs_the_stages_another_leaves_them_to_it(tmp_path):
    config = config_of(tmp_path / ".tailrace")
    with consume(tmp_path, "all", aggregate__live_after="0") as process:
        try:
            await publish(config, *FINE)
            with anyio.fail_after(40):
                while await stored(config, "fine") != expected(*FINE):  # then each of its stages reads for its group
                    assert process.poll() is None
                    await anyio.sleep(0.02)
            await publish(config, *OPEN)
            progress = await find_consumer("all")(config, until="caught_up")
        finally:
            process.kill()
    assert [(each.received, each.lag) for each in progress] == [(0, 0), (0, 0), (0, 0)]
    assert await stored(config, "fine", "open") == expected(*FINE, *OPEN)


async def test_metrics_are_served_while_it_runs_and_readiness_follows_the_store(tmp_path):
    config = config_of(tmp_path / "home", bus=f"memory:{tmp_path}", consume=ConsumeSettings(metrics=0))
    addresses = []

    @contextmanager
    def noting(address, statuses):
        with serving(address, statuses) as served:
            addresses.append(served)
            yield served

    async def ask(path):
        return await anyio.to_thread.run_sync(get, addresses[0], path)

    with pytest.MonkeyPatch.context() as patch, anyio.fail_after(20):
        patch.setattr("tailrace_consumers.metrics.serving", noting)
        async with anyio.create_task_group() as group:
            group.start_soon(find_consumer("all"), config)
            while not addresses or (await ask("/readyz"))[0] != 200:
                await anyio.sleep(0.02)
            await publish(config, *FINE, raw=[b"nonsense"])
            while await stored(config, "fine") != expected(*FINE):
                await anyio.sleep(0.02)
            found = {}
            while not found.get(("tailrace_dead_letters_total", "sample")):  # it has a partition of its own
                found = samples((await ask("/metrics"))[1])
            group.cancel_scope.cancel()
    assert found["tailrace_records_received_total", "sample"] == 4
    assert found["tailrace_dead_letters_total", "sample"] == 1
    assert found["tailrace_documents_stored_total", "index"] >= 1


async def test_a_name_that_no_consumer_has_is_a_readable_error(tmp_path):
    with consume(tmp_path, "agregate") as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "aggregate" in errors
    assert "Traceback" not in errors


async def test_on_kafka_the_stages_run_side_by_side_and_leave_nothing_behind(kafka_url, prefix, tmp_path):
    config = config_of(tmp_path / "home", bus=kafka_url, prefix=prefix)
    await publish(config, *FINE, *BAD)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(find_consumer("all"), config)
            while await stored(config, "fine", "bad") != expected(*FINE, *BAD):
                await anyio.sleep(0.05)
            group.cancel_scope.cancel()
        progress = await find_consumer("all")(config, until="caught_up")
    assert [each.lag for each in progress] == [0, 0, 0]
    assert await stored(config, "fine", "bad") == expected(*FINE, *BAD)
