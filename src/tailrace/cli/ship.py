"""`tailrace ship`: what dead processes, or those with `publish="external"`, left on their spools, to the bus."""

from __future__ import annotations

from contextlib import aclosing, suppress

from tailrace.cli import wording
from tailrace.cli.escape import escape
from tailrace.cli.output import say, stdout
from tailrace.config import Config, load
from tailrace.publish import ship as sweep
from tailrace.registry import open_bus
from tailrace.spool.directory import inspect

_SHOWN = 20
"""Spools that are named one by one."""


async def ship() -> int:
    """Ship every spool that nobody else ships, to its present end. Fails if one could not be shipped."""
    config = load()
    _show_waiting(config)
    async with aclosing(open_bus(config)) as bus:
        report = await sweep(config, bus)
    stdout().print(f"shipped {wording.counted(report.records, 'record')} of {wording.counted(report.spools, 'spool')}")
    if report.damaged_bytes:
        say(f"{wording.size(report.damaged_bytes)} held no whole record: torn by a crash, or damaged")
    if report.rejected:
        refused = wording.counted(report.rejected, "record")
        say(f"the bus refused {refused} for good; put aside in {config.spool_path / 'rejected'}")
    for error in report.errors:
        say(f"left on the spool: {error}")
    return 1 if report.left or report.errors else 0


def _show_waiting(config: Config) -> None:
    """Whose spools hold what. Where they cannot be looked at, shipping tells why."""
    waiting = []
    with suppress(OSError):
        waiting = [info for info in inspect(config.spool_path) if info.bytes]
    for info in waiting[:_SHOWN]:
        stdout().print(escape(wording.spool(info)))
    if len(waiting) > _SHOWN:
        stdout().print(f"and {wording.counted(len(waiting) - _SHOWN, 'more spool')}")
