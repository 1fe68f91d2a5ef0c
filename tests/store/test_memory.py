import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tailrace.config import Config
from tailrace.document import of
from tailrace.document.view import render
from tailrace.event import types
from tailrace.registry import open_store
from tests.conformance.store import StoreConformance
from tests.store.runs import producer, run


class Memory:
    def __init__(self, name):
        self.config = Config(store=f"memory:{name}")

    def open(self):
        return open_store(self.config)

    async def settle(self):
        pass


class TestMemoryStore(StoreConformance):
    @pytest.fixture
    def backend(self, prefix):
        return Memory(prefix)


def test_threads_that_write_one_run_lose_nothing(prefix):
    made = producer()
    for number in range(60):
        made.send(types.LOG, {"message": f"number {number}"})

    def write(first):
        store = Memory(prefix).open()
        for event in made.events[first::3]:
            assert asyncio.run(store.merge([of(event)])) == []

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(3) as threads:
            list(threads.map(write, range(3)))
    finally:
        sys.setswitchinterval(interval)
    assert render(asyncio.run(Memory(prefix).open().get(made.run))) == render(made.document())


@pytest.mark.anyio
async def test_stores_of_different_names_share_nothing(prefix):
    document = run()
    await Memory(prefix).open().merge([document])
    assert await Memory(prefix + "other").open().get(document.run_id) is None
    assert render(await Memory(prefix).open().get(document.run_id)) == render(document)
