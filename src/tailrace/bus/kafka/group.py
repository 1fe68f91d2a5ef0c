"""Reading Kafka as a member of a consumer group."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal

import anyio
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition, errors
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from tailrace.bus import UNBOUNDED, Batch, Partition
from tailrace.bus.kafka.clients import start, stop_consumer
from tailrace.bus.kafka.cluster import Cluster
from tailrace.bus.kafka.errors import bus_errors
from tailrace.bus.kafka.read import CHECK_SECONDS, hand_over, pattern_of, positions_of, reading, received
from tailrace.bus.kafka.url import Brokers
from tailrace.errors import BusError, ClosedError

if TYPE_CHECKING:
    from tailrace.bus import Subscription

_log = logging.getLogger(__name__)

_COMMIT_SECONDS = 5.0
"""aiokafka retries for ever where a topic was deleted."""
_JOIN_SECONDS = 10.0
"""How much longer than a silent member may hold it up a request to join may take."""


class _Ownership:
    """Which partitions this member holds, as aiokafka's tasks report it between and during calls of `receive`."""

    def __init__(self) -> None:
        self.owned: frozenset[Partition] | None = None
        """None: not in the group, or the group is being formed anew."""
        self.revoked: frozenset[Partition] = frozenset()
        """Taken away since the last batch."""

    def lose(self) -> None:
        self.revoked |= self.owned or frozenset()
        self.owned = None

    def on_partitions_revoked(self, _: Collection[TopicPartition]) -> None:
        self.lose()

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self.owned = frozenset(Partition(at.topic, at.partition) for at in assigned)


ConsumerRebalanceListener.register(_Ownership)


class _Patience:
    """With something that has not gone well for some time. Seconds by the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: float | None = None

    def renew(self) -> None:
        self._since = None

    def has_ended(self) -> bool:
        """To be asked while it does not go well."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        return now - self._since >= self._seconds


class GroupSubscription:
    """See `tailrace.bus.Subscription`.

    Every rebalance takes all partitions away; those that come back are read from their committed offset again. So it
    is when the client fails or gets stuck, as aiokafka's may for good: the next `receive` joins with a new one.
    """

    def __init__(
        self, brokers: Brokers, cluster: Cluster, patterns: Collection[str], group: str, instance: str | None = None
    ) -> None:
        self._brokers = brokers
        self._cluster = cluster
        self._patterns = patterns
        self._group = group
        self._instance = instance
        self._reading = _Patience(brokers.options.stuck_timeout_ms / 1000)
        self._committing = _Patience(brokers.options.stuck_timeout_ms / 1000)
        self._consumer: AIOKafkaConsumer | None = None
        self._ownership = _Ownership()
        self._closed = False

    @property
    def active(self) -> bool:
        owned = self._ownership.owned
        return bool(owned) or (owned is not None and self._consumer is not None and not self._consumer.subscription())

    async def receive(self, *, max_records: int = 500, max_bytes: int = UNBOUNDED, wait: float = 1.0) -> Batch:  # noqa: ARG002
        consumer = await self._connected()
        polled: dict[TopicPartition, list[Any]] = {}
        try:
            # getmany does not keep its own timeout while the group is being formed.
            with bus_errors(self._brokers, f"reading as group {self._group}"), anyio.move_on_after(wait):
                hand_over(consumer)
                polled = await consumer.getmany(timeout_ms=round(wait * 1000), max_records=max_records)
        except BusError:
            await self._disconnect()
            raise
        state = "reading" if polled else await self._state(consumer)
        if state != "behind":
            self._reading.renew()
        elif self._reading.has_ended():
            _log.warning("%s: group %s got nothing of what there is to read; it joins anew", self._brokers, self._group)
            await self._disconnect()
        # Nothing is awaited from here on: what is revoked later is told with the next batch.
        revoked, self._ownership.revoked = self._ownership.revoked, frozenset()
        return Batch(received(polled.values()), revoked, state == "caught up")

    async def commit(self, upto: Mapping[Partition, int]) -> None:
        self._check_open()
        owned = (self._ownership.owned or frozenset()) - self._ownership.revoked
        offsets = {TopicPartition(*at): offset for at, offset in upto.items() if at in owned}
        if self._consumer is None or not offsets:
            return
        try:
            with bus_errors(self._brokers, f"committing for group {self._group}"), anyio.fail_after(_COMMIT_SECONDS):
                try:
                    await self._consumer.commit(offsets)
                except (errors.CommitFailedError, errors.IllegalStateError) as error:
                    _log.debug("group %s changed before a commit: %s", self._group, error)
        except BusError as error:
            # Anything but silence is an answer, which a new client would get as well.
            if isinstance(error.__cause__, TimeoutError) and self._committing.has_ended():
                _log.warning("%s: no commit of group %s gets through; it joins anew", self._brokers, self._group)
                await self._disconnect()
            raise
        self._committing.renew()

    async def aclose(self) -> None:
        self._closed = True
        await self._disconnect()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the subscription was closed")

    async def _connected(self) -> AIOKafkaConsumer:
        self._check_open()
        if self._consumer is None:
            options = self._brokers.options
            longest = options.session_timeout_ms + round(_JOIN_SECONDS * 1000)
            consumer = AIOKafkaConsumer(
                **reading(self._brokers, request_timeout_ms=max(longest, options.request_timeout_ms)),
                group_id=self._group,
                group_instance_id=self._instance,
                # One only: aiokafka asks to join once for each. The sticky one does not work.
                partition_assignment_strategy=(RoundRobinPartitionAssignor,),
                session_timeout_ms=options.session_timeout_ms,
                heartbeat_interval_ms=min(1_000, options.session_timeout_ms // 3),
                rebalance_timeout_ms=max(60_000, options.session_timeout_ms),
            )
            try:
                await start(self._brokers, consumer)
            except BaseException:
                await stop_consumer(consumer)
                raise
            # Only now, for `start` would wait for the group. Always a pattern: asking for a topic by its name may
            # create it, and one that does not exist yet would be waited for.
            consumer.subscribe(pattern=pattern_of(self._patterns), listener=self._ownership)
            self._consumer = consumer
        return self._consumer

    async def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._ownership.lose()
        self._reading.renew()
        self._committing.renew()
        if consumer is not None:
            await stop_consumer(consumer)

    async def _state(self, consumer: AIOKafkaConsumer) -> Literal["caught up", "standing by", "behind"]:
        """Of a member that got no record. Asks the brokers: what the consumer knows is as old as its last fetch."""
        owned = self._ownership.owned
        if owned is None:
            return "behind"
        try:
            with anyio.move_on_after(CHECK_SECONDS):
                there = await self._cluster.partitions(self._patterns)
                if not there:
                    return "caught up"
                if {at.topic for at in there} - consumer.subscription():
                    return "behind"
                if not owned:
                    return "standing by"
                ends = await self._cluster.ends(owned)
                positions = await positions_of(consumer, owned)
                return "caught up" if all(positions.get(at, -1) >= end for at, end in ends.items()) else "behind"
        except BusError:
            self._reading.renew()  # a consumer cannot do better than its brokers
            raise
        return "behind"


if TYPE_CHECKING:
    _subscription: type[Subscription] = GroupSubscription
