import pytest

from tests.store.cluster import OpenSearchBackend


@pytest.fixture
def cluster(opensearch_url, prefix):
    made = OpenSearchBackend(opensearch_url, prefix)
    yield made
    made.clear()


@pytest.fixture
def no_pauses(monkeypatch):
    monkeypatch.setattr("tailrace.store.opensearch.write._pause", lambda *_: 0)
