"""Long runs on OpenSearch, whose pieces no transaction holds together: interrupted at each request, and overtaken."""

import itertools
import json
from contextlib import aclosing, suppress

import pytest

from tailrace.document import collect, pages
from tailrace.document.pages import contents
from tailrace.document.view import render
from tailrace.errors import StoreError
from tests.conformance.store_long import header_of, long_run, pieces_of
from tests.store.proxy import Proxy
from tests.store.runs import run_id


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch):
    monkeypatch.setattr(pages, "PAGE_BYTES", 5000)


@pytest.fixture
async def proxy(cluster):
    async with Proxy(cluster.url).running() as running:
        yield running


class BreakOff:
    """Loses the connection at the n-th bulk request, before or after the server has taken it."""

    def __init__(self, proxy, number, *, taken):
        self.proxy, self.left, self.taken = proxy, number, taken

    async def __call__(self, request, body):
        if request.path == "/_bulk":
            self.left -= 1
            if self.left < 0:
                self.proxy.fault = None
                if self.taken:
                    await self.proxy.forward(request, body)
                request.transport.close()


def parts(made):
    """A run that is long at once, and what cuts its pages further."""
    one, two = made.events[::2], made.events[1::2]
    return collect(one)[made.run], collect(two)[made.run]


@pytest.mark.anyio
@pytest.mark.usefixtures("no_pauses")
class TestLongRuns:
    async def test_a_merge_cut_off_at_any_request_is_put_right_by_the_next(self, cluster, proxy):
        for number, taken in itertools.product(range(100), (False, True)):
            made = long_run(4, pid="p", run=run_id())
            early, late = parts(made)
            async with aclosing(cluster.open(proxy.url)) as store, aclosing(cluster.open()) as other:
                await store.merge([early])
                proxy.fault = fault = BreakOff(proxy, number, taken=taken)
                with suppress(StoreError):
                    await store.merge([late])
                proxy.fault = None
                await other.merge([late] if number % 2 else [made.document()])
                pieces, document = await pieces_of(store, made.run)
            assert render(document) == render(made.document())
            assert json.loads(pieces[0])["counts"] == json.loads(render(made.document()))["counts"]
            if fault.left >= 0:
                break
        assert number > 2

    async def test_a_writer_who_is_overtaken_at_any_request_by_one_who_cuts_pages_loses_nothing(self, cluster, proxy):
        for number in itertools.count():
            made = long_run(5, pid="p", run=run_id())
            early, _ = parts(made)
            one, two = (collect(made.events[at::4])[made.run] for at in (1, 3))
            async with aclosing(cluster.open(proxy.url)) as store, aclosing(cluster.open()) as other:
                await store.merge([early])
                left = itertools.count(-number)

                async def overtake(request, body, left=left, other=other, one=one):
                    if next(left) == 0:
                        assert await other.merge([one]) == []

                proxy.fault = overtake
                assert await store.merge([two]) == []
                proxy.fault = None
                if next(left) <= 0:
                    break
                header = json.loads(await header_of(store, made.run))
                _, document = await pieces_of(store, made.run)
            assert document.events.keys() == made.document().events.keys()
            assert header["counts"] == json.loads(render(made.document()))["counts"]
        assert number > 4

    async def test_pages_that_were_cut_are_gone_and_a_repeated_merge_writes_nothing(self, cluster, proxy):
        made = long_run(8)
        early, late = parts(made)
        async with aclosing(cluster.open(proxy.url)) as store:
            await store.merge([early])
            await store.merge([late])
            header = await header_of(store, made.run)
            cluster.call("POST", f"/{cluster.prefix}-pages-*/_refresh")
            found = cluster.call("GET", f"/{cluster.prefix}-pages-*/_search?size=100&_source=page")
            kept = {hit["_source"]["page"] for hit in found["hits"]["hits"]}
            assert kept == {info.id for info in contents(header)}
            proxy.seen.clear()
            await store.merge([late, early])
            assert [request.path for request, _ in proxy.seen if request.path == "/_bulk"] == []
