"""Buses that fail on demand, around the memory bus."""

from tailrace.bus.memory import open_bus
from tailrace.config import load
from tailrace.errors import BusError


def memory_config(name, **settings):
    return load({"bus": f"memory:{name}", **settings})


class FlakyBus:
    """A memory bus whose `publish` first does what `script` says: an error to raise, or None to go through."""

    def __init__(self, config, script=()):
        self.inner = open_bus(config)
        self.script = list(script)
        self.down = False
        self.refuse = lambda record: False
        self.published = []
        self.batches = []
        """How many records each publish that went through had."""

    async def publish(self, records):
        if self.down:
            raise BusError("the broker is down", retryable=True)
        if self.script and (error := self.script.pop(0)):
            raise error
        if any(self.refuse(record) for record in records):
            raise BusError("a record is refused", retryable=False)
        self.published += records
        self.batches.append(len(records))
        await self.inner.publish(records)

    def __getattr__(self, name):
        return getattr(self.inner, name)
