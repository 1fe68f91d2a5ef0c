"""Brokers that die, stall, cut, forget and refuse: what was accepted is in the documents once all the same."""

import os
import random
import subprocess
import time

import anyio
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from tailrace.config import load
from tests.servers import Kafka, UnavailableError
from tests.servers.ports import PortLease
from tests.servers.proxy import Proxy
from tests.soak.agent import Agent, Plan
from tests.soak.check import calls_on_topic, judge
from tests.soak.offsets import acknowledged
from tests.soak.restarts import restart_under_load
from tests.system.conftest import TAILRACE
from tests.system.scripts import companions_gone, run, stored_documents

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

PROPERTIES = """
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},BAD://127.0.0.1:{behind},\
SASL_PLAINTEXT://127.0.0.1:{sasl}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},BAD://127.0.0.1:{proxy},SASL_PLAINTEXT://127.0.0.1:{sasl}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,BAD:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
 user_agent="secret";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


class BadKafka(Kafka):
    """Also listens behind a proxy, and for the user "agent", who is allowed nothing."""

    def __init__(self, directory):
        super().__init__(directory)
        ports = random.sample(range(20_000, 30_000), 60)
        self.proxy = Proxy(ports[:20])
        self._behind, self._sasl = PortLease(ports[20:40]), PortLease(ports[40:])
        self.proxy.target = self._behind.port
        self.bad_url = f"kafka://127.0.0.1:{self.proxy.port}?request_timeout_ms=2000"
        self.sasl_address = f"127.0.0.1:{self._sasl.port}"

    def close(self):
        super().close()
        self.proxy.close()
        self._behind.release()
        self._sasl.release()

    def _format(self, properties):
        ports = {"port": self.port, "controller": self._controller.port, "behind": self._behind.port}
        with properties.open("a") as file:
            file.write(PROPERTIES.format(**ports, proxy=self.proxy.port, sasl=self._sasl.port))
        super()._format(properties)


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    try:
        server = BadKafka(tmp_path_factory.mktemp("bad"))
    except UnavailableError as error:
        pytest.skip(str(error))
    try:
        server.start()
        server.wait_ready()
        yield server
    finally:
        server.close()


@pytest.fixture
def settings(broker, tmp_path, prefix):
    """Of an agent that reaches the broker through the proxy."""
    yield {"bus": broker.bad_url, "home": str(tmp_path / "home"), "prefix": prefix}
    broker.proxy.delay, broker.proxy.fault, broker.proxy.faults = 0.0, "none", 0


def eventually(check, seconds=40.0):
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        time.sleep(0.02)


def judged(broker, settings, marks):
    return anyio.run(judge, settings | {"bus": broker.url}, marks)


def test_a_broker_killed_three_times_under_load_loses_and_doubles_nothing(broker, settings):
    seconds = []
    verdict, ending = restart_under_load(broker, settings | {"bus": broker.url}, 3, seconds.append)
    print(f"next record after {seconds} s; the worst call took {ending.worst * 1000:.1f} ms")
    assert verdict.ok, verdict
    assert (ending.reached, ending.dropped) == (True, 0)
    assert max(seconds) < 10


def test_a_broker_that_is_down_at_the_start_is_found_when_it_comes(broker, settings):
    with broker.killed():
        agent = Agent(Plan(settings, pause=0.002))
        eventually(lambda: agent.accepted > 1_000)
    assert agent.end().reached
    verdict = judged(broker, settings, agent.marks)
    assert verdict.ok, verdict


def test_a_slow_broker_only_delays(broker, settings):
    broker.proxy.delay = 0.5
    with Agent(Plan(settings, pause=0.001)) as agent:
        eventually(lambda: agent.accepted > 3_000)
        ending = agent.end()
    assert ending.reached
    verdict = judged(broker, settings, agent.marks)
    assert verdict.ok, verdict


def test_a_broker_that_accepts_and_never_answers_holds_up_no_call(broker, settings):
    with Agent(Plan(settings, pause=0.002)) as agent:
        eventually(lambda: acknowledged(settings | {"bus": broker.url}) > 0)
        broker.proxy.fault = "mute"
        eventually(lambda: broker.proxy.faults > 0)
        before = agent.accepted
        eventually(lambda: agent.accepted > before + 2_000)
        broker.proxy.fault = "none"
        ending = agent.end()
    print(f"the worst call took {ending.worst * 1000:.1f} ms")
    assert ending.reached
    verdict = judged(broker, settings, agent.marks)
    assert verdict.ok, verdict


def test_a_lost_acknowledgement_doubles_on_the_topic_and_not_in_documents(broker, settings):
    with Agent(Plan(settings, pause=0.002)) as agent:
        eventually(lambda: acknowledged(settings | {"bus": broker.url}) > 0)
        broker.proxy.fault = "no produce response"
        eventually(lambda: broker.proxy.faults > 2)
        broker.proxy.fault = "none"
        assert agent.end().reached
    verdict = judged(broker, settings, agent.marks)
    assert verdict.ok, verdict
    assert verdict.duplicates > 0


def test_a_connection_cut_within_a_request_loses_and_disorders_nothing(broker, settings):
    with Agent(Plan(settings, pause=0.002)) as agent:
        eventually(lambda: acknowledged(settings | {"bus": broker.url}) > 0)
        broker.proxy.fault = "half a request"
        eventually(lambda: broker.proxy.faults > 2)
        broker.proxy.fault = "none"
        assert agent.end().reached
    verdict = judged(broker, settings, agent.marks)
    assert verdict.ok, verdict


def test_a_topic_deleted_under_the_producer_is_made_again_and_takes_what_comes(broker, settings, prefix):
    topic = f"{prefix}.events.soak"
    direct = settings | {"bus": broker.url}
    with Agent(Plan(settings, pause=0.002)) as agent:
        eventually(lambda: acknowledged(direct) > 500)
        admin = AdminClient({"bootstrap.servers": broker.address})
        admin.delete_topics([topic])[topic].result(20)
        marks = dict(agent.marks)
        eventually(lambda: acknowledged(direct) > 500, 60)
        assert agent.end().reached
    found = {(stream, call) for _, stream, call in calls_on_topic(load(direct))}
    later = {(stream, call) for stream, last in agent.marks.items() for call in range(marks[stream] + 1, last + 1)}
    assert later
    assert later <= found


LARGE = """
import secrets, anyio, tailrace
log = tailrace.get_logger("large")
with log.run():
    for number in range(30):
        log.log_action("step", input_data=number, output_data=secrets.token_hex(30_000 if number % 10 == 5 else 100))
print(anyio.run(log.flush).reached)
"""


def test_a_record_larger_than_its_topic_takes_is_put_aside_and_the_others_arrive(broker, prefix, tmp_path):
    admin = AdminClient({"bootstrap.servers": broker.address})
    topic = f"{prefix}.events.large"
    admin.create_topics([NewTopic(topic, 3, 1, config={"max.message.bytes": "20000"})])[topic].result(20)
    settings = {"bus": broker.url, "prefix": prefix, "home": str(tmp_path / "home")}
    environment = os.environ | {f"TAILRACE_{name.upper()}": value for name, value in settings.items()}
    code, out, err = run(LARGE, env=environment)
    assert (code, out) == (0, "True\n")
    assert "was refused and put aside" in err
    (document,) = anyio.run(lambda: stored_documents(**settings))
    assert [action["input_data"] for action in document["actions"]] == [n for n in range(30) if n % 10 != 5]
    assert not document["integrity"]["complete"]
    (rejected,) = (tmp_path / "home" / "spool" / "rejected").iterdir()
    assert rejected.stat().st_size > 3 * 60_000


REFUSED = """
import time, tailrace
log = tailrace.configure_logger("refused", exit_timeout=4)
worst = 0.0
for number in range(2_000):
    begin = time.perf_counter()
    log.info("line", number=number)
    worst = max(worst, time.perf_counter() - begin)
    time.sleep(0.001)
log.finalize()
print(f"{worst * 1000:.1f}")
"""
# A broker that refuses does answer, on a busy machine after some seconds.
SASL = "kafka://{sasl}?request_timeout_ms=10000&security_protocol=SASL_PLAINTEXT&sasl_username=agent&sasl_password="
WRONG = {
    "a user who is allowed nothing": (SASL + "secret", "uthorization", "grant user 'agent'"),
    "a wrong password": (SASL + "hidden", "Authentication failed", "check sasl_username, sasl_password"),
    "TLS where there is none": (
        "kafka://{plain}?request_timeout_ms=2000&security_protocol=SSL",
        "is SSL what it speaks",
        "TAILRACE_BUS",
    ),
    "no SASL where it is wanted": (
        "kafka://{sasl}?request_timeout_ms=2000",
        "is PLAINTEXT what it speaks",
        "TAILRACE_BUS",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_way_to_connect_is_told_once_and_by_doctor_and_events_wait(broker, prefix, tmp_path, wrong):
    url, told, fix = WRONG[wrong]
    url = url.format(sasl=broker.sasl_address, plain=broker.address)
    home = tmp_path / "home"
    settings = {"prefix": prefix, "home": str(home)}
    environment = os.environ | {f"TAILRACE_{k.upper()}": v for k, v in (settings | {"bus": url}).items()}
    code, out, err = run(REFUSED, env=environment)
    print(f"the worst call took {out.strip()} ms\n{err}")
    assert code == 0
    assert err.count("\n") == 1
    assert told in err
    assert "events wait on the spool" in err
    assert "hidden" not in err
    doctor = subprocess.run([TAILRACE, "doctor"], env=environment, capture_output=True, text=True, check=False)
    print(doctor.stdout)
    lines = doctor.stdout.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("FAIL")]
    assert told in lines[at]
    assert fix in lines[at + 1]
    assert fix not in lines[at]
    assert doctor.returncode == 1
    anyio.run(companions_gone, home)
    (document,) = anyio.run(lambda: stored_documents(**settings, bus=broker.url))
    assert len(document["logs"]) == 2_000
    assert document["integrity"]["complete"]
