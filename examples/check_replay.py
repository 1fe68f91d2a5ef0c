"""Compares the documents in the store with the recorded runs that `replay_chat.py` replayed, field by field.

    python examples/check_replay.py RUNS.json [--tag replay-1a2b3c4d] [--accepted FILE] [--wait 60]

Every message, tool argument and tool result must stand in its document, once, in order. With `--accepted` (the file
that the replay wrote) the replay may have been killed: each document must then hold every call that had returned, each
once and in order, and nothing that was not in the source. Exit code 0 if all is equal.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
from replay_chat import arguments_of, turns

from tailrace.config import Config, load
from tailrace.consumer import find_consumer
from tailrace.document.view import render
from tailrace.errors import StoreError
from tailrace.registry import open_store
from tailrace.store import Query, Store

Document = dict[str, Any]
Told = list[tuple[str, Any]]


def told_by_source(recorded: dict[str, Any]) -> Told:
    """The run as a list of (kind, content), in the order in which it happened."""
    told: Told = [("run", None)]
    for place, (before, message, results) in enumerate(turns(recorded["traj"])):
        if message is None:
            told.append(("end", {"reward": recorded.get("reward"), "after": before}))
            break
        told.append((f"turn {place}", before))
        for call in message.get("tool_calls") or ():
            told.append((f"call {call['id']}", [call["function"]["name"], arguments_of(call)]))
            told.append((f"result {call['id']}", results[call["id"]]["content"] if call["id"] in results else None))
        told.append((f"said {place}", message["content"]))
    return told


def told_by_document(document: Document) -> Told:
    """The same list, read from the document."""
    told: Told = [("run", None)]
    for place, turn in enumerate(document["interactions"]):
        told.append((f"turn {place}", turn["input_data"]))
        for action in turn["actions"]:
            call = action["fields"]["call_id"]
            told.append((f"call {call}", [action["action_name"], action["input_data"]]))
            if "end_event" in action:
                told.append((f"result {call}", action.get("output_data")))
        if "end_event" in turn:
            told.append((f"said {place}", turn.get("output_data")))
    if "end_event" in document:
        told.append(("end", document["outcome"]))
    return told


def differences(recorded: dict[str, Any], document: Document, accepted: list[str] | None) -> list[str]:
    """What is wrong with the document; [] if nothing is."""
    expected, found = told_by_source(recorded), told_by_document(document)
    wrong = [f"is not told as recorded: {kind}" for kind, _ in _mismatches(expected, found)]
    integrity = document["integrity"]
    if integrity["gaps"] or integrity["dropped"]:
        wrong.append(f"has gaps {integrity['gaps']}, dropped {integrity['dropped']}")
    if len(document["errors"]) or len(document["other_events"]) > (0 if accepted is None else 2):
        wrong.append("holds errors or events that the source does not have")
    if accepted is None:
        if len(found) != len(expected):
            wrong.append(f"holds {len(found)} of {len(expected)} entries")
        if document["state"] != "complete" or not integrity["complete"]:
            wrong.append(f"is {document['state']}, not complete")
    else:
        wrong += [f"lacks what was accepted: {what}" for what in accepted if what not in dict(found)]
        if document["state"] == "open":
            wrong.append("is open, though its process is gone")
    return wrong


def _mismatches(expected: Told, found: Told) -> Told:
    """Entries of `found` that are not, in order, those of `expected` from the start on."""
    return [entry for place, entry in enumerate(found) if place >= len(expected) or expected[place] != entry]


async def documents_of(store: Store, workflow: str, tag: str | None) -> dict[int, list[Document]]:
    """Documents by the number of the recorded run they replay."""
    found: dict[int, list[Document]] = defaultdict(list)
    query = Query(workflows=(workflow,), limit=500)
    while True:
        page = await store.search(query)
        for summary in page.runs:
            if tag is None or tag in summary.tags:
                document = await store.get(summary.run_id)
                if document is not None:
                    decoded = msgspec.json.decode(render(document))
                    if "source" in decoded.get("fields", {}):  # its start may not have come yet
                        found[decoded["fields"]["source"]].append(decoded)
        if page.next is None:
            return found
        query = msgspec.structs.replace(query, after=page.next)


async def bring_up_to_date(config: Config) -> None:
    """On the SQLite bus nobody else runs the stages."""
    if config.bus_url.startswith("sqlite:"):
        await find_consumer("all")(config, until="caught_up")


async def main(options: argparse.Namespace) -> int:
    recorded = json.loads(Path(options.path).read_text(encoding="utf-8"))[: options.limit]
    accepted: dict[int, list[str]] = defaultdict(list)
    if options.accepted:
        for line in Path(options.accepted).read_text(encoding="utf-8").splitlines():
            number, _, what = line.partition(" ")
            accepted[int(number)].append(what)
    expected = sorted(accepted) if options.accepted else range(len(recorded))
    config = load()
    store = open_store(config)
    try:
        deadline = time.monotonic() + options.wait
        while True:
            await bring_up_to_date(config)
            try:
                found = await documents_of(store, options.workflow, options.tag)
            except StoreError as error:
                if not error.retryable or time.monotonic() >= deadline:
                    raise
                found = {}
            wrong: list[str] = []
            for number in expected:
                mine = found.get(number, [])
                if len(mine) != 1:
                    wrong.append(f"run {number}: {len(mine)} documents")
                else:
                    given = accepted[number] if options.accepted else None
                    problems = differences(recorded[number], mine[0], given)
                    wrong += [f"run {number}: document {mine[0]['run_id']} {problem}" for problem in problems]
            if not wrong or time.monotonic() >= deadline:
                break
            await asyncio.sleep(0.5)
    finally:
        await store.aclose()
    documents = [document for number in expected for document in found.get(number, [])]
    complete = sum(document["state"] == "complete" for document in documents)
    entries = sum(len(told_by_document(document)) for document in documents)
    for line in wrong[:20]:
        print(line)
    print(
        f"{len(documents)} of {len(expected)} documents, {complete} complete, {entries} entries compared,"
        f" {len(wrong)} differences"
    )
    return 1 if wrong or not documents else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Compare stored documents with the recorded runs they replay.")
    parser.add_argument("path", help="the file that was replayed")
    parser.add_argument("--workflow", default="replay-chat", help="workflow name (default replay-chat)")
    parser.add_argument("--tag", help="the tag that the replay printed; needed if the file was replayed more than once")
    parser.add_argument("--limit", type=int, default=None, help="only the first N runs")
    parser.add_argument("--accepted", help="the file of --accepted of a replay that was killed")
    parser.add_argument("--wait", type=float, default=30.0, help="seconds to wait for the documents (default 30)")
    sys.exit(asyncio.run(main(parser.parse_args())))
