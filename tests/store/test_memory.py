import pytest

from tailrace.config import Config
from tailrace.document.view import render
from tailrace.registry import open_store
from tests.conformance.store import StoreConformance
from tests.store.runs import run


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


@pytest.mark.anyio
async def test_stores_of_different_names_share_nothing(prefix):
    document = run()
    await Memory(prefix).open().merge([document])
    assert await Memory(prefix + "other").open().get(document.run_id) is None
    assert render(await Memory(prefix).open().get(document.run_id)) == render(document)
