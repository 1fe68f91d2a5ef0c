"""From a call to an event on the spool: the one place where every logging call ends."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Callable

import msgspec

from tailrace.bus.topics import Topics
from tailrace.config import Config
from tailrace.errors import SpoolError
from tailrace.event import payload, types, wire
from tailrace.event.ids import Clock, new_producer_id, new_run_id
from tailrace.event.payload import encode
from tailrace.logger import Stats
from tailrace.logger.chain import Rule
from tailrace.logger.context import RunState, Scope
from tailrace.logger.notices import Notices
from tailrace.publish.attendant import Attendant
from tailrace.publish.launch import name_of as companion_name
from tailrace.publish.thread import Publisher
from tailrace.spool.append import Spool, SpoolFullError
from tailrace.spool.files import allow_paths
from tailrace.spool.frame import Frame, Route
from tailrace.spool.keeper import Keeper

_ENVELOPE_ROOM = 14_000
"""Bytes that no envelope exceeds: two names of 1,000 characters, each of which may take six."""


class Recorder:
    """Accepts the events of one process for one configuration. Any thread, any time, also re-entrantly.

    The spool and the publisher begin with the first event. An event that cannot be accepted is counted by reason, and
    each reason is shown once a minute on stderr.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.logs_dir = config.logs_dir
        """Where documents of runs are left; None: nowhere."""
        self.topics = Topics(config.prefix)
        self.producer = new_producer_id()
        self._seq = itertools.count()
        self._asked = 0
        self._counting = threading.RLock()  # a signal handler may count while its thread counts
        self._dropped: dict[str, int] = {}
        notices = Notices(config.verbosity)
        self.warn, self.hint = notices.warn, notices.hint
        self._spool: Spool | None = None
        self._publisher: Attendant | Publisher | None = None
        self._keeper: Keeper | None = None
        self._starting = threading.RLock()
        self._no_spool = 0.0
        self._synced = 0
        self._acked_before = 0
        self._rejected_before = 0
        self._redaction_failed = 0
        self._overrides_failed = 0
        self.intercept: Callable[[Recorder, Scope, str, msgspec.Struct, list[Frame] | None], bool] | None = None
        """What calls go through instead, while overrides are installed (`tailrace.logger.chain`)."""
        self.lowest_level = types.LEVELS[config.verbosity]
        """Log lines below it need not come here."""
        self._now = Clock().now
        self._search, self._mask = self._redaction()
        self._max_body = config.spool.max_event_bytes - _ENVELOPE_ROOM
        """Bytes of a payload that leave any event below the limit."""

    def _redaction(self) -> tuple[Callable[[bytes], list[int]], Callable[[bytes, list[int]], bytes]]:
        """What finds whether a payload may hold secrets, and what masks them."""
        from tailrace.event.redact import Redactor  # noqa: PLC0415 - compiles its patterns; importing tailrace stays quick

        if not self.config.redact.enabled:
            return (lambda _: []), (lambda body, _: body)
        redactor = Redactor(self.config.redact, self.warn)
        return redactor.search, redactor.mask

    def open_run(self, workflow: str, data: types.RunStart, agent: str = "", *, keep: bool = False) -> RunState:
        """Begin a run of the workflow and record that it began. `keep`: have its events in memory until it ends."""
        keep = keep or self.logs_dir is not None
        run = RunState(new_run_id(), workflow, self.topics.events(workflow), keep=keep)
        self.record(Scope("run", run, None, agent=agent), types.RUN_START, data)
        return run

    def end_run(self, run: RunState, data: types.RunEnd, agent: str = "", *, told: list[Frame] | None = None) -> None:
        """Record that the run ended, and what of it was dropped."""
        scope = Scope("run", run, None, agent=agent)
        reasons = dict(run.dropped)
        if reasons and self.record(scope, types.DROPPED, types.Dropped(reasons=reasons)):
            run.dropped.clear()
        self.record(scope, types.RUN_END, data, told=told)
        run.is_open = False
        if self._spool is not None:
            with contextlib.suppress(OSError):  # costs a word too many: that the run's producer is gone
                self._spool.run_ended(run.run_id)

    def record(
        self, scope: Scope, type_: str, data: msgspec.Struct, *, direct: bool = False, told: list[Frame] | None = None
    ) -> bool:
        """Accept one event: True if it is on the spool, False if it is counted as dropped. Never raises.

        Only `data` is encoded here; who ships the frame puts the event together (`tailrace.event.wire`). `direct`: past
        the overrides. `told` is given the frame that was accepted.
        """
        if self.intercept is not None and not direct:
            return self.intercept(self, scope, type_, data, told)
        run = scope.run
        try:
            seq = next(self._seq)
            producer = self.producer
            if run.producer is not producer:
                self._adopt(run)
            route = scope.route if scope.routed_for is producer else scope.route_for(producer)
            n, now, code = next(run.count), self._now(), types.CODES[type_]
            body = encode(data)
            try:
                body = self._mask(body, found) if (found := self._search(body)) else body
            except Exception as error:  # noqa: BLE001 - what it holds is not known, so none of it goes on
                body = self._withheld(error)
            if len(body) > self._max_body:
                body = self._bounded(route, body)
            frame = route.frame(seq, n, now, code, body)
            spool = self._spool or self._start()
            try:
                spool.write(frame)
            except ValueError:
                spool.append(frame)
            if run.kept is not None or told is not None:
                _tell(Frame(route, seq, n, now, code, body), run.kept, told)
        except SpoolFullError as error:
            return self._drop(run, "spool_full", str(error))
        except (OSError, SpoolError) as error:
            return self._drop(run, "io_error", str(error))
        except Exception as error:  # noqa: BLE001 - an error of ours must not become one of the agent's
            return self._drop(run, "internal", f"{type(error).__name__}: {error}")
        return True

    def _bounded(self, route: Route, body: bytes) -> bytes:
        """The payload, shortened if the event is too large with it."""
        around = len(route.text) + wire.ENVELOPE_BYTES
        return payload.shorten(body) if around + len(body) >= self.config.spool.max_event_bytes else body

    def _adopt(self, run: RunState) -> None:
        """The first event of a run from this producer: its numbers begin, and its spool notes the open run."""
        run.producer, run.count = self.producer, itertools.count()
        if run.is_open and run.opened_by == os.getpid():
            spool = self._spool or self._start()
            with contextlib.suppress(OSError):  # costs a word: that an abandoned run is abandoned
                spool.run_opened(run.run_id, run.workflow)

    def _start(self) -> Spool:
        """The spool, made now, and the thread that ships it."""
        with self._starting:
            if self._spool is None:
                if time.monotonic() < self._no_spool:
                    raise SpoolError("the spool could not be made a moment ago")
                try:
                    spool = self._made_spool()
                except (OSError, SpoolError):
                    self._no_spool = time.monotonic() + 1.0  # not at every call
                    raise
                self._spool = spool
                self._look_after(spool)
            return self._spool

    def _made_spool(self) -> Spool:
        allow_paths()
        config = self.config
        companion = companion_name(config) if config.publisher == "companion" else ""
        return Spool(config.spool_path, self.producer, config.spool, config.publisher, companion)

    def _look_after(self, spool: Spool) -> None:
        """Start the thread that keeps the spool ready, and the one that has it shipped unless others do."""
        with contextlib.suppress(RuntimeError):  # the interpreter is shutting down: the next process ships this spool
            shipped = None
            if self.config.publisher != "external":
                kind = Attendant if self.config.publisher == "companion" else Publisher
                publisher = kind(self.config, spool, self.warn)
                publisher.start()
                self._publisher = publisher
                shipped = lambda: publisher.state.position  # noqa: E731
            keeper = Keeper(spool, self.warn, shipped)
            keeper.start()
            self._keeper = keeper
            return
        spool.ship_lock.release()

    def _withheld(self, error: Exception) -> bytes:
        """A stand-in for a payload that could not be searched for secrets, and so must not leave the process."""
        with self._counting:
            self._redaction_failed += 1
        # Not the error's text, which may hold the payload.
        self.warn(f"a payload could not be searched for secrets and is left out: {type(error).__name__}", key="redact")
        return b'{"$redaction_failed":true}'

    def _drop(self, run: RunState, reason: str, detail: str) -> bool:
        with self._counting:
            self._dropped[reason] = self._dropped.get(reason, 0) + 1
            run.dropped[reason] = run.dropped.get(reason, 0) + 1
        self.warn(f"events are dropped ({reason}): {detail}", key=reason)
        return False

    def relay(self, frame: Frame) -> bool:
        """Accept an event that another recorder has accepted, as it is. False if it is counted as dropped."""
        next(self._seq)
        try:
            spool = self._spool or self._start()
            spool.append(frame.route.frame(frame.seq, frame.n, frame.microseconds, frame.code, frame.body))
        except Exception as error:  # noqa: BLE001 - the event itself is safe
            reason = "spool_full" if isinstance(error, SpoolFullError) else "io_error"
            with self._counting:
                self._dropped[reason] = self._dropped.get(reason, 0) + 1
            self.warn(f"copies of events are dropped ({reason}): {error}", key=f"relay {reason}")
            return False
        return True

    def drop_by_override(self, run: RunState, name: str) -> None:
        """Count an event that an override did not let through. It takes no number of its run: nothing is missing."""
        reason = f"{types.BY_OVERRIDE}{name}"
        with self._counting:
            next(self._seq)
            self._dropped[reason] = self._dropped.get(reason, 0) + 1
            run.dropped[reason] = run.dropped.get(reason, 0) + 1

    def override_failed(self, rule: Rule, error: Exception) -> None:
        """Count that an override raised and was skipped for one event; shown once for each override."""
        with self._counting:
            self._overrides_failed += 1
        if not rule.told:
            rule.told = True
            self.warn(
                f"override {rule.name} raised and is skipped where it does: {error!r}", key=f"override {rule.name}"
            )

    @property
    def has_begun(self) -> bool:
        """Whether it has had an event."""
        return self._spool is not None

    def stats(self) -> Stats:
        """Exact when no other thread is in the middle of a call. A few system calls: not for a hot path."""
        with self._counting:
            # Asking the counter takes a number from it: `seq` may skip, which nothing minds; `n` counts without holes.
            calls = next(self._seq) - self._asked
            self._asked += 1
            dropped = dict(self._dropped)
        accepted = calls - sum(dropped.values())
        state = self._publisher.state if self._publisher else None
        acked = self._acked_before + (state.acked if state else 0)
        spool = self._spool
        behind, oldest = 0, None
        if spool is not None:
            place = state.position if state else (0, 0)
            behind = spool.bytes_behind(place)
            oldest = spool.age_of(place) if behind else None
        return Stats(
            calls=calls,
            accepted=accepted,
            synced=max(self._synced, acked),
            acked=acked,
            rejected=self._rejected_before + (state.rejected if state else 0),
            dropped=dropped,
            spool_bytes=behind,
            oldest_unshipped_seconds=oldest,
            trouble=state.trouble if state else "",
            redaction_failed=self._redaction_failed,
            overrides_failed=self._overrides_failed,
        )

    def sync(self) -> None:
        """Returns when everything accepted before the call survives a power cut. Blocks for the disk."""
        accepted = self.stats().accepted
        if self._spool is not None:
            self._spool.sync()
        self._synced = max(self._synced, accepted)

    def written(self) -> tuple[int, int]:
        """(segment, size): the place in the spool behind everything accepted so far."""
        return self._spool.written() if self._spool is not None else (0, 0)

    def ship_now(self) -> None:
        """Do not wait for more to ship together."""
        if self._publisher is not None:
            self._publisher.wake()

    def is_acked(self, place: tuple[int, int]) -> bool:
        """Whether the bus has everything up to that place."""
        return self._spool is None or (self._publisher is not None and self._publisher.state.position >= place)

    def spool_is_roomy(self) -> bool:
        """Whether less than half of the spool's budget is used."""
        return self._spool is None or self._spool.bytes_used() < self.config.spool.max_bytes // 2

    def close(self, timeout: float) -> bool:
        """Ship what is there within `timeout` seconds and end the publisher. True if the bus has everything.

        What is left stays on the spool for the next process. A call after `close` is accepted all the same.
        """
        spool, publisher = self._spool, self._publisher
        if spool is None:
            return True
        self._spool = self._publisher = None  # a later call makes a spool of its own
        self.producer = new_producer_id()
        spool.mark_closed()
        if self._keeper:
            self._keeper.stop()
            self._keeper = None
        done = publisher.stop(timeout) if publisher else False
        if publisher:
            self._acked_before += publisher.state.acked
            self._rejected_before += publisher.state.rejected
        # Another thread may be between taking the spool and appending to it: only a lone thread may remove it. Else
        # the next sweep finds the owner gone, ships what came late, and removes it.
        if done and threading.active_count() <= _own_threads():
            spool.leave()
        return done

    def retire(self) -> None:
        """As `close`, in the background: for a recorder that another configuration replaces."""
        if self._spool is not None:
            self._spool.mark_closed()
        if self._publisher is not None:
            self._publisher.retire(self.config.exit_timeout)
        if self._keeper is not None:
            self._keeper.stop()

    def forget(self) -> None:
        """In a forked child: let go of the parent's files without touching what they hold."""
        if self._spool is not None:
            self._spool.release()


def _tell(frame: Frame, kept: list[bytes] | None, told: list[Frame] | None) -> None:
    """Give an accepted event to those who asked for it."""
    if kept is not None:
        kept.append(frame.value)
    if told is not None:
        told.append(frame)


def _own_threads() -> int:
    """The thread that asks, and ours."""
    return 1 + sum(thread.name.startswith("tailrace-") for thread in threading.enumerate())
