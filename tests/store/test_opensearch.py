import gc
import shutil
import socket
import ssl
from base64 import b64decode
from contextlib import aclosing

import anyio
import pytest
from aiohttp import web

from tailrace.config import Config
from tailrace.document import Document
from tailrace.document.view import render
from tailrace.errors import StoreError
from tailrace.registry import open_store
from tailrace.store import Query
from tailrace.store.opensearch.indexes import VERSION
from tests.conformance.store import StoreConformance
from tests.store.proxy import Proxy
from tests.store.runs import Producer, run, said

TEMPLATE_1 = {"version": 1, "priority": 500}


@pytest.mark.opensearch
class TestOpenSearchStore(StoreConformance):
    @pytest.fixture
    def backend(self, cluster):
        return cluster


@pytest.mark.anyio
@pytest.mark.opensearch
class TestIndexes:
    async def test_a_run_stands_in_the_month_of_its_id_behind_one_alias(self, cluster):
        first, second = run(day=1), run(day=40)
        foreign, future = (
            Producer("not our id").document(),
            Producer("1d9000000000" + "7" + "0" * 19).document(),
        )  # of the year 2999
        async with aclosing(cluster.open()) as store:
            await store.merge([first, second, foreign, future])
        assert cluster.indexes() == [f"{cluster.prefix}-runs-{month}" for month in ("0000.00", "2026.01", "2026.02")]
        aliased = cluster.call("GET", f"/_alias/{cluster.prefix}-runs")
        assert sorted(aliased) == cluster.indexes()

    async def test_no_payload_changes_the_mapping_and_a_single_node_is_green(self, cluster):
        async with aclosing(cluster.open()) as store:
            await store.merge([run()])
            (before,) = cluster.call("GET", f"/{cluster.prefix}-runs-*/_mapping").values()
            assert await store.merge([said({"message": {f"key {n}": n for n in range(2000)}, "new": {"a": 1}})]) == []
        (after,) = cluster.call("GET", f"/{cluster.prefix}-runs-*/_mapping").values()
        assert after == before
        assert after["mappings"]["dynamic"] == "strict"
        health = cluster.call("GET", f"/_cluster/health/{cluster.prefix}-runs-*?wait_for_status=green&timeout=10s")
        assert health["status"] == "green"

    async def test_a_repeated_merge_writes_nothing(self, cluster):
        document = run()
        async with aclosing(cluster.open()) as store:
            await store.merge([document])
            await store.merge([document])
        found = cluster.call("GET", f"/{cluster.indexes()[0]}/_doc/{document.run_id}")
        assert found["_version"] == 1

    async def test_the_template_is_created_once_and_a_newer_one_left_alone(self, cluster):
        path = f"/_index_template/{cluster.prefix}-runs"
        for version, expected in ((0, VERSION), (VERSION, VERSION), (VERSION + 1, VERSION + 1)):
            cluster.call("PUT", path, {"index_patterns": [f"{cluster.prefix}-runs-*"], "version": version})
            async with aclosing(cluster.open()) as store:
                await store.merge([Document("x" * 600)])
            (template,) = cluster.call("GET", path)["index_templates"]
            assert template["index_template"]["version"] == expected

    async def test_an_index_without_rows_is_listed_written_and_renewed(self, cluster):
        """As version 1 of the template made them."""
        old, new = run(day=1), run(day=1, workflow="another")
        async with aclosing(cluster.open()) as store:
            await store.merge([old])
        (index,) = cluster.indexes()
        mappings = cluster.call("GET", f"/{index}/_mapping")[index]["mappings"]
        source = cluster.call("GET", f"/{index}/_doc/{old.run_id}")["_source"]
        del mappings["properties"]["row"]
        source["summary"] = b64decode(source.pop("row")).decode()
        cluster.call("DELETE", f"/{index}")
        cluster.call("PUT", f"/_index_template/{cluster.prefix}-runs", TEMPLATE_1 | {"index_patterns": [f"{index}*"]})
        cluster.call("PUT", f"/{index}", {"mappings": mappings, "aliases": {f"{cluster.prefix}-runs": {}}})
        cluster.call("PUT", f"/{index}/_doc/{old.run_id}?refresh=true", source)
        async with aclosing(cluster.open()) as store:
            assert [each.run_id for each in (await store.search(Query())).runs] == [old.run_id]
            assert await store.merge([new]) == []
            await cluster.settle()
            found = (await store.search(Query())).runs
        assert {each.run_id: each.workflow_name for each in found} == {old.run_id: "support-bot", new.run_id: "another"}

    async def test_no_refresh_of_an_index_waits_for_merges_nor_of_one_made_by_an_older_template(self, cluster):
        path = f"/_index_template/{cluster.prefix}-runs"
        for month in range(2):
            async with aclosing(cluster.open()) as store:
                await store.merge([run(day=1 + 40 * month)])
            settings = cluster.call("GET", f"/{cluster.prefix}-runs-*/_settings?flat_settings=true")
            waits = [each["settings"].get("index.merge_on_flush.enabled") for each in settings.values()]
            assert waits == ["false"] * (month + 1)
            for index in settings:  # as they were before version 3
                cluster.call("PUT", f"/{index}/_settings", {"index.merge_on_flush.enabled": None})
            cluster.call("PUT", path, TEMPLATE_1 | {"index_patterns": [f"{cluster.prefix}-runs-*"]})

    async def test_reading_creates_nothing(self, cluster):
        async with aclosing(cluster.open()) as store:
            assert await store.get("abcd") is None
            assert (await store.search(Query(words=("x",)))).runs == []
        assert cluster.indexes() == []
        assert cluster.call("GET", f"/_index_template/{cluster.prefix}-runs") is None

    async def test_a_read_only_index_is_a_retryable_error(self, cluster, no_pauses):
        async with aclosing(cluster.open()) as store:
            await store.merge([run()])
            settings = f"/{cluster.indexes()[0]}/_settings"
            cluster.call("PUT", settings, {"index.blocks.write": True})
            with pytest.raises(StoreError, match="cluster_block_exception") as caught:
                await store.merge([run()])
            assert caught.value.retryable
            cluster.call("PUT", settings, {"index.blocks.write": None})
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
async def test_another_host_takes_what_the_first_could_not(cluster, free_ports):
    working = cluster.url.partition("://")[2]
    documents = [run(f"number {n}") for n in range(3)]
    async with aclosing(cluster.open(f"opensearch://127.0.0.1:{free_ports[0]},{working}")) as store:
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
