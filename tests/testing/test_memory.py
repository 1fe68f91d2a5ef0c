"""A bus and a store in memory, with the consumers between them."""

import pytest

import tailrace
from tailrace.logger import state
from tailrace.testing import in_memory

pytestmark = pytest.mark.anyio


@pytest.fixture
def _fresh_logger():
    state.reset()
    yield
    state.reset()


@pytest.mark.usefixtures("_fresh_logger")
async def test_a_run_goes_from_the_logger_over_the_bus_into_the_store(tmp_path, monkeypatch):
    monkeypatch.setenv("TAILRACE_PUBLISH", "companion")  # which a bus in memory cannot have
    async with in_memory(tmp_path) as memory:
        log = tailrace.configure_logger(workflow_name="support-bot", **memory.settings)
        with log.run() as run:
            log.info("x")
        assert (await log.flush("broker", timeout=20)).reached
        assert len(await memory.records("tailrace.events.*")) == 3
        assert await memory.documents() == []
        await memory.catch_up()
        (document,) = await memory.documents()
        assert (document["run_id"], document["state"]) == (run.run_id, "complete")
        assert len(await memory.records("tailrace.documents")) >= 1


async def test_each_has_a_bus_and_a_store_of_its_own(tmp_path):
    async with in_memory(tmp_path) as one, in_memory(tmp_path) as other:
        assert one.settings["bus"] != other.settings["bus"]
        await one.bus.create_topics(["a"])
        assert await other.bus.topics() == []
