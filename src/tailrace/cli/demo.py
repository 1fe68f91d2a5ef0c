"""`tailrace demo`: logs one run of three agents through the public API, then shows its document."""

from __future__ import annotations

import time

import msgspec

import tailrace
from tailrace.cli.catch_up import current_store
from tailrace.cli.output import say, stdout
from tailrace.cli.tree import tree
from tailrace.cli.wording import short_id
from tailrace.config import load
from tailrace.document.view import render

_QUESTION = "Which of our regions has the cheapest spare capacity this week?"
_PRICES = {"north": 0.031, "south": 0.027}
_MODEL = "demo-model-1"


async def demo() -> int:
    """Log a small run (no keys, no server needed) and show what was recorded of it."""
    run_id = _research()
    config = load()
    await tailrace.get_logger().flush("broker", timeout=10)
    async with current_store(config) as store:
        document = await store.get(run_id)
    short = short_id(run_id)
    if document is None:
        say(f"run {run_id} is on the bus; no consumer has stored it yet: tailrace consume all")
        return 1
    console = stdout()
    console.print(tree(msgspec.json.decode(render(document)), now=time.time()))
    console.print("\nnext:")
    console.print(f"  tailrace show {short} -o json   the document as JSON")
    console.print("  tailrace runs status:completed   every run, by query")
    console.print("  tailrace tail -f                 events as they arrive, from all agents")
    return 0


def _research() -> str:
    """Two iterations: the first one meets a tool that fails, the second one does without it. Returns the run id."""
    log = tailrace.get_logger("research-team")
    with log.run(session="demo", tags=["demo"]) as run:
        log.info("question received", length=len(_QUESTION))
        with run.iteration() as first:
            with first.interaction("planner", input=_QUESTION) as turn:
                turn.output = _chat(turn, "Compare the price lists of both regions.", tokens=(212, 48), cost=0.0021)
            with first.interaction("researcher", input=turn.output) as turn:
                _lookup(log, turn, "north")
                _lookup(log, turn, "south")
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
