"""TLS and SASL against a real broker with a certificate of its own making."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import anyio
import pytest

from tailrace.config import Config
from tailrace.errors import BusError
from tailrace.registry import open_bus
from tests.conformance.bus_case import opened, read, records, values
from tests.servers import Kafka, UnavailableError
from tests.servers.ports import PortLease

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]

PASSWORD = "a+b %&=secret"

PROPERTIES = """
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},SASL_SSL://127.0.0.1:{secure}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_SSL://127.0.0.1:{secure}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
 user_agent="{password}";
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
"""


class SecureKafka(Kafka):
    """Has one more listener, which takes TLS and the user "agent" only."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._secure = PortLease(random.sample(range(20_000, 30_000), 50))
        self.certificate = directory / "certificate.pem"

    @property
    def secure_address(self) -> str:
        return f"127.0.0.1:{self._secure.port}"

    def close(self) -> None:
        super().close()
        self._secure.release()

    def _format(self, properties: Path) -> None:
        key, keystore = self.directory / "key.pem", self.directory / "keystore.pem"
        names = ["-subj", "/CN=broker", "-addext", "subjectAltName=IP:127.0.0.1"]
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", self.certificate]
        subprocess.run([*command, *names], check=True, capture_output=True)
        keystore.write_text(key.read_text() + self.certificate.read_text())
        with properties.open("a") as file:  # of a key given twice the last one counts
            file.write(
                PROPERTIES.format(
                    port=self.port,
                    controller=self._controller.port,
                    secure=self._secure.port,
                    password=PASSWORD,
                    keystore=keystore,
                )
            )
        super()._format(properties)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    if shutil.which("openssl") is None:
        pytest.skip("makes its certificate with the openssl command")
    try:
        server = SecureKafka(tmp_path_factory.mktemp("secure"))
    except UnavailableError as error:
        pytest.skip(str(error))
    try:
        server.start()
        server.wait_ready()
        yield server
    finally:
        server.close()


def url(server: SecureKafka, *, password: str = PASSWORD, trusted: bool = True) -> str:
    trust = f"&ssl_cafile={server.certificate}" if trusted else ""
    return (
        f"kafka://{server.secure_address}?request_timeout_ms=3000&security_protocol=SASL_SSL"
        f"&sasl_username=agent&sasl_password={quote(password, safe='+')}{trust}"
    )


async def test_records_pass_over_tls_with_a_password(secure: SecureKafka, prefix: str):
    topic = f"{prefix}.events.a"
    async with opened(open_bus(Config(bus=url(secure)))) as bus:
        await bus.publish(records(topic, 3))
        async with bus.subscribe(topic, group=f"{prefix}-group") as subscription:
            assert values(await read(subscription, 3, commit=True)) == [0, 1, 2]
        assert sum((await bus.lag(topic, group=f"{prefix}-group")).values()) == 0


@pytest.mark.parametrize(
    ("given", "told"),
    [({"password": "secret-but-wrong"}, "Authentication failed"), ({"trusted": False}, "certificate verify failed")],
)
async def test_what_is_wrong_is_told_without_the_password(secure: SecureKafka, given: dict[str, object], told: str):
    async with opened(open_bus(Config(bus=url(secure, **given)))) as bus:
        with anyio.fail_after(15), pytest.raises(BusError, match=told) as raised:
            await bus.publish(records("any", 1))
    assert raised.value.retryable
    assert "secret" not in str(raised.value)
