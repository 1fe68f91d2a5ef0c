"""Apache Kafka: one KRaft node that is broker and controller."""

from __future__ import annotations

import base64
import random
import secrets
import socket
import subprocess
from pathlib import Path
from typing import ClassVar

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.servers.ports import PortLease
from tests.servers.process import Server, ServerFailedError

# Below every system's range for client ports: a client that reconnects to a dead server from such a port could be
# given that very port, connect to itself, and keep the server from coming back.
_PORTS = range(20_000, 30_000)

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
log.cleaner.dedupe.buffer.size=10485760
num.network.threads=2
num.io.threads=2
"""


class Kafka(Server):
    """Auto-creation of topics is off and a consumer's session may time out after 0.5 s, which fault tests use."""

    scheme: ClassVar[str] = "kafka"
    pom: ClassVar[Path] = Path(__file__).with_name("kafka.pom.xml")

    def __init__(self, directory: Path, *preferred: int) -> None:
        super().__init__(directory, [*preferred, *random.sample(_PORTS, 50)])
        self._controller = PortLease(random.sample(_PORTS, 50))
        # The first byte keeps the text from starting with "-", which the storage tool would read as an option.
        self._cluster_id = base64.urlsafe_b64encode(b"\0" + secrets.token_bytes(15)).decode().rstrip("=")

    def close(self) -> None:
        super().close()
        self._controller.release()

    def _arguments(self) -> list[str]:
        properties = self.directory / "server.properties"
        data = self.directory / "data"
        if not data.exists():
            properties.write_text(_PROPERTIES.format(port=self.port, controller=self._controller.port, data=data))
            self._format(properties)
        return ["-Xms128m", "-Xmx384m", "-Dorg.apache.logging.log4j.level=WARN", "kafka.Kafka", str(properties)]

    def _format(self, properties: Path) -> None:
        command = self._java_command("kafka.tools.StorageTool", "format", "-t", self._cluster_id, "-c", str(properties))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ServerFailedError(f"Kafka's storage could not be formatted\n{done.stdout}{done.stderr}")

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            client = AdminClient({"bootstrap.servers": self.address, "log_level": 0, "error_cb": lambda _: None})
            metadata = client.list_topics(timeout=2)
        except (OSError, KafkaException):
            return False
        partitions = [p for topic in metadata.topics.values() for p in topic.partitions.values()]
        led = all(partition.leader == 1 for partition in partitions)
        return metadata.cluster_id == self._cluster_id and list(metadata.brokers) == [1] and led
