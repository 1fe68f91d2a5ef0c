"""Whoever logs, from wherever: calls = accepted + dropped; what was accepted is in the documents, each event once."""

import json
import os

import pytest

from tests.system.scripts import run, spools, start, stored_documents

pytestmark = pytest.mark.anyio

REPORT = """
def report():
    stats = log.stats()
    print(json.dumps([stats.calls, stats.accepted, stats.dropped]), flush=True)
"""
BEGIN = "import json, os, signal, sys, threading, time\nimport tailrace\nlog = tailrace.get_logger('ways')\n" + REPORT


HINT = (
    "tailrace: hint: log_action was called with no interaction open; the action belongs to the run, "
    "without an agent's turn\n"
)


async def conserved(code, *, dropped=None, err="", **options):
    """Run the program, whose last line is `report()`'s, and give its documents."""
    status, out, said = run(BEGIN + code, **options)
    assert (status, said) == (0, err)
    calls, accepted, counted = json.loads(out.splitlines()[-1])
    assert counted == (dropped or {})
    assert calls == accepted + sum(counted.values())
    documents = await stored_documents()
    lost = sum(document["state"] == "abandoned" for document in documents)  # each says so with an event of its own
    assert sum(document["counts"]["events"] for document in documents) - lost == accepted
    assert all(document["integrity"]["gaps"] == {} for document in documents)
    assert spools() == []
    return documents


async def test_sixty_four_threads_at_once():
    code = """
sys.setswitchinterval(1e-5)
barrier = threading.Barrier(64)
def work(number):
    barrier.wait()
    with log.run(number=number):
        for step in range(100): log.log_action("step", input_data=step)
threads = [threading.Thread(target=work, args=(number,)) for number in range(64)]
for thread in threads: thread.start()
for thread in threads: thread.join()
report()
"""
    documents = await conserved(code)
    assert len(documents) == 64
    for document in documents:
        assert [action["input_data"] for action in document["actions"]] == list(range(100))


LOOPS = {
    "asyncio": "asyncio.run(work('a'))",
    "a loop closed and another in its place": "asyncio.run(work('a')); asyncio.run(work('b'))",
    "no loop": "drive(work('a'))",
    "anyio": "anyio.run(work, 'a')",
    "trio": "anyio.run(work, 'a', backend='trio')",
}


@pytest.mark.parametrize("loop", LOOPS)
async def test_any_event_loop_or_none(loop):
    if loop == "trio":
        pytest.importorskip("trio")
    code = f"""
import asyncio, anyio
def drive(coroutine):
    try: coroutine.send(None)
    except StopIteration: pass
async def work(name):
    async with log.run(name=name):
        for step in range(50): log.log_action("step", input_data=step)
        if {loop != "no loop"}:
            await log.drain()
            result = await log.flush("broker", timeout=20)
            assert result.reached, result
{LOOPS[loop]}
report()
"""
    documents = await conserved(code)
    assert [len(document["actions"]) for document in documents] == [50] * (2 if "another" in loop else 1)


async def test_a_logging_handler_on_root_that_logs_to_tailrace_and_raises():
    code = """
import logging
class Handler(logging.Handler):
    def emit(self, record):
        log.info("from the handler", level=record.levelname)
        log.log_action("in the handler")
        raise RuntimeError("the handler broke")
logging.raiseExceptions = False
logging.getLogger().addHandler(Handler())
logging.getLogger().setLevel(logging.DEBUG)
for number in range(20):
    try: logging.getLogger("agent").warning("%d", number)
    except RuntimeError: pass
log.finalize()
report()
"""
    (document,) = await conserved(code, err=HINT)
    assert document["counts"]["actions"] >= 20


async def test_an_object_whose_repr_logs_is_logged_and_does_not_recurse_for_ever():
    code = """
class Chatty:
    def __repr__(self):
        log.info("from repr", itself=self)
        return "chatty"
log.log_action("step", input_data=Chatty())
log.log_action("step", input_data={"deep": [Chatty()]})
log.finalize()
report()
"""
    (document,) = await conserved(code, err=HINT)
    assert len(document["actions"]) == 2


async def test_objects_that_log_as_they_are_collected():
    code = """
import gc, time
left = set(range(300))
class Late:
    def __init__(self, number): self.number, self.ring = number, self
    def __del__(self):
        log.info("collected", number=self.number)
        left.discard(self.number)
gc.set_threshold(5)
with log.run():
    for number in range(300):
        Late(number)
        log.log_action("step", input_data=[number, {"a": [number] * 5}])
    while left:
        gc.collect()  # does nothing while another thread is at it
        time.sleep(0.001)
report()
"""
    documents = await conserved(code)  # what another thread collects belongs to a run of that thread
    said = [line["fields"]["number"] for document in documents for line in document.get("logs", [])]
    assert sorted(said) == list(range(300))
    assert sum(len(document.get("actions", [])) for document in documents) == 300


async def test_a_signal_handler_that_logs_while_its_thread_changes_segments():
    code = """
log = tailrace.configure_logger("ways", spool={"segment_bytes": 65536})
fired = [0]
def handler(*_):
    fired[0] += 1
    log.info("from the handler", number=fired[0])
signal.signal(signal.SIGALRM, handler)
with log.run():
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
    for step in range(5000): log.log_action("step", input_data=step)
    signal.setitimer(signal.ITIMER_REAL, 0)
print(fired[0])
report()
"""
    status, out, err = run(BEGIN + code)
    assert (status, err) == (0, "")
    fired = int(out.splitlines()[-2])
    calls, accepted, counted = json.loads(out.splitlines()[-1])
    assert (calls, counted) == (accepted, {})
    (document,) = await stored_documents()
    assert [action["input_data"] for action in document["actions"]] == list(range(5000))
    assert sorted(line["fields"]["number"] for line in document["logs"]) == list(range(1, fired + 1))
    assert fired > 50
    assert document["counts"]["events"] == accepted


@pytest.mark.parametrize("order", ["before", "after"])
async def test_an_exception_at_exit_loses_nothing(order):
    broken = (
        "import atexit\ndef broken():\n    log.info('at exit')\n    raise RuntimeError('broke')\n"
        "atexit.register(broken)\n"
    )
    begin = "log = None\n" + broken + BEGIN if order == "before" else BEGIN + broken
    status, _, err = run(begin + "\nlog.info('in main')\nraise SystemError('main broke')")
    assert status == 1
    assert "main broke" in err
    assert "RuntimeError: broke" in err
    (document,) = await stored_documents()
    assert {line["message"] for line in document["logs"]} >= {"at exit", "in main"}
    assert spools() == []


async def test_two_hundred_forks_while_threads_log():
    code = """
stop = threading.Event()
def work():
    while not stop.wait(0.001):
        with log.run(by="thread"): log.log_action("step")
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
statuses = set()
for number in range(200):
    child = os.fork()
    if child == 0:
        with log.run(by="child", child=number): log.log_action("step", input_data=number)
        if number % 10 == 0:
            if os.fork() == 0:
                with log.run(by="grandchild", child=number): pass
                os._exit(0)
            os.wait()
        os._exit(0)
    statuses.add(os.waitpid(child, 0)[1])
stop.set()
for thread in threads: thread.join()
assert statuses == {0}, statuses
report()
"""
    status, out, err = run(BEGIN + code)
    assert (status, err) == (0, "")
    calls, accepted, counted = json.loads(out.splitlines()[-1])
    assert (calls, counted) == (accepted, {})
    documents = await stored_documents()
    assert all(document["state"] == "complete" and document["integrity"]["complete"] for document in documents)

    def by(name):
        return [document for document in documents if document["fields"]["by"] == name]

    assert sorted(document["fields"]["child"] for document in by("child")) == list(range(200))
    assert sorted(document["fields"]["child"] for document in by("grandchild")) == list(range(0, 200, 10))
    assert sum(document["counts"]["events"] for document in by("thread")) == accepted


async def test_a_server_that_forks_its_workers_loses_nothing_but_a_killed_workers_last_call(tmp_path):
    code = """
from concurrent.futures import ThreadPoolExecutor
log = tailrace.configure_logger("ways")
log.info("the server starts")
told = os.open("told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def request(worker, number):
    with log.run(worker=worker, number=number):
        log.log_action("handle", input_data=[worker, number])
        os.write(told, f"{worker} {number}\\n".encode())
workers = []
for worker in range(4):
    child = os.fork()
    if child == 0:
        with ThreadPoolExecutor(4) as pool:
            for number in range(100 if worker else 100_000): pool.submit(request, worker, number)
        sys.exit(0)
    workers.append(child)
time.sleep(0)
statuses = [os.waitpid(child, 0)[1] for child in workers[1:]]
os.kill(workers[0], signal.SIGKILL)
statuses.append(os.waitpid(workers[0], 0)[1])
log.finalize()
assert statuses == [0, 0, 0, 9], statuses
report()
"""
    status, _, err = run(BEGIN + code)
    assert (status, err) == (0, "")
    told = {tuple(map(int, line.split())) for line in (tmp_path / "told").read_text().splitlines()}
    documents = await stored_documents()
    handled = [tuple(action["input_data"]) for document in documents for action in document.get("actions", [])]
    assert len(handled) == len(set(handled))
    assert told <= set(handled)
    assert {(worker, number) for worker in (1, 2, 3) for number in range(100)} <= set(handled)
    assert sum(document["state"] == "abandoned" for document in documents) <= 4
    assert all(document["integrity"]["gaps"] == {} for document in documents)
    assert spools() == []


@pytest.mark.parametrize("jump", [-3600, 86400])
async def test_a_clock_that_jumps_keeps_the_order_of_a_run(jump):
    code = f"""
real = time.time_ns
with log.run():
    for step in range(20):
        if step == 10: time.time_ns = lambda: real() + {jump} * 10**9
        log.log_action("step", input_data=step)
        log.info(str(step))
report()
"""
    (document,) = await conserved(code)
    assert document["state"] == "complete"
    assert [action["input_data"] for action in document["actions"]] == list(range(20))
    assert [line["message"] for line in document["logs"]] == [str(step) for step in range(20)]


async def test_configured_again_while_threads_log():
    code = """
stop, made = threading.Event(), []
def work(number):
    count = 0
    while not stop.is_set():
        with log.run(number=number): log.log_action("step", input_data=count)
        count += 1
    made.append(count)
threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
for thread in threads: thread.start()
for round_ in range(10):
    time.sleep(0.03)
    tailrace.configure_logger("ways", exit_timeout=5 + round_)
stop.set()
for thread in threads: thread.join()
print(json.dumps(sum(made)))
"""
    status, out, err = run(BEGIN + code)
    assert (status, err.count("\n")) == (0, 10), err
    assert err.count("tailrace: configure_logger was called again and changed ") == 10
    documents = await stored_documents()
    assert len(documents) == json.loads(out.splitlines()[-1])
    assert all(document["state"] == "complete" and document["integrity"]["complete"] for document in documents)
    assert all(len(document["actions"]) == 1 for document in documents)


async def test_a_full_budget_is_counted_shown_and_left_behind_when_the_bus_is_back(tmp_path):
    settings = {
        **os.environ,
        "TAILRACE_HOME": str(tmp_path / "home"),
        "TAILRACE_SPOOL__MAX_BYTES": "200000",
        "TAILRACE_SPOOL__SEGMENT_BYTES": "50000",
        "TAILRACE_PUBLISH": "external",
    }
    code = """
run = log.run()
with run:
    for step in range(2000): log.log_action("step", input_data=step)
    report()
    print("full", flush=True)
    sys.stdin.readline()
    time.sleep(1.1)  # the spool measures its room once a second
    before = sum(log.stats().dropped.values())
    for step in range(2000, 2020): log.log_action("step", input_data=step)
    assert sum(log.stats().dropped.values()) == before
report()
"""
    with start(BEGIN + code, env=settings) as process:
        counted = json.loads(process.stdout.readline())
        assert process.stdout.readline() == "full\n"
        assert counted[2]["spool_full"] > 0
        await stored_documents(home=str(tmp_path / "home"))
        out, err = process.communicate("on\n", timeout=30)
    assert process.returncode == 0
    assert err.count("spool_full") == 1
    calls, accepted, dropped = json.loads(out.splitlines()[-1])
    assert calls == accepted + sum(dropped.values())
    (document,) = await stored_documents(home=str(tmp_path / "home"))
    assert document["state"] == "complete"
    assert document["integrity"]["dropped"] == dropped
    assert not document["integrity"]["complete"]
    assert document["counts"]["events"] == accepted
    steps = [action["input_data"] for action in document["actions"]]
    assert steps[-20:] == list(range(2000, 2020))
    assert len(steps) == len(set(steps))
