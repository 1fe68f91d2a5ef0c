"""What Kafka refuses is told with what to do about it."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading

import pytest
from aiokafka import errors

from tailrace.bus.kafka.errors import bus_error, bus_errors
from tailrace.bus.kafka.url import Brokers
from tailrace.config import load
from tailrace.errors import BusError
from tailrace.registry import open_bus

BROKERS = Brokers("kafka://broker:9092")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            errors.TopicAuthorizationFailedError("acme.events.bot"),
            "acme.events.bot; grant this client Create, Describe",
        ),
        (
            errors.GroupAuthorizationFailedError("acme.index"),
            "acme.index; grant this client Describe and Read",
        ),
        (errors.ClusterAuthorizationFailedError(), "grant this client Create on the cluster"),
        (errors.NodeNotReadyError("node which is not ready"), "no connection to a broker that the others named"),
        (errors.NodeNotReadyError(), "advertised.listeners"),
        (errors.SaslAuthenticationFailed("no"), "check sasl_username, sasl_password"),
        (errors.UnsupportedSaslMechanismError("no"), "set sasl_mechanism"),
        (TimeoutError(), "no answer in time"),
    ],
)
def test_an_error_names_broker_deed_and_remedy_and_is_retried(error, told):
    found = bus_error(BROKERS, "publishing to a topic", error)
    assert "broker:9092: publishing to a topic: " in str(found)
    assert told in str(found)
    assert found.retryable


def test_a_record_that_is_too_large_is_not_retried():
    with pytest.raises(BusError) as caught, bus_errors(BROKERS, "publishing"):
        raise errors.MessageSizeTooLargeError("1 MB")
    assert not caught.value.retryable


def test_the_user_who_is_to_be_granted_something_is_named_and_the_password_is_not():
    brokers = Brokers("kafka://broker?security_protocol=SASL_PLAINTEXT&sasl_username=bot&sasl_password=hidden")
    found = bus_error(brokers, "publishing to a.topic", errors.TopicAuthorizationFailedError())
    assert found.fix == "grant user 'bot' Create, Describe, Read and Write on the topic"
    assert str(found).endswith(found.fix)
    assert "hidden" not in str(found)


@pytest.fixture
def tls_port(tmp_path):
    """Of a server whose certificate nobody has signed but itself."""
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    subprocess.run(["openssl", *made, "-keyout", "key", "-out", "cert"], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with contextlib.suppress(OSError):  # ssl.SSLError is one; the last is that the server was closed
                while True:
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(OSError):
                        context.wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
@pytest.mark.anyio
async def test_a_certificate_that_is_not_trusted_is_told_with_the_option_that_helps(tls_port):
    bus = open_bus(load({"bus": f"kafka://127.0.0.1:{tls_port}?security_protocol=SSL&request_timeout_ms=3000"}))
    try:
        with pytest.raises(BusError, match="self-signed certificate") as caught:
            await bus.topics("tailrace.")
    finally:
        await bus.aclose()
    assert "ssl_cafile" in caught.value.fix
