"""`tailrace demo`: logs one run of three agents through the public API, then shows its document."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import msgspec

import tailrace
from tailrace.cli.catch_up import current_store
from tailrace.cli.output import say, stdout
from tailrace.cli.tree import tree
from tailrace.cli.wording import short_id
from tailrace.config import Config, load
from tailrace.document import Document
from tailrace.document.summary import summarise
from tailrace.document.view import render

_QUESTION = "Which of our regions has the cheapest spare capacity this week?"
_PRICES = {"north": 0.031, "south": 0.027}
_MODEL = "demo-model-1"
_PATIENCE = 5.0
"""Seconds to wait for the bus, and for consumers."""


async def demo() -> int:
    """Log a small run (no keys, no server needed) and show what was recorded of it."""
    run_id = _research()
    config = load()
    flushed = await tailrace.get_logger().flush("broker", timeout=_PATIENCE)
    document = await _stored(run_id, config, _PATIENCE if flushed.reached else 0)
    if document is None:
        where, fix = ("on the bus", "tailrace consume all") if flushed.reached else ("on the spool", "tailrace doctor")
        say(f"run {run_id} was logged and is {where}, but not in the store yet; next: {fix}")
        return 1
    short, console = short_id(run_id), stdout()
    console.print(tree(msgspec.json.decode(render(document)), now=time.time()))
    console.print("\nnext:")
    console.print(f"  tailrace show {short} -o json   the document as JSON")
    console.print("  tailrace runs status:completed   every run, by query")
    console.print("  tailrace tail -f                 events as they arrive, from all agents")
    return 0


async def _stored(run_id: str, config: Config, patience: float) -> Document | None:
    """The document, once it is complete; on a bus with consumers of its own that may take a moment."""
    deadline = time.monotonic() + patience
    async with current_store(config) as store:
        while True:
            document = await store.get(run_id)
            if (document and summarise(document).state == "complete") or time.monotonic() > deadline:
                return document
            await asyncio.sleep(0.2)


def _research() -> str:
    """Two iterations: the first one meets a tool that fails, the second one does without it. Returns the run id."""
    log = tailrace.get_logger("research-team")
    with log.run(session="demo", tags=["demo"]) as run:
        log.info("question received", length=len(_QUESTION))
        with run.iteration() as first:
            with first.interaction("planner", input=_QUESTION) as turn:
                turn.output = _chat(turn, "Compare the price lists of both regions.", tokens=(212, 48), cost=0.0021)
            with first.interaction("researcher", input=turn.output) as turn:
                _lookup(turn, "north")
                _lookup(turn, "south")
                turn.output = {"north": _PRICES["north"], "south": None}
        with run.iteration() as second:
            with second.interaction("researcher", input="south, from last week's list") as turn:
                with turn.action("read_file", input="prices/last-week.csv") as act:
                    time.sleep(0.01)
                    act.output = {"south": _PRICES["south"]}
                log.add_resource("prices/last-week.csv", bytes=2048)
                turn.output = act.output
            with second.interaction("critic", input=turn.output) as turn:
                turn.output = _chat(
                    turn, "South is cheapest, by a price that is a week old.", tokens=(340, 35), cost=0.0034
                )
        log.warning("one price is a week old", region="south")
    return run.run_id


def _chat(turn: tailrace.Interaction, prompt: str, tokens: tuple[int, int], cost: float) -> str:
    """A model call: its answer is its prompt, so that every demo says the same."""
    with turn.action("chat", input=prompt) as act:
        time.sleep(0.02)
        act.model = _MODEL
        act.tokens = {"input": tokens[0], "output": tokens[1]}
        act.cost = cost
        act.output = prompt
    return prompt


def _lookup(turn: tailrace.Interaction, region: str) -> None:
    """A tool call that may fail, which its action records; the agent goes on without an answer."""
    with suppress(TimeoutError), turn.action("fetch_price", input={"region": region}) as act:
        time.sleep(0.01)
        act.output = _fetch_price(region)


def _fetch_price(region: str) -> float:
    if region == "south":
        raise TimeoutError("prices.example did not answer within 5 s")
    return _PRICES[region]
