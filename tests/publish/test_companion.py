"""A companion process ships the spools of all logging processes of one home: real processes, on the SQLite bus."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import anyio
import msgspec
import pytest

import tailrace
from tailrace.config import load
from tailrace.errors import ConfigError
from tailrace.event.types import PRODUCER_LOST
from tailrace.publish.companion import Companion
from tailrace.publish.launch import Companionship, name_of
from tailrace.registry import open_bus
from tests.publish.accompanied import BEGIN, accepted, companion_process, events, settings, until
from tests.system.scripts import run, spools, start

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("home_of_its_own")]


async def test_what_a_process_logs_is_acknowledged_and_its_spool_removed():
    status, out, err = run(BEGIN + "work(500)\nline(flush().reached)\nline(log.stats().acked)")
    assert (status, out.split(), err) == (0, ["True", "502"], "")
    await until(lambda: spools() == [])
    found, count = await events()
    assert len(found) == count == 502


async def test_one_companion_serves_several_processes_and_ends_after_the_last():
    with start(BEGIN + "work(5); flush(); line(1); input()") as first:
        assert first.stdout.readline() == "1\n"
        companion = companion_process()
        with start(BEGIN + "work(5); flush(); line(2); input()") as second:
            assert second.stdout.readline() == "2\n"
            assert companion_process() == companion is not None
            second.communicate("\n", timeout=30)
        await until(lambda: len(spools()) == 1)
        assert companion_process() == companion
        first.communicate("\n", timeout=30)
    await until(lambda: not Companionship(settings()).is_there())
    assert len((await events())[0]) == 14


async def test_what_a_killed_process_left_is_shipped_without_another_process():
    code = """
log.info('in a run that nobody ends')
work(20_000)
flush()
work(2_000)
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert run(BEGIN + code)[0] == -signal.SIGKILL
    await until(lambda: spools() == [])
    found, _ = await events()
    assert len(accepted(found)) == 2 + 20_002 + 2_002
    lost = [event for event in found.values() if event.type == PRODUCER_LOST]
    assert [msgspec.json.decode(event.data)["reason"] for event in lost] == ["died"]


async def test_a_killed_companion_is_replaced_and_nothing_is_lost():
    code = """
for turn in range(3):
    work(3_000); line(turn); input()
line(flush().reached, log.stats().accepted)
"""
    with start(BEGIN + code) as process:
        for turn in range(3):
            assert process.stdout.readline() == f"{turn}\n"
            os.kill(await until(companion_process), signal.SIGKILL)
            process.stdin.write("\n")
            process.stdin.flush()
        assert process.stdout.readline().split() == ["True", "9006"]
    await until(lambda: spools() == [])
    assert len((await events())[0]) == 9006


async def test_sigterm_ends_a_companion_only_after_its_last_process():
    with start(BEGIN + "work(5); flush(); line(1); input(); work(5)") as process:
        assert process.stdout.readline() == "1\n"
        companion = companion_process()
        os.kill(companion, signal.SIGTERM)
        process.communicate("\n", timeout=30)
    await until(lambda: companion_process() is None, 4.0)  # sooner than the time for which it else waits for another
    assert spools() == []
    assert len((await events())[0]) == 14


async def test_a_companion_runs_behind_all_else_and_away_from_the_terminal():
    with start(BEGIN + "work(1); flush(); line(1); input()") as process:
        assert process.stdout.readline() == "1\n"
        companion = companion_process()

        def idle_threads():
            threads = Path(f"/proc/{companion}/task").iterdir()
            return [thread.name for thread in threads if os.sched_getscheduler(int(thread.name)) == os.SCHED_IDLE]

        await until(lambda: len(idle_threads()) == 1)  # none while it has fallen behind
        assert os.getpriority(os.PRIO_PROCESS, companion) > os.getpriority(os.PRIO_PROCESS, process.pid)
        assert os.getsid(companion) == os.getsid(process.pid)  # Linux may weigh sessions, not processes
        assert os.getpgid(companion) == companion
        os.kill(companion, signal.SIGHUP)
        process.communicate("\n", timeout=30)
    await until(lambda: not spools())
    assert companion_process() == companion


@pytest.mark.parametrize(
    ("caught_up_at", "sweeping_at", "is_behind"), [(99.9, 99.9, False), (99.5, 99.9, True), (99.9, 99.5, True)]
)
def test_a_companion_is_behind_when_a_spool_or_the_sweep_takes_long(monkeypatch, caught_up_at, sweeping_at, is_behind):
    monkeypatch.setattr("tailrace.publish.companion.time.monotonic", lambda: 100.0)
    one = Companion(settings(), "c0ffee00", open_bus(settings()))
    assert not one.is_behind()
    one._served["p1"] = SimpleNamespace(caught_up_at=lambda: caught_up_at)
    one._sweeping_at = sweeping_at
    assert one.is_behind() is is_behind


async def test_segments_are_used_again_or_taken_away_while_the_process_lives():
    code = """
for _ in range(40):
    work(500)
    flush()
line(log.stats().accepted)
input()
"""
    environment = {**os.environ, "TAILRACE_SPOOL__SEGMENT_BYTES": str(1 << 16)}
    with start(BEGIN + code, env=environment) as process:
        assert process.stdout.readline() == f"{40 * 502}\n"
        (producer,) = spools()
        segments = Path(".tailrace/spool", producer)
        await until(lambda: len(list(segments.glob("segment-*"))) <= 2)
        process.communicate("\n", timeout=30)
    found, count = await events()
    assert len(found) == count == 40 * 502


async def test_forked_children_have_spools_of_their_own_and_the_same_companion():
    code = """
work(5)
children = []
for _ in range(5):
    made = os.fork()
    if not made:
        work(5); os._exit(0 if flush().reached else 1)
    children.append(made)
assert {os.waitpid(made, 0)[1] for made in children} == {0}
"""
    status, _, err = run(BEGIN + code)
    assert (status, err) == (0, "")
    await until(lambda: spools() == [])
    assert len(accepted((await events())[0])) == 6 * 7


def make_a_broken_interpreter():
    broken = Path("python-broken")
    broken.write_text("#!/bin/sh\ncat >/dev/null; echo 'no such luck' >&2; exit 3\n")
    broken.chmod(0o755)
    done = Path("python-done")
    done.write_text("#!/bin/sh\ncat >/dev/null\n")
    done.chmod(0o755)


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("sys.frozen = True", "is not a Python interpreter"),
        ("sys.executable = '/usr/bin/uwsgi'", "the program uwsgi is not a Python interpreter"),
        ("sys.executable = ''", "that embeds Python is not a Python interpreter"),
        ("sys.executable = os.path.abspath('python-broken')", "no such luck"),
        ("sys.executable = '/no/such/python'", "No such file or directory"),
        ("sys.executable = os.path.abspath('python-done')", "each ends at once"),
    ],
)
async def test_where_no_companion_can_be_started_a_thread_ships_and_one_line_says_why(program, why):
    make_a_broken_interpreter()
    status, out, err = run(BEGIN + program + "\nwork(5)\nline(flush().reached)\nwork(5)")
    assert (status, out) == (0, "True\n")
    assert len(err.splitlines()) == 1
    assert why in err
    assert "a thread of this process ships instead" in err
    assert len((await events())[0]) == 14
    assert spools() == []


async def test_a_program_beside_modules_that_are_called_like_pythons_own_has_a_companion():
    for name in ("io", "os", "site"):  # loaded before the program's directory is looked into
        Path(f"{name}.py").write_text("raise ImportError('not the one that you look for')")  # noqa: ASYNC240
    Path("agent.py").write_text(BEGIN + "work(5); line(flush().reached)")  # noqa: ASYNC240
    environment = {**os.environ, "PYTHONSAFEPATH": ""}
    done = subprocess.run(
        [sys.executable, "agent.py"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    assert companion_process() is not None


def test_the_memory_bus_has_no_companion():
    with pytest.raises(ConfigError, match="'internal' with the bus memory:"):
        tailrace.configure_logger(bus="memory:", publish="companion")


def test_on_kafka_a_companion_ships_and_elsewhere_a_thread_unless_told_otherwise():
    assert load({"bus": "kafka://localhost:9092"}).publisher == "companion"
    assert load({"bus": "memory:"}).publisher == load({}).publisher == "internal"
    assert load({"bus": "kafka://localhost:9092", "publish": "external"}).publisher == "external"


def test_processes_that_ship_to_other_buses_or_in_other_ways_have_other_companions():
    ways = [{}, {"bus": "kafka://a:1"}, {"prefix": "p"}, {"topics": {"partitions": 3}}, {"home": "elsewhere"}]
    assert len({name_of(load(way)) for way in ways}) == len(ways)
    assert name_of(load({"verbosity": "DEBUG"})) == name_of(load({}))


async def test_a_process_that_ends_at_once_is_shipped_all_the_same():
    begun = time.monotonic()
    assert run(BEGIN + "log.info('a word')\nos._exit(0)")[0] == 0
    assert time.monotonic() - begun < 30
    # Nobody may have been started yet: then the next process starts who ships it.
    if companion_process() is None:
        run(BEGIN + "log.info('another')\nflush()")
    await until(lambda: spools() == [])
    assert "a word" in {msgspec.json.decode(event.data).get("message") for event in accepted((await events())[0])}


def test_a_companion_that_does_not_get_its_first_turn_is_behind(monkeypatch):
    monkeypatch.setattr("tailrace.publish.companion.time.monotonic", lambda: 100.0)
    one = Companion(load({}), "abc", SimpleNamespace())
    monkeypatch.setattr("tailrace.publish.companion.time.monotonic", lambda: 100.1)
    assert not one.is_behind()
    monkeypatch.setattr("tailrace.publish.companion.time.monotonic", lambda: 100.3)
    assert one.is_behind()


@pytest.mark.anyio
async def test_a_companion_that_had_to_wait_for_its_first_turn_takes_up_what_is_there_all_the_same(
    tmp_path, prefix, monkeypatch
):
    config = load({"bus": f"memory:{prefix}", "home": str(tmp_path)})
    bus = open_bus(config)
    one = Companion(config, "abc", bus)
    taken = []
    monkeypatch.setattr(one, "_take_up", lambda group: taken.append(True))
    now = time.monotonic()
    # A machine that was busy for a minute, after which the companion is told to end.
    monkeypatch.setattr("tailrace.publish.companion.time.monotonic", lambda: now + 60.0)
    one.stop()
    with anyio.fail_after(20):
        await one.serve()
    assert taken == [True]


@pytest.mark.parametrize(("waited", "is_done"), [(0.0, False), (2.9, False), (3.0, True)])
def test_a_companion_that_is_told_to_end_ships_what_the_last_producer_left_but_not_for_ever(
    monkeypatch, waited, is_done
):
    monkeypatch.setattr("tailrace.publish.companion.time.monotonic", lambda: 100.0)
    one = Companion(load({}), "abc", SimpleNamespace())
    one._served["p1"] = served = SimpleNamespace(is_live=True)
    one.stop()
    assert not one._is_done()
    served.is_live = False
    monkeypatch.setattr("tailrace.publish.companion.time.monotonic", lambda: 100.0 + waited)
    assert one._is_done() is is_done
    one._served.clear()
    assert one._is_done()
