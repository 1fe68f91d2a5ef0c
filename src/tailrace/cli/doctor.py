"""`tailrace doctor`: whether each configured part works, a line each, and what to do where one does not."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal

import msgspec
from rich.text import Text

from tailrace.bus import Bus
from tailrace.bus.topics import Topics
from tailrace.cli import wording
from tailrace.cli.escape import escape
from tailrace.cli.output import stdout
from tailrace.config import Config, Loaded, load_with_origins
from tailrace.errors import BusError, ConfigError, TailraceError
from tailrace.publish.launch import companion_of
from tailrace.registry import open_bus, open_store
from tailrace.spool import SpoolInfo
from tailrace.spool.directory import REJECTED, SpoolDirectory, inspect
from tailrace.sqlite import path_of
from tailrace.store import Query

_SECONDS = 5.0
"""For each question to a server."""
_OLD_SECONDS = 60.0
"""A spool that is being shipped holds nothing older."""

_NEARLY_FULL = 0.8
"""Of the budget."""
_NEXT_BYTES = 512 << 10
"""What a process needs at least to go on when its segment is full: its spool is full before the budget is used up."""

_STYLES = {"ok": "green", "warn": "yellow", "FAIL": "bold red"}


class Finding(msgspec.Struct, frozen=True):
    """One line of the report. `FAIL`: something that is configured does not work."""

    verdict: Literal["ok", "warn", "FAIL"]
    part: str
    text: str
    fix: str = ""


async def doctor() -> int:
    """Check settings, spool, bus, topics, consumers and store. Fails if something configured does not work."""
    failed = False
    async for finding in _findings():
        failed = failed or finding.verdict == "FAIL"
        stdout().print(_line(finding), soft_wrap=True)
    return 1 if failed else 0


def _line(finding: Finding) -> Text:
    line = Text(f"{finding.verdict:<5}", _STYLES[finding.verdict]).append(f"{finding.part:<11}", "bold")
    line.append(escape(finding.text))
    return line.append(f"\n{'':16}fix: {escape(finding.fix)}") if finding.fix else line


async def _findings() -> AsyncIterator[Finding]:
    try:
        loaded = load_with_origins()
    except ConfigError as error:
        yield Finding("FAIL", "settings", str(error))
        return
    for each in (*_settings(loaded), *_spool(loaded.config)):
        yield each
    async for each in _bus(loaded.config):
        yield each
    yield await _store(loaded.config)


def _settings(loaded: Loaded) -> Iterator[Finding]:
    if not loaded.origins:
        yield Finding("ok", "settings", "all at their defaults")
    for key, origin in loaded.origins.items():
        yield Finding("ok", "settings", f"{key} = {_safe(_value(loaded.config, key))}  from {origin}")


def _value(config: Config, key: str) -> Any:
    value: Any = config
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _safe(value: Any) -> str:
    """A setting as text, without the passwords that URLs carry."""
    text = re.sub(r"//[^/?#]*@", "//***@", str(value))
    return re.sub(r"([?&][^=&]*(?:pass|secret|token|key)[^=&]*=)[^&]*", r"\1***", text, flags=re.IGNORECASE)


def _spool(config: Config) -> Iterator[Finding]:
    path = config.spool_path
    if not _can_write(path):
        yield Finding(
            "FAIL", "spool", f"{path} cannot be written", "make it writable, or set TAILRACE_SPOOL__DIRECTORY"
        )
        return
    yield Finding("ok", "spool", f"{path} " + ("can be written" if path.exists() else "will be made on first use"))
    try:
        for info in inspect(path):
            yield _one_spool(info, config.spool.max_bytes)
        if config.publisher == "companion":
            yield _companion(config)
    except OSError as error:
        yield Finding("FAIL", "spool", f"{path} cannot be looked at: {error}", "make it readable for this user")
    refused = sorted((path / REJECTED).glob("*"))
    if refused:
        text = f"records that the bus refused for good: {wording.counted(len(refused), 'file')} in {path / REJECTED}"
        yield Finding("warn", "spool", text, "look at them, then delete them")


def _can_write(path: Path) -> bool:
    """Whether it is a writable directory, or can be made."""
    present = next(each for each in (path, *path.absolute().parents) if each.exists())
    return present.is_dir() and os.access(present, os.W_OK | os.X_OK)


def _companion(config: Config) -> Finding:
    process = companion_of(config)
    text = f"shipped by the companion process {process}" if process else "no companion process is needed now"
    return Finding("ok", "spool", text)


def _one_spool(info: SpoolInfo, budget: int) -> Finding:
    if SpoolDirectory(Path(info.path)).is_newer():
        text = f"{info.producer}: written by a newer tailrace, {wording.size(info.bytes)} not shipped"
        return Finding(
            "warn",
            "spool",
            text,
            "upgrade tailrace here, install its extra `fast`, or run `tailrace ship` of the newer one",
        )
    text = wording.spool(info)
    if not info.bytes:
        return Finding("ok", "spool", text)
    if not info.alive:
        return Finding("warn", "spool", text, "tailrace ship")
    if info.bytes >= _NEARLY_FULL * budget:
        return _full_spool(info, text, budget)
    if (info.oldest_seconds or 0) > _OLD_SECONDS:
        fix = (
            "run `tailrace ship` regularly" if info.publish == "external" else "see the bus below; nothing is lost yet"
        )
        return Finding("warn", "spool", text, fix)
    return Finding("ok", "spool", text)


def _full_spool(info: SpoolInfo, text: str, budget: int) -> Finding:
    """Whether new events still find room, of a spool that holds most of its budget."""
    helps = "run `tailrace ship`" if info.publish == "external" else "bring the bus back"
    fix = f"{helps}; for more room set TAILRACE_SPOOL__MAX_BYTES"
    text += f"; {info.bytes / budget:.0%} of the budget of {wording.size(budget)}"
    if info.bytes + _NEXT_BYTES <= budget:
        return Finding("warn", "spool", text, fix)
    return Finding("FAIL", "spool", f"{text}: full, so that its process drops and counts new events", fix)


async def _bus(config: Config) -> AsyncIterator[Finding]:
    url = _safe(config.bus_url)
    if _not_made(config.bus_url):
        yield Finding("ok", "bus", f"{url} will be made on first use")
        return
    try:
        async with asyncio.timeout(2 * _SECONDS), aclosing(open_bus(config)) as bus:
            async with asyncio.timeout(_SECONDS):
                names = {info.name: info.records for info in await bus.topics(f"{config.prefix}.")}
            yield Finding("ok", "bus", f"{url} answers")
            yield _topics(config, names)
            async for finding in _consumers(bus, config):
                yield finding
    except (TailraceError, OSError, TimeoutError) as error:
        yield Finding("FAIL", "bus", f"{url}: {_reason(error)}", _fix_of(error, "check that it runs, and TAILRACE_BUS"))


def _topics(config: Config, records: dict[str, int]) -> Finding:
    dead = records.get(Topics(config.prefix).dead, 0)
    events = sum(name.startswith(f"{config.prefix}.events.") for name in records)
    text = f"{wording.counted(len(records), 'topic')}, {events} of them for events"
    if dead:
        return Finding("warn", "topics", f"{text}; {wording.counted(dead, 'dead letter')}", "tailrace dead list")
    if not events:
        return Finding("ok", "topics", f"{text}; the first event makes its own, or `tailrace topics apply`")
    return Finding("ok", "topics", text)


async def _consumers(bus: Bus, config: Config) -> AsyncIterator[Finding]:
    topics = Topics(config.prefix)
    reads = {"sample": topics.all_events, "aggregate": topics.all_sampled, "index": topics.documents}
    for stage, topic in reads.items():
        async with asyncio.timeout(_SECONDS):
            behind = sum((await bus.lag(topic, group=topics.group(stage))).values())
        text = f"{stage}: {wording.counted(behind, 'record')} behind"
        if behind and not config.bus_url.startswith("sqlite:"):
            yield Finding("warn", "consumers", text, "tailrace consume all, unless one is at work already")
        else:
            yield Finding("ok", "consumers", text + ("; reading commands catch up" if behind else ""))


async def _store(config: Config) -> Finding:
    url = _safe(config.store_url)
    if _not_made(config.store_url):
        return Finding("ok", "store", f"{url} will be made on first use")
    try:
        async with asyncio.timeout(_SECONDS), aclosing(open_store(config)) as store:
            page = await store.search(Query(limit=1))
    except (TailraceError, OSError, TimeoutError) as error:
        return Finding("FAIL", "store", f"{url}: {_reason(error)}", "check that it runs, and TAILRACE_STORE")
    return Finding("ok", "store", f"{url} answers" + ("" if page.runs else "; holds no run yet"))


def _not_made(url: str) -> bool:
    """A check must not leave an empty file behind."""
    return url.startswith("sqlite:///") and not path_of(url).exists()


def _reason(error: Exception) -> str:
    if isinstance(error, BusError) and error.fix:
        return str(error).removesuffix(f"; {error.fix}")
    return f"no answer in {_SECONDS:.0f} s" if isinstance(error, TimeoutError) else str(error)


def _fix_of(error: Exception, otherwise: str) -> str:
    return (error.fix if isinstance(error, BusError) else "") or otherwise
