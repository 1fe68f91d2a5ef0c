"""Where the server is and how to speak to it, read from the store's URL. No message shows the password."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import NoReturn
from urllib.parse import parse_qsl, unquote

import msgspec

from tailrace.errors import ConfigError
from tailrace.urls import split

_FORM = "opensearch://[user:password@]host:9200[,host2:9200][?option=value]"
_OPTIONS = ("tls", "verify", "ca_certs", "index_prefix")
_BOOLEANS = {"true": True, "false": False}
_DEFAULT_PORT = 9200
_HOST = re.compile(r"(?:(?P<host>[\w.-]+)|\[(?P<ipv6>[0-9a-fA-F:.]+)\])(?::(?P<port>[0-9]{1,5}))?")
_INDEX_PREFIX = re.compile(r"[a-z0-9][a-z0-9_.-]{0,199}")


class Address(msgspec.Struct, frozen=True):
    """The parts of the URL; its text form shows hosts only."""

    hosts: list[tuple[str, int]]
    user: str | None
    password: str
    tls: bool
    verify: bool
    """Whether the server's certificate and name are checked."""
    ca_certs: str | None
    """A file of certificates to trust; None: those of the system."""
    index_prefix: str

    def __repr__(self) -> str:
        return ",".join(f"{host}:{port}" for host, port in self.hosts)


def parse(url: str, prefix: str) -> Address:
    """The address in a store URL; `prefix` begins the index names unless the URL has `index_prefix`.

    Raises:
        ConfigError: the URL has another form, or an option is unknown or has a wrong value.
    """
    parts = split(url)
    credentials, at, hosts = parts.authority.rpartition("@")
    if not hosts or parts.path not in ("", "/") or parts.fragment:
        _refuse(f"it is written {_FORM}; signs like / # ? in a password are percent-encoded")
    options = _options(parts.query)
    user, _, password = credentials.partition(":")
    tls = _boolean(options, "tls", default=False)
    if not tls and ("verify" in options or "ca_certs" in options):
        _refuse("the options verify and ca_certs go with tls=true")
    return Address(
        hosts=[_host(each) for each in hosts.split(",")],
        user=unquote(user) if at else None,
        password=unquote(password),
        tls=tls,
        verify=_boolean(options, "verify", default=True),
        ca_certs=options.get("ca_certs"),
        index_prefix=_index_prefix(options.get("index_prefix", prefix)),
    )


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            close = difflib.get_close_matches(name, _OPTIONS, n=1)
            _refuse(
                f"unknown option {name!r}; "
                + (f"did you mean {close[0]}?" if close else f"known: {', '.join(_OPTIONS)}")
            )
        if name in options:
            _refuse(f"the option {name} is given twice")
        options[name] = value
    return options


def _boolean(options: Mapping[str, str], name: str, *, default: bool) -> bool:
    if name not in options:
        return default
    if options[name] not in _BOOLEANS:
        _refuse(f"{name} takes true or false, not {options[name]!r}")
    return _BOOLEANS[options[name]]


def _host(text: str) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    port = int(found["port"] or _DEFAULT_PORT) if found else 0
    if found is None or not 1 <= port <= 65535:  # noqa: PLR2004 - the range of ports
        _refuse(f"{text!r} is not host:port")
    return found["host"] or found["ipv6"], port


def _index_prefix(prefix: str) -> str:
    if not _INDEX_PREFIX.fullmatch(prefix):
        _refuse(
            f"{prefix!r} cannot begin an index name (lower-case letters, digits and _.-); "
            "write another with ?index_prefix=name"
        )
    return prefix


def _refuse(why: str) -> NoReturn:
    raise ConfigError(f"the OpenSearch store's URL: {why}")
