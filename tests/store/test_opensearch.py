import base64
import gc
import json
import shutil
import socket
import ssl
import urllib.error
import urllib.request
from contextlib import aclosing

import anyio
import pytest
from aiohttp import web

from tailrace.config import Config
from tailrace.document import Document, collect
from tailrace.document.view import render
from tailrace.errors import StoreError
from tailrace.event import types
from tailrace.registry import open_store
from tailrace.store import Query
from tailrace.store.opensearch.indexes import VERSION
from tests.conformance.store import StoreConformance
from tests.store.proxy import Proxy, bulk_ids, items
from tests.store.runs import Producer, producer, run, said


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


@pytest.fixture
def backend(opensearch_url, prefix):
    made = OpenSearchBackend(opensearch_url, prefix)
    yield made
    made.clear()


@pytest.mark.opensearch
class TestOpenSearchStore(StoreConformance):
    @pytest.fixture
    def backend(self, backend):
        return backend


@pytest.fixture
async def proxy(backend):
    async with Proxy(backend.url).running() as running:
        yield running


@pytest.fixture
async def store(backend, proxy):
    async with aclosing(backend.open(proxy.url)) as opened:
        yield opened


@pytest.fixture
def no_pauses(monkeypatch):
    monkeypatch.setattr("tailrace.store.opensearch.write._pause", lambda *_: 0)


@pytest.mark.anyio
@pytest.mark.usefixtures("no_pauses")
class TestFaults:
    @pytest.mark.parametrize(
        "outcome", [(429, "rejected_execution"), (503, "unavailable"), (403, "cluster_block_exception")]
    )
    async def test_items_refused_for_now_are_sent_again_alone(self, store, proxy, outcome):
        documents = [run(f"number {n}") for n in range(3)]
        sent = []

        async def refuse_the_second(request, body):
            if request.path != "/_bulk":
                return None
            sent.append(bulk_ids(body))
            if len(sent) == 1:
                first, second, third = body.splitlines()[:2], body.splitlines()[2:4], body.splitlines()[4:]
                assert second
                await proxy.forward(request, b"\n".join([*first, *third, b""]))
                return items((201, ""), outcome, (201, ""))
            return items(outcome) if len(sent) == 2 else None

        proxy.fault = refuse_the_second
        assert await store.merge(documents) == []
        assert sent == [[document.run_id for document in documents], *[[documents[1].run_id]] * 2]
        for document in documents:
            assert render(await store.get(document.run_id)) == render(document)

    async def test_a_server_that_stays_busy_is_a_retryable_error(self, store, proxy):
        async def refuse(request, body):
            return web.json_response({"error": "busy"}, status=503) if request.path == "/_bulk" else None

        proxy.fault = refuse
        with pytest.raises(StoreError, match=r"did not take 1 runs in \d+ attempts: 503") as caught:
            await store.merge([run()])
        assert caught.value.retryable
        proxy.fault = None
        assert await store.merge([run()]) == []

    async def test_a_document_with_a_mapping_error_comes_back_with_the_reason(self, store, proxy, backend):
        bad, good = run("bad"), run("good")

        async def refuse_the_first(request, body):
            if request.path == "/_bulk":
                await proxy.forward(request, b"\n".join([*body.splitlines()[2:], b""]))
                return items((400, "mapper_parsing_exception"), (201, ""))
            return None

        proxy.fault = refuse_the_first
        rejected = await store.merge([bad, good])
        assert [(each.document.run_id, each.reason) for each in rejected] == [
            (bad.run_id, "mapper_parsing_exception: why mapper_parsing_exception")
        ]
        assert await store.get(good.run_id) is not None

    async def test_a_write_that_is_not_allowed_is_a_final_error(self, store, proxy):
        async def refuse(request, body):
            return items((403, "security_exception")) if request.path == "/_bulk" else None

        proxy.fault = refuse
        with pytest.raises(StoreError, match="security_exception") as caught:
            await store.merge([run()])
        assert not caught.value.retryable

    async def test_a_request_too_large_is_split_and_a_document_too_large_comes_back(self, store, proxy):
        documents = [run(f"number {n}") for n in range(5)]
        large = run("x" * 40_000)

        async def limit(request, body):
            if request.path == "/_bulk" and len(body) > 20_000:
                return web.Response(status=413, text="<html>too large</html>", content_type="text/html")
            return None

        proxy.fault = limit
        rejected = await store.merge([*documents[:2], large, *documents[2:]])
        assert [each.document.run_id for each in rejected] == [large.run_id]
        assert "413" in rejected[0].reason
        for document in documents:
            assert render(await store.get(document.run_id)) == render(document)

    async def test_a_bulk_request_stays_below_five_megabytes(self, store, proxy):
        documents = [run("word " * 100_000) for _ in range(6)]
        assert await store.merge(documents) == []
        sizes = [len(body) for request, body in proxy.seen if request.path == "/_bulk"]
        assert len(sizes) > 1
        assert max(sizes) <= 5 << 20

    @pytest.mark.parametrize("known", [False, True])
    async def test_a_writer_who_comes_in_between_is_joined_with(self, store, proxy, backend, known):
        made = producer()
        if known:
            await store.merge([made.document()])
        made.send(types.LOG, {"message": "ours"}).send(types.LOG, {"message": "theirs"})
        ours, theirs = (collect([event])[made.run] for event in made.events[1:])
        async with aclosing(backend.open()) as other:

            async def come_first(request, body):
                if request.path == "/_bulk":
                    proxy.fault = None
                    assert await other.merge([theirs]) == []

            proxy.fault = come_first
            assert await store.merge([ours]) == []
        assert proxy.fault is None
        expected = collect(made.events if known else made.events[1:])[made.run]
        assert render(await store.get(made.run)) == render(expected)

    @pytest.mark.parametrize("path", ["/_mget", "/_bulk", "_search", "_index_template"])
    async def test_a_broken_connection_is_a_retryable_error_that_names_the_address(self, store, proxy, path):
        async def break_off(request, body):
            if path in request.path:
                request.transport.close()

        proxy.fault = break_off
        calls = {"/_mget": store.get, "_search": store.find}
        with pytest.raises(StoreError, match=proxy.url.partition("://")[2]) as caught:
            await (calls[path]("abcd") if path in calls else store.merge([run()]))
        assert caught.value.retryable

    async def test_half_an_answer_is_a_retryable_error(self, store, proxy):
        async def half(request, body):
            answer = web.StreamResponse(headers={"content-type": "application/json", "content-length": "1000"})
            await answer.prepare(request)
            await answer.write(b'{"docs": [')
            request.transport.close()
            return answer

        proxy.fault = half
        with pytest.raises(StoreError) as caught:
            await store.get("abcd")
        assert caught.value.retryable

    async def test_an_answer_that_is_not_opensearchs_is_a_final_error(self, store, proxy):
        async def greet(request, body):
            return web.Response(text="<html>hello</html>", content_type="text/html")

        proxy.fault = greet
        with pytest.raises(StoreError, match="does not answer as OpenSearch does") as caught:
            await store.merge([run()])
        assert not caught.value.retryable

    async def test_credentials_are_sent_and_never_shown(self, backend, proxy):
        async def refuse(request, body):
            return web.json_response({"error": {"reason": "who are you"}}, status=401)

        proxy.fault = refuse
        async with aclosing(backend.open(proxy.url.replace("://", "://me:p%40ss%2Fword@"))) as store:
            with pytest.raises(StoreError, match="401") as caught:
                await store.merge([run()])
        assert not caught.value.retryable
        assert "ss/word" not in str(caught.value)
        assert proxy.seen[0][0].headers["authorization"] == f"Basic {base64.b64encode(b'me:p@ss/word').decode()}"


@pytest.mark.anyio
@pytest.mark.opensearch
class TestIndexes:
    async def test_a_run_stands_in_the_month_of_its_id_behind_one_alias(self, backend):
        first, second = run(day=1), run(day=40)
        foreign, future = (
            Producer("not our id").document(),
            Producer("1d9000000000" + "7" + "0" * 19).document(),
        )  # of the year 2999
        async with aclosing(backend.open()) as store:
            await store.merge([first, second, foreign, future])
        assert backend.indexes() == [f"{backend.prefix}-runs-{month}" for month in ("0000.00", "2026.01", "2026.02")]
        aliased = backend.call("GET", f"/_alias/{backend.prefix}-runs")
        assert sorted(aliased) == backend.indexes()

    async def test_no_payload_changes_the_mapping_and_a_single_node_is_green(self, backend):
        async with aclosing(backend.open()) as store:
            await store.merge([run()])
            (before,) = backend.call("GET", f"/{backend.prefix}-runs-*/_mapping").values()
            assert await store.merge([said({"message": {f"key {n}": n for n in range(2000)}, "new": {"a": 1}})]) == []
        (after,) = backend.call("GET", f"/{backend.prefix}-runs-*/_mapping").values()
        assert after == before
        assert after["mappings"]["dynamic"] == "strict"
        health = backend.call("GET", f"/_cluster/health/{backend.prefix}-runs-*?wait_for_status=green&timeout=10s")
        assert health["status"] == "green"

    async def test_a_repeated_merge_writes_nothing(self, backend):
        document = run()
        async with aclosing(backend.open()) as store:
            await store.merge([document])
            await store.merge([document])
        found = backend.call("GET", f"/{backend.indexes()[0]}/_doc/{document.run_id}")
        assert found["_version"] == 1

    async def test_the_template_is_created_once_and_a_newer_one_left_alone(self, backend):
        path = f"/_index_template/{backend.prefix}-runs"
        for version, expected in ((0, VERSION), (VERSION, VERSION), (VERSION + 1, VERSION + 1)):
            backend.call("PUT", path, {"index_patterns": [f"{backend.prefix}-runs-*"], "version": version})
            async with aclosing(backend.open()) as store:
                await store.merge([Document("x" * 600)])
            (template,) = backend.call("GET", path)["index_templates"]
            assert template["index_template"]["version"] == expected

    async def test_reading_creates_nothing(self, backend):
        async with aclosing(backend.open()) as store:
            assert await store.get("abcd") is None
            assert (await store.search(Query(words=("x",)))).runs == []
        assert backend.indexes() == []
        assert backend.call("GET", f"/_index_template/{backend.prefix}-runs") is None

    async def test_a_read_only_index_is_a_retryable_error(self, backend, no_pauses):
        async with aclosing(backend.open()) as store:
            await store.merge([run()])
            settings = f"/{backend.indexes()[0]}/_settings"
            backend.call("PUT", settings, {"index.blocks.write": True})
            with pytest.raises(StoreError, match="cluster_block_exception") as caught:
                await store.merge([run()])
            assert caught.value.retryable
            backend.call("PUT", settings, {"index.blocks.write": None})
            assert await store.merge([run()]) == []


@pytest.mark.anyio
async def test_a_server_that_is_down_is_a_retryable_error_that_names_every_address(free_ports):
    hosts = ",".join(f"127.0.0.1:{port}" for port in free_ports)
    async with aclosing(open_store(Config(store=f"opensearch://u:secret@{hosts}"))) as store:
        for call in (store.merge([run()]), store.get("abcd"), store.find("abcd"), store.search(Query())):
            with pytest.raises(StoreError, match=hosts) as caught:
                await call
            assert caught.value.retryable
            assert "secret" not in str(caught.value)


@pytest.mark.anyio
async def test_another_host_takes_what_the_first_could_not(backend, free_ports):
    working = backend.url.partition("://")[2]
    documents = [run(f"number {n}") for n in range(3)]
    async with aclosing(backend.open(f"opensearch://127.0.0.1:{free_ports[0]},{working}")) as store:
        assert await store.merge(documents) == []
        assert render(await store.get(documents[2].run_id)) == render(documents[2])
    del store
    gc.collect()  # a connection left open warns, and a warning fails the test


@pytest.fixture
def free_ports():
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        return one.getsockname()[1], two.getsockname()[1]


@pytest.mark.anyio
@pytest.mark.parametrize(("options", "reached"), [("", False), ("&verify=false", True), ("&ca_certs={}", True)])
async def test_certificates_are_checked_unless_that_is_turned_off(tmp_path, options, reached):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    if shutil.which("openssl") is None:
        pytest.skip("makes its certificate with the openssl command")
    names = ["-subj", "/CN=tailrace-test", "-addext", "subjectAltName=IP:127.0.0.1"]
    await anyio.run_process(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, *names]
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    proxy = Proxy("nowhere://")

    async def answer(request, body):
        return web.json_response({"docs": [{}]})

    proxy.fault = answer
    async with proxy.running(context):
        url = f"{proxy.url}?tls=true{options.format(certificate)}"
        async with aclosing(open_store(Config(store=url))) as store:
            if reached:
                assert await store.get("abcd") is None
            else:
                with pytest.raises(StoreError, match="certificate"):
                    await store.get("abcd")
