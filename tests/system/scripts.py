"""Runs small agent programs as real processes, and reads what became of their events."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import anyio
import msgspec

from tailrace.config import load
from tailrace.consumer import find_consumer
from tailrace.document.view import render
from tailrace.publish import ship
from tailrace.registry import open_bus, open_store
from tailrace.spool.lock import Lock
from tailrace.store import Query
from tailrace.store.reading import read_whole

_FORKS = "ignore:This process:DeprecationWarning"
"""From version 3.12 on Python warns of each fork of a process that has threads, and so has every one that logs."""


class _Process(subprocess.Popen):
    """A block that fails does not wait for it."""

    def __exit__(self, kind, *about):
        if kind is not None:
            self.kill()
        super().__exit__(kind, *about)


def start(code, *arguments, **options):
    """A Python process running `code`, in the current directory."""
    return _Process(
        [sys.executable, "-W", _FORKS, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def run(code, *arguments, **options):
    """As `start`, to its end: (exit code, stdout, stderr)."""
    with start(code, *arguments, **options) as process:
        out, err = process.communicate(timeout=150)
    return process.returncode, out, err


async def stored_documents(**settings):
    """Ship every orphan, run the stages to the end, and give every stored document, oldest first."""
    config = load(settings)
    bus = open_bus(config)
    try:
        report = await ship(config, bus)
        assert report.errors == []
    finally:
        await bus.aclose()
    await find_consumer("all")(config, until="caught_up")
    return await documents_in_store(config)


async def documents_in_store(config):
    store = open_store(config)
    try:
        found, query = [], Query(limit=500)
        while True:
            page = await store.search(query)
            found += [await read_whole(store, summary.run_id) for summary in page.runs]
            if page.next is None:
                break
            query = msgspec.structs.replace(query, after=page.next)
    finally:
        await store.aclose()
    return [msgspec.json.decode(render(document)) for document in reversed(found)]


async def companions_gone(home=".tailrace"):
    """End the companions of processes that have ended, without waiting for the time in which they wait for others."""
    for lock in (Path(home) / "spool").glob("companion-*.lock"):
        if text := lock.read_text():
            with suppress(ProcessLookupError):
                os.kill(int(text), signal.SIGTERM)
        with anyio.fail_after(30):
            while not Lock(lock).acquire(shared=True):
                await anyio.sleep(0.01)


def spools(home=".tailrace"):
    """Directories left under the spool."""
    return sorted(path.name for path in (Path(home) / "spool").iterdir() if path.is_dir() and path.name != "rejected")
