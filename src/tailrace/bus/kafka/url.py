"""`kafka://host:port[,host:port][?option=value]`: where the brokers are, and how to talk to them."""

from __future__ import annotations

import difflib
import re
import ssl
from typing import Any, Literal, get_args
from urllib.parse import unquote

import msgspec
from aiokafka import codec
from aiokafka.helpers import create_ssl_context

from tailrace.errors import ConfigError
from tailrace.urls import split

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?")
_DEFAULT_PORT = 9092
_LAST_PORT = 65535

_CODECS = {"gzip": codec.has_gzip, "snappy": codec.has_snappy, "lz4": codec.has_lz4, "zstd": codec.has_zstd}


class Options(msgspec.Struct, frozen=True):
    """What may stand after the `?`, named as in Kafka's own clients."""

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str | None = None
    sasl_password: str | None = None
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_check_hostname: bool = True
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "none"
    request_timeout_ms: int = 10_000
    """How long one request may take; a publish gives up after about three of these."""
    session_timeout_ms: int = 30_000
    """How long a member of a group may be silent until its partitions go to others."""
    stuck_timeout_ms: int = 90_000
    """How long a member of a group may get no record that is there, or none of its commits through, while the brokers
    answer, until it joins anew with a client of its own."""


class Brokers:
    """A URL that was read. Its text form is without options, so that no error or log shows a password."""

    def __init__(self, url: str) -> None:
        """Read the URL, and the certificates that it names.

        Raises:
            ConfigError: the URL, an option or a certificate cannot be used; never shows the value of an option.
        """
        parts = split(url)
        if "@" in parts.authority:
            raise ConfigError("a kafka:// URL takes credentials as ?sasl_username=...&sasl_password=..., not before @")
        if parts.path.strip("/") or parts.fragment:
            raise ConfigError(f"kafka://{parts.authority} is followed by a path; write kafka://host:port[,host:port]")
        self.servers = [_host(server) for server in parts.authority.split(",")]
        self.options = _options(parts.query)
        self._security = _security(self.options)

    def __str__(self) -> str:
        return f"kafka://{','.join(self.servers)}"

    @property
    def request_timeout(self) -> float:
        """Seconds."""
        return self.options.request_timeout_ms / 1000

    @property
    def connect_timeout(self) -> float:
        """Seconds for finding one broker that answers."""
        return len(self.servers) * self.request_timeout

    @property
    def compression(self) -> str | None:
        return None if self.options.compression == "none" else self.options.compression

    def client(self) -> dict[str, Any]:
        """The arguments that every aiokafka client takes."""
        return {
            "bootstrap_servers": self.servers,
            "client_id": "tailrace",
            "request_timeout_ms": self.options.request_timeout_ms,
            **self._security,
        }


def _host(server: str) -> str:
    match = _HOST.fullmatch(server)
    port = int(match[2] or _DEFAULT_PORT) if match else 0
    if match is None or not 0 < port <= _LAST_PORT:
        raise ConfigError(f"{server!r} is not a broker's address; write kafka://host:port[,host:port]")
    return f"{match[1]}:{port}"


def _options(query: str) -> Options:
    known = Options.__struct_fields__
    given: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            fix = f"did you mean {close[0]!r}?" if close else f"known options: {', '.join(known)}"
            raise ConfigError(f"unknown option {name!r} in the kafka:// URL; {fix}")
        if name in given:
            raise ConfigError(f"option {name!r} is given twice in the kafka:// URL")
        given[name] = unquote(value)  # not unquote_plus: a "+" in a password stays what it is
    try:
        options = msgspec.convert(given, Options, strict=False)
    except msgspec.ValidationError as error:
        reason, _, where = str(error).partition(" - at `$.")
        name = where.rstrip("`")
        choices = next((get_args(field.type) for field in msgspec.structs.fields(Options) if field.name == name), ())
        wanted = f"; it takes {', '.join(choices)}" if choices else ""
        raise ConfigError(f"option {name!r} in the kafka:// URL is not valid: {reason}{wanted}") from None
    _check(options, given)
    return options


def _check(options: Options, given: dict[str, str]) -> None:
    for kind in ("sasl", "ssl"):
        useless = [name for name in given if name.startswith(f"{kind}_")]
        if useless and kind.upper() not in options.security_protocol:
            raise ConfigError(
                f"option {useless[0]!r} has no effect with security_protocol={options.security_protocol}; "
                f"add security_protocol={'SASL_SSL' if kind == 'sasl' else 'SSL'} to the kafka:// URL"
            )
    if "SASL" in options.security_protocol and not (options.sasl_username and options.sasl_password):
        raise ConfigError(f"security_protocol={options.security_protocol} needs sasl_username and sasl_password")
    if options.ssl_keyfile and not options.ssl_certfile:
        raise ConfigError("option 'ssl_keyfile' needs 'ssl_certfile' in the kafka:// URL")
    for name in ("request_timeout_ms", "session_timeout_ms", "stuck_timeout_ms"):
        if getattr(options, name) < 1:
            raise ConfigError(f"option {name!r} in the kafka:// URL takes a number of milliseconds above 0")
    if options.compression != "none" and not _CODECS[options.compression]():
        raise ConfigError(f"compression={options.compression} needs a package: pip install cramjam")


def _security(options: Options) -> dict[str, Any]:
    security: dict[str, Any] = {"security_protocol": options.security_protocol}
    if "SASL" in options.security_protocol:
        security |= {
            "sasl_mechanism": options.sasl_mechanism,
            "sasl_plain_username": options.sasl_username,
            "sasl_plain_password": options.sasl_password,
        }
    if "SSL" in options.security_protocol:
        security["ssl_context"] = _ssl_context(options)
    return security


def _ssl_context(options: Options) -> ssl.SSLContext:
    files = {"ssl_cafile": options.ssl_cafile, "ssl_certfile": options.ssl_certfile, "ssl_keyfile": options.ssl_keyfile}
    try:
        context: ssl.SSLContext = create_ssl_context(
            cafile=options.ssl_cafile, certfile=options.ssl_certfile, keyfile=options.ssl_keyfile
        )
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        shown = ", ".join(f"{name}={path}" for name, path in files.items() if path)
        raise ConfigError(f"the certificates of the kafka:// URL cannot be read ({shown}): {error}") from error
    context.check_hostname = options.ssl_check_hostname
    return context
