"""What of the spool outside systems see: the records that frames become."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from tailrace.bus import Headers, Record
from tailrace.bus.bundle import Bundle
from tailrace.event import CONTENT_TYPE, SCHEMA_VERSION, wire
from tailrace.event.ids import up_to
from tailrace.spool.frame import NO_SPAN, ROUTES_KEPT, WHOLE, Frame, Route, Row

_FIXED: Headers = (("content-type", CONTENT_TYPE.encode()), ("tr-v", SCHEMA_VERSION.encode()))


def bundles_of(rows: Iterable[Row]) -> list[Bundle]:
    """The records, those of one place in a run together.

    Each value as `wire.compose` makes it; here it takes no call an event, and the time's text once a millisecond.
    """
    bundles: list[Bundle] = []
    last: Route | None = None
    values: list[bytes] = []
    text, join, before_time, after_milliseconds = b"", b"".join, wire.BEFORE_TIME, wire.AFTER_MILLISECONDS
    now, now_text = -1, ""
    for route, seq, n, microseconds, code, body, _ in rows:
        if route is not last:
            last, text, values = route, route.text, []
            bundles.append(Bundle(route.topic, route.key, _headers(route), values))
        if code == WHOLE:
            values.append(body)
            continue
        milliseconds = microseconds // 1000
        if milliseconds != now:
            now, now_text = milliseconds, up_to(milliseconds)
        rest = after_milliseconds[microseconds - 1000 * milliseconds]
        head = f'{seq}","seq":{seq}{before_time[code]}{now_text}{rest}{n},"data":'
        values.append(join((text, head.encode(), body, b"}")))
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
