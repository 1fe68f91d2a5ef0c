"""Ships the spools that nobody else ships: those of dead processes, and those left to `publish="external"`."""

from __future__ import annotations

import time

import msgspec

from tailrace.bus import Bus
from tailrace.bus.topics import Topics
from tailrace.config import Config
from tailrace.errors import SpoolError
from tailrace.event import Event, encode, types
from tailrace.event.ids import new_producer_id, time_text
from tailrace.publish import ShipReport
from tailrace.publish.pace import GENTLE, Pace
from tailrace.publish.records import record_of
from tailrace.publish.routing import Router
from tailrace.publish.shipper import Shipper
from tailrace.spool import files
from tailrace.spool.directory import SpoolDirectory, all_in, end_of, remove_half_made
from tailrace.spool.frame import WHOLE, Frame, Route
from tailrace.spool.lock import Lock
from tailrace.spool.runs import open_runs
from tailrace.spool.tail import SETTLE_SECONDS, Tail


async def sweep(config: Config, bus: Bus, pace: Pace = GENTLE) -> ShipReport:
    """See `tailrace.publish.ship`."""
    report = ShipReport()
    try:
        remove_half_made(config.spool_path)
        for directory in all_in(config.spool_path):
            lock = Lock(directory.ship_lock)
            if directory.is_there() and not _has_companion(directory) and lock.acquire():
                try:
                    await _try_one(directory, config, bus, pace, report)
                finally:
                    lock.release()
    except OSError as error:
        report.errors.append(f"{config.spool_path}: {error}")
    return report


def _has_companion(directory: SpoolDirectory) -> bool:
    """Whether a live producer sees to it that a companion ships its spool, which counts what it ships."""
    about = directory.about()
    return about is not None and bool(about.companion) and directory.owner_is_alive()


async def _try_one(directory: SpoolDirectory, config: Config, bus: Bus, pace: Pace, report: ShipReport) -> None:
    """Whatever is wrong with one spool must not hold up the others, nor end the process's own shipping."""
    try:
        await _ship_one(directory, config, bus, pace, report)
        report.spools += 1
    except* Exception as errors:  # noqa: BLE001 - for the same reason
        report.left += 1
        report.errors.extend(f"{directory.path}: {error}" for error in _leaves(errors))


async def _ship_one(directory: SpoolDirectory, config: Config, bus: Bus, pace: Pace, report: ShipReport) -> None:
    if directory.is_newer():
        raise SpoolError(
            "written by a newer tailrace, or by one with its extra `fast`; upgrade, or install that, to ship it"
        )
    # Asked before reading: an owner that dies meanwhile is found dead by the next sweep.
    dead = not directory.owner_is_alive()
    topics = Topics(config.prefix)
    router = Router(bus, topics, config.topics.max_topics)
    tail = Tail(directory, window=pace.window_bytes)
    shipper = Shipper(tail, bus, router, pace=pace, give_up=True)
    late = time.monotonic() + 2 * SETTLE_SECONDS
    try:
        # A live owner's closed segments are waited for: left behind, they would be shipped again by every sweep.
        await shipper.run(
            is_final=lambda: dead,
            is_done=lambda: dead or not tail.awaits_landing() or time.monotonic() >= late,
            upto=None if dead else end_of(directory),  # who logs without pause must not hold up the others
        )
    finally:
        report.records += tail.acked - shipper.rejected
        report.damaged_bytes += tail.damaged_bytes
        report.rejected += shipper.rejected
    if dead:
        await publish_lost(directory, topics, router, bus)
        directory.remove()


async def publish_lost(directory: SpoolDirectory, topics: Topics, router: Router, bus: Bus) -> None:
    """Tell each run that the producer left open that nobody will end it.

    Sent twice by two sweepers it says the same twice: the document's state is the latest word on it.
    """
    producer = new_producer_id()
    reason = "exit" if directory.closed.exists() else "died"
    data = msgspec.Raw(msgspec.json.encode(types.ProducerLost(producer=directory.producer, reason=reason)))
    for seq, (run, workflow) in enumerate(open_runs(directory).items()):
        event = Event(
            id=f"{producer}-{seq}",
            seq=seq,
            pid=producer,
            run=run,
            workflow=workflow,
            type=types.PRODUCER_LOST,
            ts=time_text(time.time()),
            data=data,
        )
        frame = Frame(Route(await router.route(topics.events(workflow)), run.encode()), seq, 0, 0, WHOLE, encode(event))
        await bus.publish([record_of(frame)])
    files.write(directory.runs, b"")


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return found
