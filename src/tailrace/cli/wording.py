"""How the command line words ids, times, durations, amounts, statuses and payloads."""

from __future__ import annotations

import zlib
from datetime import datetime
from typing import Any

import msgspec

from tailrace.cli.escape import escape
from tailrace.event.ids import parse_time
from tailrace.spool import SpoolInfo

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400

_GOOD = frozenset({"completed", "complete", "success", "succeeded", "ok", "done"})
_BAD = frozenset({"failed", "failure", "error", "cancelled", "timeout", "crashed"})
_PENDING = frozenset({"open", "in_progress", "abandoned"})
_AGENT_STYLES = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta", "bright_blue")


def short_id(run_id: str) -> str:
    """The last 8 characters: the first ones of a run id are its time, alike for runs of one hour."""
    return escape(run_id[-8:])


def local_time(text: str | None, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """An event's time in the local zone; the text itself where it is no time that a calendar has."""
    moment = _local(text or "")
    return escape(text or "") if moment is None else moment.strftime(form)


def local_clock(text: str) -> str:
    """An event's time of day in the local zone, to the millisecond; the text itself as above."""
    moment = _local(text)
    return escape(text) if moment is None else moment.isoformat(timespec="milliseconds")[11:]


def _local(text: str) -> datetime | None:
    seconds = parse_time(text)
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds)  # noqa: DTZ006 - local is meant
    except (ValueError, OverflowError, OSError):  # in the first or the last year, or rounded beyond it
        return None


def age(text: str | None, now: float) -> str:
    """How long ago, in its largest unit; "" where that is not known."""
    seconds = parse_time(text) if text else None
    if seconds is None:
        return ""
    passed = now - seconds
    return "in the future" if passed < -_MINUTE else f"{_rounded(max(passed, 0))} ago"


def _rounded(seconds: float) -> str:
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= unit:
            return f"{int(seconds // unit)} {name}"
    return f"{int(seconds)} s"


def between(start: Any, end: Any) -> str:
    """The time from one event to another; "" unless both are known."""
    known = [parse_time(text) if isinstance(text, str) else None for text in (start, end)]
    return duration(known[1] - known[0]) if known[0] is not None and known[1] is not None else ""


def duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), _MINUTE)
    return f"{minutes} min {rest} s" if seconds < _HOUR else f"{minutes // 60} h {minutes % 60} min"


def counted(number: float, noun: str) -> str:
    return f"{number:,.0f} {noun}" + ("" if number == 1 else "s")


def dollars(amount: float) -> str:
    """US dollars: cents from one dollar on, else down to a millionth."""
    if abs(amount) >= 1:
        return f"${amount:,.2f}"
    return "$" + (f"{amount:.6f}".rstrip("0").rstrip(".") or "0")


def size(count: float) -> str:
    """Bytes in the largest unit of 1024 that leaves a number of at least 1."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:  # noqa: PLR2004
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def spool(info: SpoolInfo) -> str:
    """A spool in one line: whose it is, and what of it is not on the bus."""
    owner = f"{info.producer}: process {info.process or '?'} {'alive' if info.alive else 'dead'}"
    age = "" if info.oldest_seconds is None else f", oldest from {duration(info.oldest_seconds)} ago"
    return f"{owner}, {counted(info.records, 'record')} ({size(info.bytes)}) not shipped{age}"


def payload(value: Any, width: int | None = None) -> str:
    """Any JSON value as one safe line of at most `width` characters: strings as they are, the rest as JSON."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if width is not None and len(text) > width:
        text = text[: width - 1] + "…"  # before escaping, so that a payload of megabytes costs nothing
    return escape(text)


def status_style(status: str) -> str:
    """The colour that repeats what the status word says."""
    word = status.lower()
    return "green" if word in _GOOD else "red" if word in _BAD else "yellow" if word in _PENDING else ""


def agent_style(agent: str) -> str:
    """The same colour for an agent in every process and on every machine."""
    return _AGENT_STYLES[zlib.crc32(agent.encode("utf-8", "surrogatepass")) % len(_AGENT_STYLES)] if agent else ""
