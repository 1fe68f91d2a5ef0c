"""A FastAPI application that logs a run a request, under uvicorn with workers of its own: ended, killed, reloaded."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio

from tests.servers.ports import PortLease
from tests.system.scripts import spools
from tests.system.whereabouts import conserved

APP = """
import asyncio, json, os, time
from contextlib import asynccontextmanager
from pathlib import Path
import tailrace
from fastapi import FastAPI

VERSION = 1
log = tailrace.get_logger("served")
told = os.open("told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def tell():
    stats = log.stats()
    os.write(told, (json.dumps([os.getpid(), stats.calls, stats.accepted, stats.dropped]) + os.linesep).encode())

@asynccontextmanager
async def lifespan(app):
    yield
    tell()

app = FastAPI(lifespan=lifespan)

@app.get("/loop/{number}")
async def in_the_loop(number: int, held: bool = False):
    async with log.run(number=number) as run, run.interaction("planner", input=number) as turn:
        async with turn.action("lookup_order") as act:
            tell()
            while held and not Path("gate").exists():
                await asyncio.sleep(0.01)
            act.output = 2 * number
        await asyncio.sleep(0)  # here another request comes between
        log.log_action("chat", number)
        turn.output = "shipped"
    tell()
    return {"number": number, "run": run.run_id, "pid": os.getpid(), "version": VERSION}

@app.get("/thread/{number}")
def in_a_thread(number: int):
    with log.run(number=number) as run, run.interaction("planner", input=number) as turn:
        with turn.action("lookup_order") as act:
            act.output = 2 * number
        time.sleep(0.001)  # here another thread does
        log.log_action("chat", number)
        turn.output = "shipped"
    return {"number": number, "run": run.run_id, "pid": os.getpid(), "version": VERSION}
"""


class Server:
    """Answers requests; `answered` are the answers of all that were answered 200."""

    def __init__(self, port, process, threads):
        self.port, self.process, self.threads = port, process, threads
        self.answered = []

    def get(self, path):
        """The answer; None if there was none. Never tried again: what was asked once is one run at most."""
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as response:
            self.answered.append(json.loads(response.read()))
            return self.answered[-1]

    def ask(self, *paths):
        """All at once: a thread each waits for the answer."""
        return [self.threads.submit(self.get, path) for path in paths]

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


def until(check):
    """Poll another process's work: `check()` until it holds."""
    deadline = time.monotonic() + 30
    while not (found := check()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


@contextmanager
def served(*options):
    """The application in the current directory, answering; at the end none of its processes is left."""
    Path("app.py").write_text(APP)
    lease = PortLease(range(31_000, 32_000))
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(lease.port), *options]
    with Path("server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    with ThreadPoolExecutor(200) as threads:
        try:
            server = Server(lease.port, process, threads)
            until(lambda: server.get("/loop/0"))
            yield server
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # workers do not end with who started them
            process.wait()
            lease.release()


def check(server, documents):
    """A whole document for each answer; the others are of requests without one."""
    by_run = {document["run_id"]: document for document in documents}
    assert len(by_run) == len(documents)
    for answer in server.answered:
        document = by_run.pop(answer["run"])
        assert document["integrity"]["complete"]
        assert (document["final_status"], document["counts"]["events"]) == ("completed", 7)
        assert document["fields"]["number"] == answer["number"]
        (turn,) = document["interactions"]
        assert [action["action_name"] for action in turn["actions"]] == ["lookup_order", "chat"]
        assert turn["actions"][0]["output_data"] == 2 * answer["number"]
        assert turn["actions"][1]["input_data"] == answer["number"]
    said = Path("server.log").read_text()
    assert "tailrace: " not in said
    assert "Traceback" not in said
    return [*by_run.values()]


def both_workers_answer(server):
    while len({answer["pid"] for answer in server.answered}) < 2:
        for asked in server.ask(*["/loop/0"] * 20):
            asked.result()


def test_two_hundred_requests_to_two_workers_that_are_then_terminated():
    with served("--workers", "2") as server:
        both_workers_answer(server)
        paths = [f"/{'loop' if number % 2 else 'thread'}/{number}" for number in range(200)]
        assert all(asked.result() for asked in server.ask(*paths))
        server.stop()
    assert check(server, anyio.run(conserved)) == []


def test_a_worker_that_is_killed_in_the_middle_of_requests():
    with served("--workers", "2") as server:
        both_workers_answer(server)
        assert all(asked.result() for asked in server.ask(*(f"/loop/{number}" for number in range(100))))
        reports = Path("told").read_text().count("\n")
        asked = server.ask(*(f"/loop/{number}?held=true" for number in range(100, 200)))
        until(lambda: Path("told").read_text().count("\n") == reports + 100)
        victim = json.loads(Path("told").read_text().splitlines()[-1])[0]  # one that holds a request
        os.kill(victim, signal.SIGKILL)
        Path("gate").touch()
        answers = [each.result() for each in asked]
        server.stop()
    unanswered = [number for number, answer in enumerate(answers, 100) if answer is None]
    assert unanswered
    assert victim not in {answer["pid"] for answer in answers if answer}
    left = check(server, anyio.run(conserved))
    assert sorted(document["fields"]["number"] for document in left) == unanswered
    assert {document["state"] for document in left} == {"abandoned"}


def test_a_reloaded_application_goes_on_where_its_last_process_was_closed_out():
    with served("--reload", "--reload-delay", "0.05") as server:
        assert all(asked.result() for asked in server.ask(*(f"/loop/{number}" for number in range(50))))
        (before,) = spools()
        another = APP.replace("VERSION = 1", "VERSION = 1 + 1")  # of another size, or Python takes what it compiled
        Path("app.py").write_text(another)
        until(lambda: (server.get("/thread/0") or {"version": None})["version"] == 2)
        assert all(asked.result() for asked in server.ask(*(f"/loop/{number}" for number in range(50, 100))))
        until(lambda: before not in spools())  # the new process has shipped what the old one left
        server.stop()
    assert len({answer["pid"] for answer in server.answered}) == 2
    assert check(server, anyio.run(conserved)) == []
