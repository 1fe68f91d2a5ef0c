"""However a process ends, what it accepted is in the documents, each event once."""

import os
import random
import signal

import pytest

from tests.system.scripts import run, spools, start, stored_documents

pytestmark = pytest.mark.anyio

ENDINGS = {
    "by itself": "",
    "by sys.exit": "import sys; sys.exit(3)",
    "by os._exit": "import os; os._exit(3)",
    "by an exception": "raise RuntimeError('the agent broke')",
    "by SIGTERM": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "by SIGKILL": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "by abort": "import os; os.abort()",
    "with a thread still logging": (
        "import threading, time\n"
        "threading.Thread(target=lambda: [log.info('late') for _ in iter(int, 1)], daemon=True).start()\n"
        "time.sleep(0.05)"
    ),
}
AGENT = """
import tailrace
log = tailrace.get_logger("ended")
for number in range(3):
    log.start_interaction("a", input_data=number)
    log.log_action("step", input_data=number)
    log.end_interaction(output_data=number)
    log.finalize()
log.info("in a run that nobody ends")
"""


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_process_that_ends_leaves_whole_documents(ending):
    run(AGENT + ENDINGS[ending])
    documents = await stored_documents()
    by_thread = ending == "with a thread still logging"
    assert [document["state"] for document in documents] == ["complete"] * 3 + ["abandoned"] * (1 + by_thread)
    for number, document in enumerate(documents[:3]):
        assert document["integrity"]["complete"]
        assert document["counts"]["events"] == 5
        assert document["interactions"][0]["actions"][0]["input_data"] == number
    assert documents[3]["logs"][0]["message"] == "in a run that nobody ends"
    assert documents[3]["integrity"]["gaps"] == {}
    assert spools() == []


async def test_a_clean_exit_ships_everything_itself_and_leaves_no_spool():
    code, _, err = run(AGENT)
    assert (code, err) == (0, "")
    assert spools() == []
    documents = await stored_documents()
    assert len(documents) == 4


async def test_logging_from_atexit_and_from_del_is_kept():
    code = """
import atexit, tailrace
log = tailrace.get_logger("late")
class Late:
    def __del__(self): log.info("from del")
keep = Late()
atexit.register(lambda: log.info("from atexit, after ours"))
log.info("from main")
atexit.register(lambda: log.info("from atexit"))
import tailrace.logger.state as state
"""
    assert run("import atexit\natexit.register(lambda: log.info('after tailrace closed'))\n" + code)[2] == ""
    (document,) = await stored_documents()
    said = {line["message"] for line in document["logs"]}
    expected = {"from main", "from atexit", "from atexit, after ours", "after tailrace closed", "from del"}
    assert said == expected


KILLED = """
import os, sys, threading
import tailrace
log = tailrace.configure_logger("killed", spool={"segment_bytes": 65536})
told = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def work(number):
    run = 0
    while True:
        run += 1
        with log.run(source=number) as each:
            for step in range(20):
                log.log_action("step", input_data=[number, run, step])
                os.write(told, f"{number} {run} {step}\\n".encode())
for number in range(3):
    threading.Thread(target=work, args=(number,)).start()
print("started", flush=True)
"""


async def test_killed_at_any_moment_nothing_accepted_is_lost_or_doubled(tmp_path):
    seed = random.Random(20)
    for round_ in range(4):
        home = tmp_path / f"home-{round_}"
        told = tmp_path / f"told-{round_}"
        with start(KILLED, told, env={**os.environ, "TAILRACE_HOME": str(home)}) as process:
            assert process.stdout.readline() == "started\n"
            with pytest.raises(Exception, match="timed out"):
                process.wait(seed.uniform(0.0, 0.2))
            process.send_signal(signal.SIGKILL)
        accepted = told.read_text().splitlines()
        documents = await stored_documents(home=str(home))
        stored = [" ".join(map(str, action["input_data"])) for document in documents for action in document["actions"]]
        assert len(stored) == len(set(stored))
        assert set(accepted) <= set(stored)
        assert len(set(stored) - set(accepted)) <= 3  # at most the call under way in each thread
        assert all(document["integrity"]["gaps"] == {} for document in documents)
        assert sum(document["state"] != "complete" for document in documents) <= 3
        assert all(document["state"] != "open" for document in documents)
        assert accepted


FORKED = """
import os, sys, threading
import tailrace
log = tailrace.get_logger("forked")
stop = threading.Event()
def work():
    while not stop.wait(0.0005):
        with log.run(by="thread"):
            log.log_action("step")
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
log.info("before the fork")
children = []
for number in range(8):
    child = os.fork()
    if child == 0:
        log.info("in the run of the parent", child=number)
        with log.run(by="child", child=number):
            for step in range(10): log.log_action("step", input_data=[number, step])
        os._exit(0)
    children.append(child)
print([os.waitpid(child, 0)[1] for child in children], flush=True)
stop.set()
for thread in threads: thread.join()
log.info("after the forks")
log.finalize()
stats = log.stats()
print(stats.calls == stats.accepted + sum(stats.dropped.values()), stats.dropped)
"""


async def test_a_fork_with_threads_logging_gives_each_process_its_own_events_once():
    code, out, err = run(FORKED)
    assert (code, err) == (0, "")
    assert out.splitlines() == ["[0, 0, 0, 0, 0, 0, 0, 0]", "True {}"]
    documents = await stored_documents()
    assert all(document["state"] == "complete" for document in documents)
    assert all(document["integrity"]["complete"] for document in documents)
    (shared,) = [document for document in documents if document.get("fields", {}) == {}]
    assert sorted(line["message"] for line in shared["logs"]) == sorted(
        ["before the fork", "after the forks", *["in the run of the parent"] * 8]
    )
    assert sorted(line["fields"]["child"] for line in shared["logs"] if "fields" in line) == list(range(8))
    assert len(shared["integrity"]["producers"]) == 9
    children = [document for document in documents if document.get("fields", {}).get("by") == "child"]
    assert sorted(document["fields"]["child"] for document in children) == list(range(8))
    for document in children:
        number = document["fields"]["child"]
        assert [action["input_data"] for action in document["actions"]] == [[number, step] for step in range(10)]


async def test_multiprocessing_in_every_start_method_loses_nothing(tmp_path):
    (tmp_path / "pool_agent.py").write_text(
        "import tailrace\n"
        "def work(number):\n"
        "    log = tailrace.get_logger('pool')\n"
        "    with log.run(number=number): log.log_action('step', input_data=number)\n"
    )
    for method in ("fork", "spawn", "forkserver"):
        code = (
            "import multiprocessing, sys, pool_agent\n"
            "if __name__ == '__main__':\n"
            "    pool_agent.work(-1)\n"
            "    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool: pool.map(pool_agent.work, range(20))\n"
        )
        (tmp_path / "main_agent.py").write_text(code)
        runner = (
            "import runpy, sys; sys.argv[0] = 'main_agent.py'; runpy.run_path('main_agent.py', run_name='__main__')"
        )
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "TAILRACE_HOME": method}
        code, _, err = run(runner, method, env=environment)
        assert (code, err) == (0, "")
        documents = await stored_documents(home=method)
        assert sorted(document["fields"]["number"] for document in documents) == list(range(-1, 20))
        assert all(document["integrity"]["complete"] for document in documents)
