from __future__ import annotations

import pytest

from tailrace.bus.kafka.url import Brokers
from tailrace.errors import ConfigError


def test_hosts_get_kafkas_port_where_none_is_given():
    brokers = Brokers("kafka://one,two.example:1234,[::1]:99")
    assert brokers.servers == ["one:9092", "two.example:1234", "[::1]:99"]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("kafka://", "write kafka://host:port"),
        ("kafka://host:port", "write kafka://host:port"),
        ("kafka://host:0", "write kafka://host:port"),
        ("kafka://[::1", "write kafka://host:port"),
        ("kafka://host:70000", "write kafka://host:port"),
        ("kafka://one,,two", "write kafka://host:port"),
        ("kafka://host/topic", "followed by a path"),
        ("kafka://me:secret@host", "sasl_username"),
        ("kafka://host?sasl_pasword=secret", "did you mean 'sasl_password'"),
        ("kafka://host?linger=1", "known options: security_protocol"),
        ("kafka://host?compression=gzip&compression=none", "given twice"),
        ("kafka://host?compression=brotli", "it takes none, gzip, snappy, lz4, zstd"),
        ("kafka://host?security_protocol=TLS", "it takes PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        ("kafka://host?request_timeout_ms=soon", "request_timeout_ms"),
        ("kafka://host?request_timeout_ms=0", "request_timeout_ms"),
        ("kafka://host?ssl_check_hostname=perhaps", "ssl_check_hostname"),
        ("kafka://host?sasl_username=me&sasl_password=secret", "add security_protocol=SASL_SSL"),
        ("kafka://host?ssl_cafile=ca.pem", "add security_protocol=SSL"),
        ("kafka://host?security_protocol=SASL_SSL&sasl_username=me", "needs sasl_username and sasl_password"),
        ("kafka://host?security_protocol=SSL&ssl_cafile=missing.pem", "ssl_cafile=missing.pem"),
        ("kafka://host?security_protocol=SSL&ssl_keyfile=key.pem", "needs 'ssl_certfile'"),
    ],
)
def test_a_wrong_url_is_explained_without_its_secrets(url: str, told: str):
    with pytest.raises(ConfigError) as raised:
        Brokers(url)
    assert told in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_password_is_passed_on_as_written_and_shown_nowhere():
    url = "kafka://host?security_protocol=SASL_SSL&sasl_mechanism=SCRAM-SHA-512&sasl_username=me&sasl_password=a+b%26c"
    brokers = Brokers(url)
    assert brokers.client()["sasl_plain_password"] == "a+b&c"
    assert brokers.client()["ssl_context"].check_hostname
    assert str(brokers) == "kafka://host:9092"
    assert "a+b" not in repr(brokers)


def test_host_names_are_not_checked_where_that_was_asked_for():
    brokers = Brokers("kafka://host?security_protocol=SSL&ssl_check_hostname=false")
    assert not brokers.client()["ssl_context"].check_hostname


def test_a_codec_that_is_not_installed_names_its_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("aiokafka.codec.cramjam", None)
    with pytest.raises(ConfigError, match="pip install cramjam"):
        Brokers("kafka://host?compression=zstd")
