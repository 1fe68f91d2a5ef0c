"""The servers that other tests build on: they answer, they die, and they come back with their data."""

from __future__ import annotations

import json
import urllib.request

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic


def create_topic(address, topic):
    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(20)


def produce(address, topic, value):
    outcomes = []
    producer = Producer({"bootstrap.servers": address, "acks": "all"})
    producer.produce(topic, value, on_delivery=lambda error, _: outcomes.append(error))
    producer.flush(20)
    assert outcomes == [None]


def consume_one(address, topic):
    consumer = Consumer({"bootstrap.servers": address, "group.id": topic, "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe([topic])
        record = consumer.poll(20)
        assert record is not None
        assert record.error() is None
        return record.value()
    finally:
        consumer.close()


def call(method, address, path, body=None):
    request = urllib.request.Request(f"http://{address}{path}", method=method)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, json.dumps(body).encode() if body else None, timeout=20) as response:
        return json.load(response)


def test_kafka_gives_back_a_record_after_sigkill(kafka, prefix):
    create_topic(kafka.address, prefix)
    produce(kafka.address, prefix, b"before")
    with kafka.killed():
        assert not kafka.running
    assert consume_one(kafka.address, prefix) == b"before"
    produce(kafka.address, prefix, b"after")


def test_opensearch_gives_back_a_document_after_sigkill(opensearch, prefix):
    call("PUT", opensearch.address, f"/{prefix}/_doc/1", {"answer": 42})
    with opensearch.killed():
        assert not opensearch.running
    assert call("GET", opensearch.address, f"/{prefix}/_doc/1")["_source"] == {"answer": 42}
