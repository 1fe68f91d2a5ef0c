import base64
from contextlib import aclosing

import pytest
from aiohttp import web

from tailrace.document import collect
from tailrace.document.pages import contents
from tailrace.document.view import render
from tailrace.errors import LongRunError, StoreError
from tailrace.event import types
from tailrace.store.opensearch.indexes import VERSION
from tests.store.proxy import Proxy, bulk_ids, items
from tests.store.runs import producer, run


@pytest.fixture
async def proxy(cluster):
    async with Proxy(cluster.url).running() as running:
        yield running


@pytest.fixture
async def store(cluster, proxy):
    async with aclosing(cluster.open(proxy.url)) as opened:
        yield opened


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

    async def test_a_server_without_the_setting_about_merges_gets_templates_without_it(self, store, proxy, cluster):
        asked = []

        async def refuse(request, body):
            if b"merge_on_flush" not in body:
                return None
            asked.append(request.path)
            reason = "unknown setting [index.merge_on_flush.enabled]"
            return web.json_response({"error": {"type": "illegal_argument_exception", "reason": reason}}, status=400)

        proxy.fault = refuse
        document = run()
        assert await store.merge([document]) == []
        assert render(await store.get(document.run_id)) == render(document)
        for kind in ("runs", "pages"):
            alias = f"{cluster.prefix}-{kind}"
            assert {f"/{alias}/_settings", f"/_index_template/{alias}"} <= set(asked)
            (made,) = cluster.call("GET", f"/_index_template/{alias}")["index_templates"]
            assert made["index_template"]["version"] == VERSION

    async def test_a_server_that_stays_busy_is_a_retryable_error(self, store, proxy):
        async def refuse(request, body):
            return web.json_response({"error": "busy"}, status=503) if request.path == "/_bulk" else None

        proxy.fault = refuse
        with pytest.raises(StoreError, match=r"did not take 1 runs in \d+ attempts: 503") as caught:
            await store.merge([run()])
        assert caught.value.retryable
        proxy.fault = None
        assert await store.merge([run()]) == []

    async def test_a_run_in_an_index_that_has_no_shard_yet_is_read_as_soon_as_it_has(self, store, proxy):
        document = run()
        await store.merge([document])
        asked = []

        async def start_slowly(request, body):
            if request.path != "/_mget" or len(asked) == 2:
                return None
            asked.append(body)
            error = {"type": "no_shard_available_action_exception", "reason": "just made"}
            return web.json_response({"docs": [{"_id": document.run_id, "error": error}]})

        proxy.fault = start_slowly
        assert render(await store.get(document.run_id)) == render(document)
        assert len(asked) == 2

    async def test_a_run_that_no_shard_gives_is_a_retryable_error(self, store, proxy, monkeypatch):
        monkeypatch.setattr("tailrace.store.opensearch._STARTING_SECONDS", 0)

        async def never_start(request, body):
            error = {"type": "no_shard_available_action_exception", "reason": "lost"}
            return web.json_response({"docs": [{"error": error}]}) if request.path == "/_mget" else None

        proxy.fault = never_start
        with pytest.raises(StoreError, match="lost") as caught:
            await store.get(run().run_id)
        assert caught.value.retryable

    @pytest.mark.parametrize("path", ["/_bulk", "/_delete_by_query"])
    async def test_an_interrupted_delete_is_a_retryable_error_and_leaves_the_run_listed_until_it_is_finished(
        self, store, proxy, path, monkeypatch
    ):
        monkeypatch.setattr("tailrace.document.pages.PAGE_BYTES", 3_000)
        made = producer()
        for number in range(30):
            made.send(types.LOG, {"message": f"{number} {'x' * 200}"})
        await store.merge([made.document()])
        with pytest.raises(LongRunError) as caught:
            await store.get(made.run)
        listed = contents(caught.value.header)
        assert len(listed) > 1

        async def refuse(request, body):
            return web.json_response({"error": "busy"}, status=503) if request.path.endswith(path) else None

        proxy.fault = refuse
        with pytest.raises(StoreError) as caught:
            await store.delete([made.run])
        assert caught.value.retryable
        with pytest.raises(LongRunError):
            await store.get(made.run)
        proxy.fault = None
        assert await store.delete([made.run]) == 1
        assert await store.get(made.run) is None
        assert [await store.page(made.run, info.id) for info in listed] == [None] * len(listed)

    async def test_a_document_with_a_mapping_error_comes_back_with_the_reason(self, store, proxy, cluster):
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
    async def test_a_writer_who_comes_in_between_is_joined_with(self, store, proxy, cluster, known):
        made = producer()
        if known:
            await store.merge([made.document()])
        made.send(types.LOG, {"message": "ours"}).send(types.LOG, {"message": "theirs"})
        ours, theirs = (collect([event])[made.run] for event in made.events[1:])
        async with aclosing(cluster.open()) as other:

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

    async def test_a_template_is_renewed_only_once_older_indexes_have_its_fields(self, store, proxy, cluster):
        async def break_off(request, body):
            if request.path.endswith("/_mapping"):
                request.transport.close()

        path = f"/_index_template/{cluster.prefix}-runs"
        cluster.call("PUT", path, {"index_patterns": [f"{cluster.prefix}-runs-*"], "version": 1})
        proxy.fault = break_off
        with pytest.raises(StoreError):
            await store.merge([run()])
        (template,) = cluster.call("GET", path)["index_templates"]
        assert template["index_template"]["version"] == 1
        proxy.fault = None
        assert await store.merge([run()]) == []
        (template,) = cluster.call("GET", path)["index_templates"]
        assert template["index_template"]["version"] == VERSION

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

    async def test_credentials_are_sent_and_never_shown(self, cluster, proxy):
        async def refuse(request, body):
            return web.json_response({"error": {"reason": "who are you"}}, status=401)

        proxy.fault = refuse
        async with aclosing(cluster.open(proxy.url.replace("://", "://me:p%40ss%2Fword@"))) as store:
            with pytest.raises(StoreError, match="401") as caught:
                await store.merge([run()])
        assert not caught.value.retryable
        assert "ss/word" not in str(caught.value)
        assert proxy.seen[0][0].headers["authorization"] == f"Basic {base64.b64encode(b'me:p@ss/word').decode()}"
