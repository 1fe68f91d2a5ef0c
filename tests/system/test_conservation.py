"""However processes begin and end, no call is unaccounted for.

Of each process: calls = accepted + dropped. Of all: accepted = stored + in topics + on the spool + put aside or
dead-lettered, as sets of events: before anybody has looked after what they left, and after the pipeline has run.
Each process writes what it counted into the file `told` (`tests/system/whereabouts.py`) behind its last call, so that
its end cannot change it.
"""

import os
import random
import signal
import subprocess

import pytest

from tests.system.scripts import run, start
from tests.system.whereabouts import conserved

pytestmark = pytest.mark.anyio

BEGIN = """
import atexit, json, os, signal, sys, threading, time
import tailrace
log = tailrace.get_logger("conserved")
told = os.open("told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def report():
    stats = log.stats()
    os.write(told, (json.dumps([os.getpid(), stats.calls, stats.accepted, stats.dropped]) + os.linesep).encode())
def work(count=50, **fields):
    with log.run(**fields):
        log.start_interaction("a")
        for step in range(count): log.log_action("step", input_data=step)
        log.end_interaction()
    log.info("in a run that nobody ends")
"""


def publishing(way):
    return {**os.environ, "TAILRACE_PUBLISH": way}


ENDINGS = {
    "by itself": ("", 0),
    "by os._exit": ("os._exit(3)", 3),
    "by sys.exit": ("sys.exit(3)", 3),
    "by an exception": ("raise RuntimeError('the agent broke')", 1),
    "by SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
    "by SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    "by abort": ("os.abort()", -signal.SIGABRT),
}


@pytest.mark.parametrize("publish", ["companion", "internal"])
@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_process_that_ends(ending, publish):
    code, status = ENDINGS[ending]
    assert run(BEGIN + "work()\nreport()\n" + code, env=publishing(publish))[0] == status
    await conserved()


async def test_a_process_killed_at_any_moment():
    """Each thread tells of a call when it has returned; at most one of each may have been accepted untold."""
    code = """
count, lock = 0, threading.Lock()
def tell():
    global count
    with lock:
        count += 1
        os.write(told, (json.dumps([os.getpid(), count, count, {}]) + os.linesep).encode())
def endless():
    for _ in iter(int, 1):
        log.log_action("step"); tell()
log.info("begun"); tell(); tell()  # the start of the run is an event too
for _ in range(3): threading.Thread(target=endless).start()
print("begun", flush=True)
"""
    seed = random.Random(4)
    with start(BEGIN + code) as process:
        assert process.stdout.readline() == "begun\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(seed.uniform(0.02, 0.2))
        process.send_signal(signal.SIGKILL)
    await conserved(under_way=3 * 2)  # a thread's first call makes two events


@pytest.mark.parametrize("order", ["before tailrace's own", "after tailrace's own"])
async def test_an_exception_at_exit(order):
    broken = """
import atexit
def broken():
    log.info("at exit")
    report()
    raise RuntimeError("broke")
atexit.register(broken)
"""
    status, _, err = run(BEGIN + broken + "work()" if order.startswith("before") else broken + BEGIN + "work()")
    assert "RuntimeError: broke" in err
    assert status == 0
    await conserved()


@pytest.mark.parametrize("publish", ["companion", "internal", "external"])
async def test_interpreter_shutdown(publish):
    """The last word is that of a `__del__`, when modules are going, the logger is closed and no thread can start."""
    code = """
class Late:
    def __init__(self): self.log = log
    def __del__(self, write=os.write, dumps=json.dumps, told=told, pid=os.getpid()):
        self.log.info("from del")
        stats = self.log.stats()
        write(told, (dumps([pid, stats.calls, stats.accepted, stats.dropped]) + chr(10)).encode())
sys.modules["late"] = Late()
atexit.register(lambda: (log.info("from atexit"), report()))
work()
"""
    status, _, err = run(BEGIN + code, env=publishing(publish))
    assert (status, err) == (0, "")
    documents = await conserved()
    assert "from del" in {line["message"] for document in documents for line in document.get("logs", [])}


@pytest.mark.parametrize("publish", ["companion", "internal"])
async def test_forks_while_threads_log(publish):
    code = """
stop = threading.Event()
def endless():
    while not stop.wait(0.0005): work(3, by="thread")
threads = [threading.Thread(target=endless) for _ in range(4)]
for thread in threads: thread.start()
def child(number):
    if number % 2: work(10, by="child")
    log.info("in whichever run there is")
    if number == 5 and os.fork() == 0: child(0)
    report()
    os._exit(0)
children = []
for number in range(20):
    made = os.fork()
    if made == 0: child(number)
    children.append(made)
assert {os.waitpid(made, 0)[1] for made in children} == {0}
stop.set()
for thread in threads: thread.join()
report()
"""
    status, _, err = run(BEGIN + code, env=publishing(publish))
    assert (status, err) == (0, "")
    await conserved()


@pytest.mark.parametrize("publish", ["companion", "internal"])
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
async def test_multiprocessing(method, publish, tmp_path):
    (tmp_path / "agent.py").write_text(BEGIN + "def task(number):\n    work(5, number=number)\n    report()\n")
    main = f"""
import multiprocessing, agent
if __name__ == "__main__":
    agent.task(-1)
    with multiprocessing.get_context("{method}").Pool(3) as pool:
        pool.map(agent.task, range(30))
        pool.close()
        pool.join()
"""
    (tmp_path / "main.py").write_text(main)
    runner = "import runpy, sys; sys.argv[0] = 'main.py'; runpy.run_path('main.py', run_name='__main__')"
    status, _, err = run(
        runner, env=publishing(publish) | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    )
    assert (status, err) == (0, "")
    documents = await conserved()
    assert sorted(document["fields"]["number"] for document in documents if "fields" in document) == [*range(-1, 30)]


@pytest.mark.parametrize("publish", ["companion", "internal"])
async def test_a_server_that_forks_its_workers_of_which_one_is_killed(publish):
    """Requests take turns, so that of the killed worker only the events of one request may be untold."""
    code = """
from concurrent.futures import ThreadPoolExecutor
log.info("the server starts")
lock = threading.Lock()
def request(number):
    with lock:  # what is told is what has happened, and no call is under way meanwhile
        with log.run(number=number): log.log_action("handle", input_data=number)
        report()
workers = []
for worker in range(4):
    made = os.fork()
    if made == 0:
        with ThreadPoolExecutor(4) as pool: list(pool.map(request, range(100 if worker else 100_000)))
        sys.exit(0)
    workers.append(made)
statuses = [os.waitpid(made, 0)[1] for made in workers[1:]]
os.kill(workers[0], signal.SIGKILL)
statuses.append(os.waitpid(workers[0], 0)[1])
assert statuses == [0, 0, 0, signal.SIGKILL], statuses
report()
"""
    status, _, err = run(BEGIN + code, env=publishing(publish))
    assert (status, err) == (0, "")
    await conserved(under_way=3)
