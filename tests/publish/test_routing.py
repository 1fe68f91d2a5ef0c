import pytest

from tailrace.bus.topics import Topics
from tailrace.config import Config
from tailrace.errors import BusError
from tailrace.publish.routing import Router
from tailrace.registry import open_bus

pytestmark = pytest.mark.anyio
TOPICS = Topics("acme")


@pytest.fixture
async def bus(tmp_path):
    opened = open_bus(Config(bus=f"memory:{tmp_path}"))
    yield opened
    await opened.aclose()


def topic(name):
    return TOPICS.events(name)


async def names(bus):
    return [info.name for info in await bus.topics()]


async def test_a_topic_is_made_before_it_is_named(bus):
    router = Router(bus, TOPICS, 5)
    assert await router.route(topic("bot")) == "acme.events.bot"
    assert await names(bus) == ["acme.events.bot"]


async def test_names_beyond_the_limit_share_topics(bus):
    router = Router(bus, TOPICS, 2)
    assert await router.route(topic("a")) == topic("a")
    assert await router.route(topic("b")) == topic("b")
    assert await router.route(topic("c")) == TOPICS.overflow("c")
    assert await router.route(topic("d")) == TOPICS.overflow("d")
    assert sorted(await names(bus)) == sorted({topic("a"), topic("b"), TOPICS.overflow("c"), TOPICS.overflow("d")})


async def test_a_topic_that_exists_is_used_even_beyond_the_limit(bus):
    await bus.create_topics([topic(name) for name in "abc"])
    router = Router(bus, TOPICS, 1)
    assert await router.route(topic("b")) == topic("b")
    assert await router.route(topic("d")) == TOPICS.overflow("d")


async def test_shared_topics_and_those_of_others_do_not_count(bus):
    others = ["acme.documents", "acme.dead", "acme.sampled.x", "acme2.events.x", "acme.events"]
    await bus.create_topics([*others, TOPICS.overflow("x"), TOPICS.overflow("y")])
    assert await Router(bus, TOPICS, 1).route(topic("a")) == topic("a")


async def test_a_topic_that_is_not_for_events_is_left_as_it_is(bus):
    await bus.create_topics([topic("a")])
    router = Router(bus, TOPICS, 1)
    assert await router.route("acme.documents") == "acme.documents"
    assert "acme.documents" in await names(bus)


async def test_a_route_stays_and_costs_one_look_at_the_bus(bus):
    class Counting:
        looks = 0

        async def topics(self, prefix):
            self.looks += 1
            return await bus.topics(prefix)

        create_topics = staticmethod(bus.create_topics)

    counting = Counting()
    router = Router(counting, TOPICS, 1)
    before = [await router.route(topic(name)) for name in "ab"]
    await bus.create_topics([topic("b")])
    assert [await router.route(topic(name)) for name in "abab"] == before * 2
    assert counting.looks == 2


async def test_another_process_finds_the_same_shared_topic(bus):
    await bus.create_topics([topic("a")])
    routes = {await Router(bus, TOPICS, 1).route(topic("b")) for _ in range(3)}
    assert routes == {TOPICS.overflow("b")}


async def test_a_route_that_could_not_be_made_is_tried_again(bus):
    class Failing:
        topics = staticmethod(bus.topics)
        failures = 1

        async def create_topics(self, names):
            if self.failures:
                self.failures -= 1
                raise BusError("no leader", retryable=True)
            await bus.create_topics(names)

    router = Router(Failing(), TOPICS, 5)
    with pytest.raises(BusError, match="no leader"):
        await router.route(topic("a"))
    assert await names(bus) == []
    assert await router.route(topic("a")) == topic("a")
    assert await names(bus) == [topic("a")]
