"""Sweeps among living and dying processes: what is left is removed, what is alive is let be, and each sweep ends."""

import json
import os
import signal
import time

import anyio
import pytest

from tailrace.config import load
from tailrace.publish import ship
from tailrace.registry import open_bus
from tests.system.scripts import start, stored_documents

pytestmark = pytest.mark.anyio

IN_THE_MAKING = """
import os, sys
from pathlib import Path
from tailrace.spool import directory
def stop(*_):
    print("making", flush=True)
    sys.stdin.readline()
real = getattr(Path, sys.argv[2])
setattr(Path, sys.argv[2], lambda path, *given, **named: (
    real(path, *given, **named) if sys.argv[2] == "mkdir" else None,
    stop() if path.name.startswith(".0") else None,
) and None)
directory.create(Path(sys.argv[1]), "0" * 24, "internal")
"""


async def swept(root):
    config = load({"bus": "memory:sweep", "spool": {"directory": str(root)}})
    with anyio.fail_after(20):
        report = await ship(config, open_bus(config))
    assert report.errors == []


def made_long_ago(path):
    os.utime(path, (time.time() - 100, time.time() - 100))


@pytest.mark.parametrize("step", ["mkdir", "rename"])
async def test_what_a_killed_process_left_half_made_is_removed_once_it_is_old(step, tmp_path):
    root = tmp_path / "spool"
    with start(IN_THE_MAKING, root, step) as process:
        assert process.stdout.readline() == "making\n"
        (half,) = root.iterdir()
        process.send_signal(signal.SIGKILL)
    await swept(root)
    assert half.exists()
    made_long_ago(half)
    await swept(root)
    assert list(root.iterdir()) == []


async def test_a_directory_that_a_live_process_is_making_is_left_alone_however_old(tmp_path):
    root = tmp_path / "spool"
    with start(IN_THE_MAKING, root, "rename") as process:
        assert process.stdout.readline() == "making\n"
        (half,) = root.iterdir()
        made_long_ago(half)
        await swept(root)
        assert sorted(path.name for path in half.iterdir()) == ["about.json", "owner.lock", "ship.lock"]
        process.kill()


async def test_a_foreign_hidden_directory_is_left_alone(tmp_path):
    foreign = [tmp_path / "spool" / ".git", tmp_path / "spool" / f".{'0' * 24}"]
    for path in foreign:
        path.mkdir(parents=True)
    (foreign[1] / "theirs").touch()
    for path in foreign:
        made_long_ago(path)
    await swept(tmp_path / "spool")
    assert all(path.exists() for path in foreign)
    assert (foreign[1] / "theirs").exists()


WITHOUT_PAUSE = """
import json, os, signal, sys, time, tailrace
log = tailrace.configure_logger("busy", publish="external")
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
with log.run():
    for step in range(100): log.log_action("step", input_data=step)
    print("begun", flush=True)
    while not stop:
        log.log_action("step", input_data=0)
        time.sleep(0.0002)  # often enough that the spool is never found empty, and little to write
stats = log.stats()
print(json.dumps([stats.calls, stats.accepted, stats.dropped]))
"""


async def test_a_producer_that_logs_without_pause_does_not_hold_a_sweep(tmp_path):
    home = str(tmp_path / "home")
    config = load({"bus": "memory:busy", "home": home})
    with start(WITHOUT_PAUSE, env={**os.environ, "TAILRACE_HOME": home}) as process:
        try:
            assert process.stdout.readline() == "begun\n"
            with anyio.fail_after(15):
                report = await ship(config, open_bus(config))
            assert process.poll() is None
            process.terminate()
            calls, accepted, dropped = json.loads(process.communicate(timeout=30)[0])
        finally:
            process.kill()
    assert report.errors == []
    assert 100 <= report.records < accepted
    assert calls == accepted + sum(dropped.values())


CANNOT_START = """
import json, os, resource, sys, time, tailrace
log = tailrace.configure_logger("starved")
from tailrace.publish import thread
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
begin = thread.Publisher.start
def starved(publisher):
    used = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
    begin(publisher)
thread.Publisher.start = starved
for step in range(50): log.log_action("step", input_data=step)
deadline = time.monotonic() + 20
while not log.stats().trouble: assert time.monotonic() < deadline; time.sleep(0.01)
assert "cannot start yet" in log.stats().trouble, log.stats().trouble
time.sleep(0.5)  # some more attempts, which say nothing
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
for step in range(50, 100): log.log_action("step", input_data=step)
log.finalize()
while log.stats().acked < log.stats().accepted: assert time.monotonic() < deadline; time.sleep(0.01)
stats = log.stats()
assert stats.trouble == "", stats.trouble
print(json.dumps([stats.calls, stats.accepted, stats.dropped, stats.acked]))
"""


async def test_a_publisher_that_has_no_descriptor_to_start_with_tries_until_it_has():
    with start(CANNOT_START) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err.count("cannot start yet") == 1, err
    calls, accepted, dropped, acked = json.loads(out)
    assert calls == accepted + sum(dropped.values())
    assert acked == accepted
    (document,) = await stored_documents()
    assert (document["state"], document["counts"]["events"]) == ("complete", accepted)
