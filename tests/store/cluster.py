"""OpenSearch as a test sees it past the store."""

import json
import urllib.error
import urllib.request

from tailrace.config import Config
from tailrace.registry import open_store


def call(url, method, path, body=None):
    """One request past the store: its JSON answer, None for what does not exist."""
    data = json.dumps(body).encode() if body is not None else None
    address = url.partition("://")[2]
    request = urllib.request.Request(
        f"http://{address}{path}", data, {"content-type": "application/json"}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            if error.code != 404:
                raise


class OpenSearchBackend:
    def __init__(self, url, prefix):
        self.url, self.prefix = url, prefix

    def open(self, url=None):
        return open_store(Config(store=url or self.url, prefix=self.prefix))

    async def settle(self):
        self.call("POST", f"/{self.prefix}-runs-*/_refresh")

    def call(self, method, path, body=None):
        return call(self.url, method, path, body)

    def indexes(self):
        return sorted(row["index"] for row in self.call("GET", f"/_cat/indices/{self.prefix}-*?format=json"))

    def clear(self):
        if indexes := self.indexes():
            self.call("DELETE", f"/{','.join(indexes)}")
        self.call("DELETE", f"/_index_template/{self.prefix}-*")
