import io
import re

import msgspec
import pytest
from rich.console import Console

from tailrace.cli.tree import tree
from tailrace.document.view import render
from tests.cli.story import Story, finished, hostile

NOW = 1767225600.0 + 3600  # an hour after the story


def drawn(story, **options):
    file = io.StringIO()
    console = Console(file=file, width=300, markup=False, highlight=False, emoji=False, **options)
    console.print(tree(msgspec.json.decode(render(story.document)), now=NOW))
    return file.getvalue()


def line_with(text, shown):
    lines = [line for line in shown.splitlines() if text in line]
    assert len(lines) == 1, shown
    return lines[0]


def test_the_header_sums_the_run_up():
    first, second = drawn(finished()).splitlines()[:2]
    assert first == "research  completed  13.0 s  2 agents  2 actions  1 error  212 tokens  $0.0131"
    assert "run 0190a1b2c3d47000800000001234abcd" in second
    assert "1 h ago" in second
    assert "session c-17" in second
    assert 'tags ["beta"]' in second


def test_interactions_stand_in_their_iteration_and_actions_in_their_interaction():
    shown = drawn(finished())
    depths = [len(re.match(r"[^a-z]*", line_with(text, shown))[0]) for text in ("iteration 1", "planner", "chat")]
    assert depths == [4, 8, 12]
    assert shown.index("planner") < shown.index("chat") < shown.index("critic") < shown.index("fetch")


def test_payloads_are_shown_in_short():
    story = finished()
    assert "in  compare prices" in drawn(story)
    assert 'out {"plan":["look","compare"]}' in drawn(story)
    long = Story().add("action", {"action_name": "read", "input_data": "x" * 5000})
    assert "x" * 159 + "…" in drawn(long)
    assert "x" * 161 not in drawn(long)


def test_a_failed_action_shows_status_duration_error_and_the_end_of_its_traceback():
    shown = drawn(finished())
    assert "fetch  failed  1.2 s" in shown
    assert shown.count("TimeoutError: no answer") == 1
    assert "in fetch" in shown


def test_facts_are_listed_with_who_said_them():
    shown = drawn(finished())
    assert "s3://bucket/prices.csv" in line_with("s3://", shown)
    assert line_with("south is missing", shown).endswith("critic")
    assert "WARNING  one price is old" in shown


def test_a_whole_run_has_no_notes():
    assert "note:" not in drawn(finished())


def test_missing_events_are_noted():
    story = finished()
    del story.events[3]
    assert "note: 1 event of 14 did not arrive" in drawn(story)


def test_dropped_events_are_noted_with_the_reason():
    story = finished().add("dropped", {"reasons": {"spool_full": 12}})
    assert "note: 12 events dropped by the producer: spool_full" in drawn(story)


@pytest.mark.parametrize(
    ("last", "note"),
    [("log", "the run is still open"), ("producer.lost", "the run never ended")],
)
def test_a_run_without_an_end_is_noted(last, note):
    assert note in drawn(Story().add("run.start").add(last, {"level": "INFO", "message": "hi"}))


def test_sampling_is_noted_when_the_run_stands_for_others():
    shown = drawn(finished().add("run.sampled", {"rate": 0.1, "reason": "rate", "weight": 10}))
    assert "note: sampled at rate 0.1 (rate): stands for 10 runs" in shown
    assert "sampled" not in drawn(finished().add("run.sampled", {"rate": 1, "reason": "all", "weight": 1}))


def test_a_stub_says_that_the_run_was_dropped_and_shows_its_totals():
    stub = {"rate": 0.1, "reason": "rate", "state": "complete", "final_status": "completed", "cost_usd": 0.25}
    shown = drawn(Story().add("run.dropped", {**stub, "counts": {"actions": 2}, "tokens": {"total": 48}}))
    assert "2 actions  48 tokens  $0.25" in shown.splitlines()[0]
    assert "note: the sampler dropped this run (rate)" in shown


def test_what_a_dry_run_would_have_dropped_is_noted():
    marks = {"rate": 1, "reason": "dry run", "weight": 1, "would": {"keep": False, "rate": 0.1, "reason": "rate"}}
    assert "it would have dropped this run (rate)" in drawn(finished().add("run.sampled", marks))
    marks["would"]["keep"] = True
    assert "dry run" not in drawn(finished().add("run.sampled", marks))


def test_an_action_without_an_end_is_in_progress():
    assert "read  in_progress" in drawn(Story().add("action.start", {"action_name": "read"}, action="a1"))


def nested_story(*parents):
    """A turn for each parent, named t0, t1, ...; t0 has an action a0."""
    story = Story()
    for number, parent in enumerate(parents):
        data = {"agent_name": f"agent-{number}", **({"parent": parent} if parent else {})}
        story.add("interaction.start", data, interaction=f"t{number}", agent=f"agent-{number}")
    return story.add("action.start", {"action_name": "delegate"}, interaction="t0", action="a0", agent="agent-0")


def depth(text, shown):
    return len(re.match(r"[^a-z]*", line_with(text, shown))[0]) // 4


def test_a_turn_that_began_in_another_agents_turn_or_action_stands_inside_it():
    shown = drawn(nested_story(None, "t0", "a0", "t2"))
    depths = [depth(text, shown) for text in ("agent-0", "delegate", "agent-2", "agent-3", "agent-1")]
    assert depths == [1, 2, 3, 4, 2]


def test_a_parent_that_is_unknown_or_a_circle_leaves_a_turn_at_its_place():
    shown = drawn(nested_story("t1", "t0", "elsewhere", 7, ["t0"]))
    assert [depth(f"agent-{number}", shown) for number in range(5)] == [1] * 5


def test_nesting_of_any_depth_and_ids_given_twice_are_drawn_once_each():
    chain = drawn(nested_story(None, *(f"t{number}" for number in range(100))))
    assert all(chain.count(f"agent-{number} ") == 1 for number in range(101))
    twice = nested_story(None, "t0").add("action.start", {"action_name": "same"}, interaction="t0", action="t1")
    twice.add("action.start", {"action_name": "same", "parent": "t0"}, interaction="t1", action="t0")
    shown = drawn(twice)
    assert [shown.count(text) for text in ("agent-0", "agent-1", "same")] == [1, 1, 2]


def test_a_further_attempt_says_its_number():
    story = Story().add("action.start", {"action_name": "fetch", "fields": {"attempt": 2}}, action="a1")
    assert "fetch  in_progress  attempt 2" in drawn(story)
    assert "attempt" not in drawn(Story().add("action", {"action_name": "fetch", "fields": {"attempt": ["x"]}}))


def test_hostile_text_never_reaches_the_terminal():
    shown = drawn(hostile(), force_terminal=True, color_system=None)
    assert all(char == "\n" or char.isprintable() for char in shown)
    assert "[bold red]" in shown
    assert shown.count("\\x1b]52;c;") > 12


@pytest.mark.parametrize("value", [None, True, -1, 1e300, "", [], {}, [[{"a": None}]], {"type": 3}, "x\ny"])
def test_any_json_value_in_any_place_is_drawn(value):
    keys = (
        "session tags fields error agent_name input_data output_data status iteration_id action_name model tokens cost"
    )
    keys += " duration_ms resource_name error_msg exception level message rate reason weight final_status"
    data = dict.fromkeys(keys.split(), value)
    story = Story()
    ids = {"iteration": "i", "interaction": "t", "agent": "a"}
    for type_ in ("run.start", "iteration.start", "interaction.start", "action.start", "action.end", "interaction.end"):
        story.add(type_, data, **ids, action="x" if "action." in type_ else "")
    for type_ in ("action", "resource", "error", "log", "run.sampled", "iteration.end", "run.end"):
        story.add(type_, data, **ids)
    assert drawn(story)
