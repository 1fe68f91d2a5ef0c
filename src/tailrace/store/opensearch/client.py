"""Requests to the server, and what their failures mean. The only place that knows the client library."""

from __future__ import annotations

import contextlib
import io
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from tailrace.errors import ConfigError, MissingExtraError, StoreError
from tailrace.store.opensearch.address import Address

try:
    from opensearchpy import AsyncOpenSearch
    from opensearchpy.exceptions import ConnectionError as NoConnectionError
    from opensearchpy.exceptions import SerializationError, TransportError
    from opensearchpy.serializer import JSONSerializer
except ImportError as error:
    raise MissingExtraError("the OpenSearch store", "opensearch") from error

T = TypeVar("T")

TOO_LARGE = 413
PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""What a server answers while it is busy, starting or in trouble."""

_TIMEOUT_SECONDS = 30

# It logs each failed request, which the caller gets as an exception: silent unless the program set up logging.
logging.getLogger("opensearch").addHandler(logging.NullHandler())


class _Streamed(JSONSerializer):
    """Bodies are bytes already; as a file they are sent in parts, between which other tasks run."""

    def dumps(self, data: bytes) -> io.BytesIO:
        return io.BytesIO(data)

    def loads(self, data: str) -> Any:
        try:
            return msgspec.json.decode(data)
        except msgspec.DecodeError as error:
            raise SerializationError(data[:200], error) from error


class AnswerError(StoreError):
    """The server answered with an error; `status` is HTTP's."""

    def __init__(self, message: str, *, status: int, retryable: bool) -> None:
        super().__init__(message, retryable=retryable)
        self.status = status


class Client:
    """Speaks JSON with one cluster. Plain requests instead of the library's API: they fit Elasticsearch as well."""

    def __init__(self, address: Address) -> None:
        self.name = repr(address)
        self._hosts = len(address.hosts)
        self._client = AsyncOpenSearch(
            hosts=[{"host": host, "port": port, "use_ssl": address.tls} for host, port in address.hosts],
            http_auth=(address.user, address.password) if address.user is not None else None,
            ssl_context=_tls(address) if address.tls else None,
            timeout=_TIMEOUT_SECONDS,
            max_retries=0,
            retry_on_status=(),
            serializer=_Streamed(),
        )

    async def request(
        self,
        method: str,
        path: str,
        as_type: type[T],
        body: bytes | None = None,
        params: Mapping[str, str] | None = None,
    ) -> T:
        """The answer to one request, tried once on each host.

        Raises:
            AnswerError: the server refused; retryable where it is busy or blocks writes for a while.
            StoreError: the server was not reached (retryable), or does not speak as OpenSearch does.
        """
        kind = "application/x-ndjson" if path == "/_bulk" else "application/json"
        try:
            answer = await self._on_any_host(
                lambda: self._client.transport.perform_request(
                    method, path, dict(params or {}), body, headers={"content-type": kind}
                )
            )
            return msgspec.convert(answer, as_type)
        except NoConnectionError as error:
            raise StoreError(f"the store at {self.name} cannot be reached: {error.info}", retryable=True) from error
        except TransportError as error:
            raise self._refused(error) from error
        except (SerializationError, msgspec.ValidationError) as error:
            what = f"the server at {self.name} does not answer as OpenSearch does: {error}"
            raise StoreError(what, retryable=False) from error

    async def _on_any_host(self, send: Callable[[], Awaitable[Any]]) -> Any:
        """The library's own repetition would send a body that its first attempt has read."""
        for _ in range(self._hosts - 1):
            with contextlib.suppress(NoConnectionError):
                return await send()
        return await send()

    async def aclose(self) -> None:
        await self._client.close()
        connections: list[Any] = self._client.transport.seed_connections  # `close` leaves out those that failed last
        for connection in connections:
            await connection.close()

    def _refused(self, error: TransportError) -> AnswerError:
        status = int(error.status_code)
        retryable = status in PASSING or "cluster_block_exception" in str(error.error)
        reason = f"the store at {self.name} answered {status}: {_reason(error)}"
        return AnswerError(reason, status=status, retryable=retryable)


def _reason(error: TransportError) -> str:
    info = error.info
    failure = info.get("error") if isinstance(info, dict) else None
    reason = failure.get("reason") if isinstance(failure, dict) else None
    return f"{error.error}: {reason}" if reason else str(error.error)[:200]


def _tls(address: Address) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=address.ca_certs)
    except OSError as error:
        raise ConfigError(
            f"the OpenSearch store's URL: ca_certs {address.ca_certs!r} cannot be read: {error}"
        ) from error
    if not address.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
