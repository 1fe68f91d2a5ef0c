"""Real Apache Kafka and OpenSearch for the tests and for `make servers`: no container engine, only Java and Maven."""

from tests.servers.kafka import Kafka
from tests.servers.opensearch import OpenSearch
from tests.servers.process import Server, ServerFailedError, UnavailableError

__all__ = ["Kafka", "OpenSearch", "Server", "ServerFailedError", "UnavailableError"]
