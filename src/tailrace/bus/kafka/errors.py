"""From aiokafka's errors to `BusError`."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka import errors

from tailrace.bus.kafka.url import Brokers
from tailrace.errors import BusError

# Not those of authorization: an access list gets mended, and until then the records wait.
_FINAL = (
    errors.InvalidGroupIdError,
    errors.InvalidTopicError,
    errors.MessageSizeTooLargeError,
    errors.RecordListTooLargeError,
)

_NO_CONNECTION = "no connection to a broker that the others named; it is down or starting, or not at that address"
_FIXES: dict[type[Exception], str] = {
    errors.TopicAuthorizationFailedError: "grant {user} Create, Describe, Read and Write on the topic",
    errors.GroupAuthorizationFailedError: "grant {user} Describe and Read on the group",
    errors.ClusterAuthorizationFailedError: "grant {user} Create on the cluster, or have the topics made by who may",
    errors.SaslAuthenticationFailed: "check sasl_username, sasl_password and sasl_mechanism in the bus's URL",
    errors.AuthenticationFailedError: "check sasl_username, sasl_password and sasl_mechanism in the bus's URL",
    errors.UnsupportedSaslMechanismError: "set sasl_mechanism in the bus's URL to one that the broker offers",
    errors.NodeNotReadyError: "check the address that the broker advertises (advertised.listeners) from here",
    ssl.SSLCertVerificationError: "set ssl_cafile in the bus's URL to what signed the broker's certificate, and the "
    "broker's name to one that it is for",
}


def bus_error(brokers: Brokers, doing: str, error: BaseException) -> BusError:
    """The error of the bus for one of aiokafka's or of the network, which includes requests that took too long."""
    fix = next((text for kind, text in _FIXES.items() if isinstance(error, kind)), "")
    name = brokers.options.sasl_username
    return BusError(
        f"{brokers}: {doing}: {_reason(error)}",
        retryable=not isinstance(error, _FINAL),
        fix=fix.format(user=f"user {name!r}" if name else "this client"),
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, errors.NodeNotReadyError):
        return _NO_CONNECTION
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)


@contextmanager
def bus_errors(brokers: Brokers, doing: str) -> Iterator[None]:
    """Raises what aiokafka raises as `BusError`; `doing` says what failed, as in "reading a.topic"."""
    try:
        yield
    except (errors.KafkaError, OSError) as error:  # TimeoutError is one
        raise bus_error(brokers, doing, error) from error
