"""Two processes that log into one run: joined by HTTP headers, by Kafka headers, by a pickled function."""

import json
import subprocess
import sys
from urllib.request import Request, urlopen

import pytest

from tests.system.scripts import run, start, stored_documents

pytestmark = pytest.mark.anyio

WRITER = """
import tailrace

log = tailrace.get_logger()

@tailrace.action
def spell(text):
    return text.upper()

@tailrace.agent("writer")
def write(text):
    log.info("writing")
    return spell(text)
"""

SERVICE = (
    WRITER
    + """
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        with tailrace.extract(self.headers):
            body = write(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body.encode())
    def log_message(self, *arguments): pass

server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
for _ in range(int(sys.argv[1])):
    server.handle_request()
print(json.dumps(log.stats().inbound_rejected), flush=True)
"""
)

CALLER = """
import sys
from urllib.request import Request, urlopen
import tailrace

log = tailrace.get_logger("Support Bot")
with log.run() as run, run.iteration() as it, it.interaction("planner") as turn:
    for text in ("one", "two"):
        with turn.action("ask", input=text) as act:
            request = Request(f"http://127.0.0.1:{sys.argv[1]}/", text.encode(), tailrace.inject())
            act.output = urlopen(request).read().decode()
"""


def check_joined(document, asked):
    """The writer of the other process is a child of the action that asked it, in the caller's iteration."""
    assert document["integrity"]["complete"]
    assert len(document["integrity"]["producers"]) == 2
    assert document["other_events"] == []
    (iteration,) = document["iterations"]
    planner, *writers = iteration["interactions"]
    assert [turn["agent_name"] for turn in (planner, *writers)] == ["planner"] + ["writer"] * asked
    actions = [action for action in planner["actions"] if action["action_name"] == "ask"]
    assert [writer["parent"] for writer in writers] == [action["id"] for action in actions]
    for action, writer in zip(actions, writers, strict=True):
        assert writer["input_data"] == {"text": action["input_data"]}
        assert writer["output_data"] == action["input_data"].upper()
        assert [each["action_name"] for each in writer["actions"]] == ["spell"]
    assert [line["interaction"] for line in document["logs"]] == [writer["id"] for writer in writers]


async def test_two_processes_joined_by_http_headers_give_one_document():
    with start(SERVICE, 2) as service:
        port = service.stdout.readline().strip()
        assert run(CALLER, port)[::2] == (0, "")
        out, err = service.communicate(timeout=30)
    assert (json.loads(out), err) == ({}, "")
    (document,) = await stored_documents()
    assert document["workflow_name"] == "Support Bot"
    assert [action["output_data"] for action in document["iterations"][0]["interactions"][0]["actions"]] == [
        "ONE",
        "TWO",
    ]
    check_joined(document, 2)


HOSTILE = {
    "oversize": {"traceparent": "0" * 20_000},
    "traceparent": {"traceparent": "00-zzf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
    "tracestate": {
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "tracestate": "tailrace=' OR 1=1 --",
    },
    "baggage": {
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "baggage": "tailrace.workflow=%0d%0aevil",
    },
    "run": {
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "tracestate": f"tailrace={'f' * 32}-{'0' * 16}-{'0' * 16}-{'0' * 16}",
    },
}


def answer_of(request):
    with urlopen(request, timeout=20) as answer:
        return answer.read()


async def test_hostile_headers_of_a_request_are_rejected_and_counted_and_the_request_is_served():
    with start(SERVICE, len(HOSTILE)) as service:
        port = service.stdout.readline().strip()
        for headers in HOSTILE.values():
            assert answer_of(Request(f"http://127.0.0.1:{port}/", b"text", headers)) == b"TEXT"
        out, err = service.communicate(timeout=30)
    assert json.loads(out) == dict.fromkeys(HOSTILE, 1)
    assert len(err.splitlines()) == len(HOSTILE)
    documents = await stored_documents()
    assert len(documents) == len(HOSTILE)  # a run of its own for each request
    for document in documents:
        assert (document["workflow_name"], document["state"], "parent" in document) == ("default", "complete", False)


SENDER = """
import sys
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
import tailrace

log = tailrace.get_logger("Support Bot")
admin = AdminClient({"bootstrap.servers": sys.argv[1]})
admin.create_topics([NewTopic(sys.argv[2], 1)])[sys.argv[2]].result(20)
producer = Producer({"bootstrap.servers": sys.argv[1]})
with log.run() as run, run.iteration() as it, it.interaction("planner") as turn:
    for text in ("one", "two"):
        with turn.action("ask", input=text):
            producer.produce(sys.argv[2], text, headers=tailrace.inject([("other", b"\\xff")]))
    assert producer.flush(20) == 0
assert log.close(20)
"""

RECEIVER = (
    WRITER
    + """
import sys
from confluent_kafka import Consumer

consumer = Consumer({
    "bootstrap.servers": sys.argv[1], "group.id": sys.argv[2], "auto.offset.reset": "earliest",
    "topic.metadata.refresh.interval.ms": 200,
})
consumer.subscribe([sys.argv[2]])
for _ in range(2):
    message = None
    while message is None or message.error():
        message = consumer.poll(1)
    with tailrace.extract(message.headers()):
        write(message.value().decode())
consumer.close()
assert log.close(20)
"""
)


async def test_two_processes_joined_by_a_kafka_header_give_one_document(kafka_url, prefix, monkeypatch):
    monkeypatch.setenv("TAILRACE_BUS", kafka_url)
    monkeypatch.setenv("TAILRACE_PREFIX", prefix)
    servers = kafka_url.removeprefix("kafka://")
    assert run(SENDER, servers, f"{prefix}-tasks") == (0, "", "")
    assert run(RECEIVER, servers, f"{prefix}-tasks") == (0, "", "")
    (document,) = await stored_documents()
    assert document["workflow_name"] == "Support Bot"
    check_joined(document, 2)


POOL = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
import tailrace

log = tailrace.get_logger("pool")

def work(number):
    log.log_action("work", number)
    return number

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with log.run() as run, run.interaction("planner"), ProcessPoolExecutor(2, mp_context=context) as pool:
        assert list(pool.map(tailrace.wrap(work), range(20))) == list(range(20))
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
async def test_a_wrapped_function_in_a_pool_of_processes_logs_into_the_run(method, tmp_path):
    (tmp_path / "pool.py").write_text(POOL)
    subprocess.run([sys.executable, "pool.py", method], check=True, timeout=60)
    (document,) = await stored_documents()
    (planner,) = document["interactions"]
    assert sorted(action["input_data"] for action in planner["actions"]) == list(range(20))
    assert document["integrity"]["gaps"] == {}
    assert document["integrity"]["received"] == document["counts"]["events"] == 24
    assert document["state"] == "complete"
