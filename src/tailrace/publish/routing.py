"""Which topic a frame goes to: its workflow's own, or a shared one when there are too many."""

from __future__ import annotations

from tailrace.bus import Bus
from tailrace.bus.topics import Topics


class Router:
    """Keeps the number of events topics at `max_topics`. One instance a shipper."""

    def __init__(self, bus: Bus, topics: Topics, max_topics: int) -> None:
        self._bus = bus
        self._prefix = topics.events("").rpartition(".")[0] + "."
        self._overflow = topics.overflow
        self._max_topics = max_topics
        self._routes: dict[str, str] = {}

    async def route(self, topic: str) -> str:
        """The topic that exists, after this call, for records meant for `topic`.

        A name once routed keeps its route in this process. Two processes that meet the limit at the same moment may
        route one name differently; documents join all the same.

        Raises:
            BusError: the topics could not be listed or created.
        """
        route = self._routes.get(topic)
        if route is None:
            known = {info.name for info in await self._bus.topics(self._prefix)}
            own = {name for name in known if not name.startswith(f"{self._prefix}overflow-")}
            route = topic
            if topic.startswith(self._prefix) and topic not in known and len(own) >= self._max_topics:
                route = self._overflow(topic.removeprefix(self._prefix))
            await self._bus.create_topics([route])
            self._routes[topic] = route
        return route
