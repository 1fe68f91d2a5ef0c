"""What Kafka refuses is told with what to do about it."""

import pytest
from aiokafka import errors

from tailrace.bus.kafka.errors import bus_error, bus_errors
from tailrace.bus.kafka.url import Brokers
from tailrace.errors import BusError

BROKERS = Brokers("kafka://broker:9092")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (errors.TopicAuthorizationFailedError("acme.events.bot"), "acme.events.bot; grant this user Read, Write"),
        (errors.GroupAuthorizationFailedError("acme.index"), "acme.index; grant this user Read and Describe"),
        (errors.ClusterAuthorizationFailedError(), "grant this user Create on the cluster"),
        (errors.NodeNotReadyError(), "no connection to that broker now"),
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
