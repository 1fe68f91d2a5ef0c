"""A document's JSON as a tree for people. Payloads are any JSON value by contract, and nothing here trusts them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.text import Text
from rich.tree import Tree

from tailrace.cli import wording
from tailrace.cli.escape import escape
from tailrace.cli.nesting import Nesting

Element = dict[str, Any]

_NAME_WIDTH = 80
_PAYLOAD_WIDTH = 160
_TRACEBACK_LINES = 6


def tree(document: Element, now: float) -> Tree:
    """Run > iterations > interactions > actions, then what is attached to the run, then what is missing of it."""
    root = Tree(_run_header(document, now), guide_style="dim")
    _add_lines(root, _failure(document.get("error")))
    nesting = Nesting(document)
    for iteration in document["iterations"]:
        if not nesting.is_nested(iteration):
            _add_iteration(root, iteration, nesting)
    _add_work(root, document, nesting)
    _add_facts(root, "resources", document["resources"], _resource)
    _add_facts(root, "errors", document["errors"], _error)
    _add_facts(root, "log", document["logs"], _log)
    _add_lines(root, _notes(document))
    return root


def _run_header(document: Element, now: float) -> Text:
    status = document.get("final_status") or document["state"]
    counts, tokens, cost = document["counts"], document["tokens"].get("total", 0), document["cost_usd"]
    facts = [
        wording.between(document["start_time"], document["end_time"]),
        wording.counted(len(document["agents"]), "agent"),
        wording.counted(counts["actions"], "action"),
        wording.counted(counts["errors"], "error") if counts["errors"] else "",
        wording.counted(tokens, "token") if tokens else "",
        wording.dollars(cost) if cost else "",
    ]
    second = [
        f"run {escape(document['run_id'])}",
        f"{wording.local_time(document['start_time'])} {wording.age(document['start_time'], now)}".strip(),
        f"session {wording.payload(document['session'], _NAME_WIDTH)}" if document.get("session") else "",
        f"tags {wording.payload(document['tags'], _NAME_WIDTH)}" if document.get("tags") else "",
    ]
    header = _line((wording.payload(document["workflow_name"], _NAME_WIDTH), "bold"), _status(status), *facts)
    return header.append("\n").append(_line(*second, style="dim"))


def _add_iteration(branch: Tree, iteration: Element, nesting: Nesting) -> None:
    inner = branch.add(_iteration_header(iteration))
    _add_lines(inner, _failure(iteration.get("error")))
    _add_work(inner, iteration, nesting)


def _iteration_header(iteration: Element) -> Text:
    name = f"iteration {wording.payload(iteration.get('iteration_id'), _NAME_WIDTH)}".rstrip()
    took = wording.between(iteration.get("started_at"), iteration.get("ended_at"))
    return _line((name, "bold"), _status(iteration.get("status")), took)


def _add_work(branch: Tree, element: Element, nesting: Nesting) -> None:
    for interaction in element["interactions"]:
        if not nesting.is_nested(interaction):
            _add_interaction(branch, interaction, nesting)
    for action in element.get("actions", ()):
        if not nesting.is_nested(action):
            _add_action(branch, action, nesting)


def _add_inside(branch: Tree, element: Element, nesting: Nesting) -> None:
    """What began in a turn or action: the turns of other agents, and what they called."""
    add = {"iteration": _add_iteration, "interaction": _add_interaction, "action": _add_action}
    for node in nesting.take(element):
        add[node.kind](branch, node.element, nesting)


def _add_interaction(branch: Tree, interaction: Element, nesting: Nesting) -> None:
    agent = interaction.get("agent_name") or interaction.get("agent") or "(no agent)"
    name = wording.payload(agent, _NAME_WIDTH)
    took = wording.between(interaction.get("start_time"), interaction.get("end_time"))
    header = _line((name, f"bold {wording.agent_style(str(agent))}"), _status(_state(interaction)), took)
    turn = branch.add(_with_payloads(header, interaction))
    _add_lines(turn, _failure(interaction.get("error")))
    for action in interaction["actions"]:
        if not nesting.is_nested(action):
            _add_action(turn, action, nesting)
    _add_inside(turn, interaction, nesting)


def _add_action(branch: Tree, action: Element, nesting: Nesting) -> None:
    name = wording.payload(action.get("action_name"), _NAME_WIDTH) or "(no name)"
    facts = [_attempt(action), _action_duration(action), wording.payload(action.get("model"), _NAME_WIDTH)]
    if action.get("tokens") is not None:
        facts.append(f"tokens {wording.payload(action['tokens'], _NAME_WIDTH)}")
    if isinstance(action.get("cost"), int | float):
        facts.append(wording.dollars(action["cost"]))
    node = branch.add(_with_payloads(_line((name, "bold"), _status(_state(action)), *facts), action))
    _add_lines(node, _failure(action.get("error")))
    _add_inside(node, action, nesting)


def _attempt(action: Element) -> str:
    """The number of a further attempt, as decorated actions record it."""
    fields = action.get("fields")
    number = fields.get("attempt") if isinstance(fields, dict) else None
    return f"attempt {wording.payload(number, _NAME_WIDTH)}" if isinstance(number, int) else ""


def _action_duration(action: Element) -> str:
    measured = action.get("duration_ms")
    if isinstance(measured, int | float):
        return wording.duration(measured / 1000)
    return wording.between(action.get("timestamp"), action.get("end_time"))


def _state(element: Element) -> Any:
    """What its producer said; else what follows from the events: an error, or a start without an end."""
    if element.get("status") is not None:
        return element["status"]
    if element.get("error") is not None:
        return "failed"
    return "in_progress" if "id" in element and "end_event" not in element else None


def _with_payloads(header: Text, element: Element) -> Text:
    for label, key in (("in ", "input_data"), ("out", "output_data")):
        if element.get(key) is not None:
            header.append(f"\n{label} ", "dim").append(wording.payload(element[key], _PAYLOAD_WIDTH))
    return header


def _failure(failure: Any) -> Iterator[Text]:
    """An exception: its type and message, then the end of its traceback."""
    if failure is None:
        return
    if not isinstance(failure, dict):
        yield Text(f"! {wording.payload(failure, _PAYLOAD_WIDTH)}", "red")
        return
    kind, message = (wording.payload(failure.get(key), _PAYLOAD_WIDTH) for key in ("type", "message"))
    yield Text(f"! {kind}: {message}", "red")
    traceback = failure.get("traceback")
    if isinstance(traceback, str) and traceback:
        # The last line repeats type and message.
        lines = traceback.rstrip("\n").split("\n")[:-1][-_TRACEBACK_LINES:]
        yield Text("\n".join(wording.payload(line, _PAYLOAD_WIDTH) for line in lines), "dim")


def _add_facts(root: Tree, title: str, facts: list[Element], line: Any) -> None:
    if facts:
        branch = root.add(Text(title, "bold"))
        for fact in facts:
            branch.add(line(fact))


def _resource(fact: Element) -> Text:
    return _line(wording.payload(fact.get("resource_name"), _PAYLOAD_WIDTH), _speaker(fact))


def _error(fact: Element) -> Text:
    shown = _line((wording.payload(fact.get("error_msg"), _PAYLOAD_WIDTH), "red"), _speaker(fact))
    for part in _failure(fact.get("exception")):
        shown.append("\n").append(part)
    return shown


def _log(fact: Element) -> Text:
    level = wording.payload(fact.get("level"), _NAME_WIDTH)
    moment = wording.local_time(fact.get("timestamp"), "%H:%M:%S")
    message = wording.payload(fact.get("message"), _PAYLOAD_WIDTH)
    fields = wording.payload(fact.get("fields"), _PAYLOAD_WIDTH)
    return _line((moment, "dim"), (level, _level_style(level)), message, (fields, "dim"), _speaker(fact))


def _level_style(level: str) -> str:
    return "red" if level in {"ERROR", "CRITICAL"} else "yellow" if level == "WARNING" else ""


def _speaker(fact: Element) -> tuple[str, str]:
    agent = fact.get("agent", "")
    return wording.payload(agent, _NAME_WIDTH), wording.agent_style(str(agent))


def _notes(document: Element) -> Iterator[Text]:
    """What a reader must know before trusting the tree: what is missing, to come, or was sampled."""
    integrity, sampling = document["integrity"], document["sampling"]
    if document["state"] == "open":
        yield Text("note: the run is still open; more may come", "yellow")
    if document["state"] == "abandoned":
        yield Text("note: the run never ended: its process is gone or went silent", "yellow")
    missing = integrity["expected"] - integrity["received"]
    if missing > 0:
        yield Text(f"note: {wording.counted(missing, 'event')} of {integrity['expected']} did not arrive", "yellow")
    for reason, count in integrity["dropped"].items():
        yield Text(f"note: {wording.counted(count, 'event')} dropped by the producer: {escape(reason)}", "yellow")
    if sampling.get("stub") is True:
        reason = wording.payload(sampling.get("reason"), _NAME_WIDTH)
        yield Text(f"note: the sampler dropped this run ({reason}): its totals are all that is here", "yellow")
        return
    would = sampling.get("would")
    if isinstance(would, dict) and would.get("keep") is False:
        reason = wording.payload(would.get("reason"), _NAME_WIDTH)
        yield Text(f"note: a dry run of the sampler: it would have dropped this run ({reason})", "yellow")
    rate = sampling.get("rate")
    if isinstance(rate, int | float) and rate < 1:
        reason, weight = (wording.payload(sampling.get(key), _NAME_WIDTH) for key in ("reason", "weight"))
        yield Text(f"note: sampled at rate {rate:g} ({reason}): stands for {weight} runs", "yellow")


def _status(status: Any) -> tuple[str, str]:
    word = wording.payload(status, _NAME_WIDTH)
    return word, wording.status_style(word)


def _line(*parts: str | tuple[str, str], style: str = "") -> Text:
    """The parts that are not empty, two spaces apart; each a text, or a text and its style."""
    styled = [part if isinstance(part, tuple) else (part, style) for part in parts]
    return Text("  ").join(Text(text, part_style) for text, part_style in styled if text)


def _add_lines(branch: Tree, lines: Iterator[Text]) -> None:
    for line in lines:
        branch.add(line)
