"""`inject` and `extract`: a run goes on in another process, over HTTP, Kafka or whatever carries headers."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self, TypeVar, overload
from weakref import WeakValueDictionary

from tailrace.config import PropagationSettings
from tailrace.logger import counters, headers
from tailrace.logger.context import RunState, Scope, caller, current, innermost
from tailrace.logger.headers import Place, RejectedError
from tailrace.logger.recorder import Recorder
from tailrace.logger.state import recorder

C = TypeVar("C")

_MAX_RUNS = 4_096
"""Runs of other processes whose counters are kept; see `_Runs`."""

_carried: ContextVar[Mapping[str, str] | None] = ContextVar("tailrace_baggage", default=None)
"""Baggage fields to pass on: what `extract` let in."""


@overload
def inject(carrier: None = None, /, *, baggage: Mapping[str, str] | None = None) -> dict[str, str]: ...
@overload
def inject(carrier: C, /, *, baggage: Mapping[str, str] | None = None) -> C: ...
def inject(carrier: Any = None, /, *, baggage: Mapping[str, str] | None = None) -> Any:
    """Write the current place into a carrier as `traceparent`, `tracestate` and `baggage`; gives the carrier back.

    The carrier: a mapping of header names (default: a new dict), or a list of `(name, bytes)`, as Kafka takes. Headers
    that OpenTelemetry wrote before stay and the run is told beside them. `baggage` adds fields for the receiver, who
    must allow them. With no run open nothing is written. Any thread, does not block, never raises.

    The names of workflow and agent are in the headers: inject only into what goes to your own services.
    """
    target: Any = {} if carrier is None else carrier
    scope = innermost()
    if scope is not None:
        try:
            write(target, place_of(scope, baggage))
        except Exception as error:  # noqa: BLE001 - the carrier's own code, whatever it is
            line = f"the run could not be written into a {type(target).__name__}: {type(error).__name__}: {error}"
            counters.count(counters.CAPTURE, "inject", line)
    return target


def extract(carrier: Any, /) -> Inbound:
    """What the headers of a request or record say of its sender's place, as a block in which it is the current place.

        with tailrace.extract(request.headers):
            handle(request)

    What is logged in the block goes into the sender's run, and what begins there is a child of its node. Where another
    tracing system wrote the headers, a run that begins in the block names that span as its `parent`. Headers that are
    malformed, too long or not allowed (settings `propagation.*`) are counted in `stats().inbound_rejected`, and the
    block then changes nothing, as with none. Takes any mapping of headers, or pairs of `(name, text or bytes)`. Any
    thread, does not block, never raises. Headers are not proof: accept them only from callers that you trust.
    """
    try:
        settings = recorder().config.propagation
        if settings.accept:
            return Inbound(_read(carrier, settings))
    except RejectedError as error:
        counters.count(counters.INBOUND, error.reason, f"inbound headers are not believed: {error}")
    except Exception as error:  # noqa: BLE001 - the carrier's own code, whatever it is
        line = f"inbound headers cannot be read: {type(error).__name__}: {error}"
        counters.count(counters.INBOUND, "malformed", line)
    return Inbound(None)


def _read(carrier: Any, settings: PropagationSettings) -> Place | None:
    fields = headers.fields_of(carrier)
    place = headers.read(fields, max_bytes=settings.max_bytes, allowed=settings.baggage, now=time.time())
    if place is not None and place.run and settings.workflows and place.workflow not in settings.workflows:
        raise RejectedError("workflow", "propagation.workflows does not name the workflow that the caller names")
    return place


class Inbound:
    """What `extract` made of a carrier; a block, also for `async with`, that may be entered once or many times in turn.

    Not thread-safe: one for each request.
    """

    __slots__ = ("_outer", "_place")

    def __init__(self, place: Place | None) -> None:
        self._place = place
        self._outer: tuple[Scope | None, tuple[str, Scope | None] | None, Mapping[str, str] | None] | None = None

    @property
    def run_id(self) -> str | None:
        """The sender's run; None if the headers name none or were not accepted."""
        return self._place.run or None if self._place else None

    @property
    def baggage(self) -> dict[str, str]:
        """The baggage fields that `propagation.baggage` lets in; `inject` in the block passes them on."""
        return dict(self._place.baggage) if self._place else {}

    def __enter__(self) -> Self:
        outer = current.get()
        self._outer = (outer, caller.get(), _carried.get())
        place = self._place
        if place is None:
            return self
        if place.run:
            try:
                current.set(scope_at(place, recorder(), outer))
            except Exception as error:  # noqa: BLE001 - the block must run all the same
                counters.count(counters.INBOUND, "internal", f"a caller's run cannot be joined: {error!r}")
        else:
            caller.set((place.traceparent, outer))
        _carried.set(place.baggage or None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._outer is not None:
            scope, told, carried = self._outer
            current.set(scope)
            caller.set(told)
            _carried.set(carried)
            self._outer = None

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, exc, trace)


def place_of(scope: Scope, baggage: Mapping[str, str] | None = None) -> Place:
    """The place as headers tell it. Its run is remembered: its headers may come back to this process."""
    run = scope.run
    _runs.remember(run)
    passed_on = {**(_carried.get() or {}), **(baggage or {})}
    nodes = (scope.iteration, scope.interaction, scope.action)
    return Place(scope.traceparent, run.run_id, *nodes, run.workflow, scope.agent, passed_on)


def scope_at(place: Place, recorder: Recorder, outer: Scope | None) -> Scope:
    """The place as a scope of this process; `outer` is current again after it."""
    workflow = place.workflow or recorder.config.workflow_name
    run = _runs.joined(place.run, workflow, recorder.topics.events(workflow))
    nodes = {"iteration": place.iteration, "interaction": place.interaction, "action": place.action}
    scope = Scope("caller", run, outer, **nodes, agent=place.agent)
    scope.is_block = True
    return scope


def write(carrier: Any, place: Place) -> None:
    """Put the headers of the place into the carrier, in place of those that it has."""
    for name, value in headers.written(place, headers.fields_of(carrier)).items():
        if hasattr(carrier, "items"):
            for present in [key for key in carrier if str(key).lower() == name]:
                if present in carrier:
                    del carrier[present]
            carrier[name] = value
        else:
            as_bytes = bool(carrier) and isinstance(carrier[0][0], bytes)  # as ASGI writes names
            carrier[:] = [pair for pair in carrier if _name(pair) != name]
            carrier.append((name.encode() if as_bytes else name, value.encode()))


def _name(pair: tuple[Any, Any]) -> str:
    name = pair[0]
    return (name.decode("latin-1") if isinstance(name, bytes) else str(name)).lower()


class _Runs:
    """The runs that headers name, each one object: a producer counts the events of a run without holes.

    Beyond 4,096 runs of others the longest unused are forgotten; one that comes back is counted from 0 again, and its
    document then shows fewer events received than it holds, but no gap.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: WeakValueDictionary[tuple[str, str], RunState] = WeakValueDictionary()
        self._used: OrderedDict[tuple[str, str], RunState] = OrderedDict()

    def remember(self, run: RunState) -> None:
        key = (run.run_id, run.topic)
        if self._known.get(key) is None:
            with self._lock:
                self._known.setdefault(key, run)

    def joined(self, run_id: str, workflow: str, topic: str) -> RunState:
        key = (run_id, topic)
        with self._lock:
            run = self._known.get(key)
            if run is None or not run.is_open:
                run = self._known[key] = self._made(run, run_id, workflow, topic)
            if run.opened_by == 0:
                self._used[key] = run
                self._used.move_to_end(key)
                while len(self._used) > _MAX_RUNS:
                    self._used.popitem(last=False)
        return run

    @staticmethod
    def _made(ended: RunState | None, run_id: str, workflow: str, topic: str) -> RunState:
        run = RunState(run_id, workflow, topic, keep=False)
        run.opened_by = 0  # another process answers for it
        run.is_ambient = True
        if ended is not None:  # a word that comes after its end goes on in the same count
            run.producer, run.count = ended.producer, ended.count
        return run

    def in_child(self) -> None:
        self._lock = threading.Lock()  # another thread of the parent may have held it


_runs = _Runs()
os.register_at_fork(after_in_child=_runs.in_child)
