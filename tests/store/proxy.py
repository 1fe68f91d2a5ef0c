"""A server between the store and OpenSearch that a test tells when to fail, and how."""

import io
import json
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web


class Proxy:
    """Passes requests on. `fault`, where set, gets each request first and may answer in the server's place."""

    def __init__(self, target):
        self.target = target.partition("://")[2]
        self.url = ""
        self.fault = None
        self.seen = []
        self._session = None

    async def handle(self, request):
        body = await request.read()
        self.seen.append((request, body))
        if self.fault is not None and (answer := await self.fault(request, body)) is not None:
            return answer
        return await self.forward(request, body)

    async def forward(self, request, body):
        url = f"http://{self.target}{request.path_qs}"
        kept = {"content-type": request.content_type}
        async with self._session.request(request.method, url, data=io.BytesIO(body), headers=kept) as answer:
            return web.Response(body=await answer.read(), status=answer.status, content_type=answer.content_type)

    @asynccontextmanager
    async def running(self, tls=None):
        application = web.Application(client_max_size=1 << 30)
        application.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(application)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
            self.url = f"opensearch://127.0.0.1:{runner.addresses[0][1]}"
            async with aiohttp.ClientSession() as self._session:
                yield self
        finally:
            await runner.cleanup()


def bulk_ids(body):
    """The ids of a bulk request's items."""
    return [next(iter(json.loads(line).values()))["_id"] for line in body.splitlines()[::2]]


def items(*outcomes):
    """A bulk answer of (status, error type)."""
    made = [
        {"index": {"status": status, "error": {"type": kind, "reason": f"why {kind}"}}} for status, kind in outcomes
    ]
    return web.json_response({"errors": True, "items": made})
