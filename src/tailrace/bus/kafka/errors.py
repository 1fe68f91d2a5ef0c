"""From aiokafka's errors to `BusError`."""

from __future__ import annotations

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


_HELP: dict[type[errors.KafkaError], str] = {
    errors.TopicAuthorizationFailedError: "grant this user Read, Write, Describe and Create on the topics",
    errors.GroupAuthorizationFailedError: "grant this user Read and Describe on the group",
    errors.ClusterAuthorizationFailedError: "grant this user Create on the cluster, or make the topics beforehand",
    errors.NodeNotReadyError: "there is no connection to that broker now; it may be starting",
}


def bus_error(brokers: Brokers, doing: str, error: BaseException) -> BusError:
    """The error of the bus for one of aiokafka's or of the network, which includes requests that took too long."""
    reason = str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
    advice = next((text for kind, text in _HELP.items() if isinstance(error, kind)), "")
    told = f"{brokers}: {doing}: {reason}" + (f"; {advice}" if advice else "")
    return BusError(told, retryable=not isinstance(error, _FINAL))


@contextmanager
def bus_errors(brokers: Brokers, doing: str) -> Iterator[None]:
    """Raises what aiokafka raises as `BusError`; `doing` says what failed, as in "reading a.topic"."""
    try:
        yield
    except (errors.KafkaError, OSError) as error:  # TimeoutError is one
        raise bus_error(brokers, doing, error) from error
