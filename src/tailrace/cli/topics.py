"""`tailrace topics`: makes topics and lists them."""

from __future__ import annotations

from contextlib import aclosing
from typing import Annotated, Literal

import msgspec
from cyclopts import App, Parameter
from rich.table import Table
from rich.text import Text

from tailrace.bus.topics import Topics
from tailrace.cli import wording
from tailrace.cli.output import say, stdout, write_json
from tailrace.config import load
from tailrace.registry import open_bus

topics = App(name="topics", help="Make topics with the configured partitions, replication and retention; list them.")

Form = Annotated[Literal["table", "json"], Parameter(name=("--output", "-o"), help="json: one object a line.")]


@topics.command
async def apply(
    *workflows: Annotated[str, Parameter(help="Names of workflows; default: the configured one.")],
) -> None:
    """Make the topics of workflows, and those of documents and dead letters. Leaves alone what exists."""
    config = load()
    names = Topics(config.prefix)
    events = [names.events(workflow) for workflow in workflows or (config.workflow_name,)]
    wanted = [*events, *(names.sampled_of(topic) for topic in events), names.documents, names.dead]
    async with aclosing(open_bus(config)) as bus:
        present = {info.name for info in await bus.topics(f"{config.prefix}.")}
        await bus.create_topics(wanted)
    for name in dict.fromkeys(wanted):
        stdout().print(f"{'exists ' if name in present else 'created'}  {name}")


@topics.command(name="list")
async def list_(*, form: Form = "table") -> None:
    """List the topics of the configured prefix."""
    config = load()
    async with aclosing(open_bus(config)) as bus:
        found = await bus.topics(f"{config.prefix}.")
    if form == "json":
        for info in found:
            write_json(msgspec.json.encode(info))
        return
    if not found:
        say(f"no topic begins with {config.prefix!r}; the first event makes them, or `tailrace topics apply`")
        return
    table = Table("topic", box=None, header_style="bold", pad_edge=False)
    table.add_column("partitions", justify="right")
    table.add_column("records", justify="right")
    for info in found:
        table.add_row(Text(wording.payload(info.name)), str(info.partitions), f"{info.records:,}")
    stdout().print(table)
