"""What of the spool outside systems see: the records that frames become."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from tailrace.bus import Headers, Record
from tailrace.bus.bundle import Bundle
from tailrace.event import CONTENT_TYPE, SCHEMA_VERSION
from tailrace.event.wire import compose
from tailrace.spool.frame import NO_SPAN, ROUTES_KEPT, WHOLE, Frame, Route, Row

_FIXED: Headers = (("content-type", CONTENT_TYPE.encode()), ("tr-v", SCHEMA_VERSION.encode()))


def bundles_of(rows: Iterable[Row]) -> list[Bundle]:
    """The records, those of one place in a run together."""
    bundles: list[Bundle] = []
    values: list[bytes] = []
    last, text = None, b""
    for route, seq, n, microseconds, code, body, _ in rows:
        if route is not last:
            last, text, values = route, route.text, []
            bundles.append(Bundle(route.topic, route.key, _headers(route), values))
        values.append(body if code == WHOLE else compose(text, seq, code, microseconds, n, body))
    return bundles


def record_of(frame: Frame) -> Record:
    """The record; `traceparent` only where a W3C id can be made of the run's id."""
    route = frame.route
    return Record(route.topic, route.key, frame.value, _headers(route))


@functools.lru_cache(maxsize=ROUTES_KEPT)
def _headers(route: Route) -> Headers:
    if len(route.key) != 32 or route.span == NO_SPAN:  # noqa: PLR2004 - hex digits of a trace id
        return _FIXED
    return (*_FIXED, ("traceparent", b"00-%b-%b-01" % (route.key, route.span.hex().encode())))
