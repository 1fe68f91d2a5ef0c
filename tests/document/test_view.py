import msgspec
import pytest

from tailrace.document.view import render
from tailrace.event import types
from tests.document.making import ACT, ITERATION, RUN, TURN, Story, at

IN_TURN = {"iteration": ITERATION, "interaction": TURN}


@pytest.fixture
def story():
    return Story()


def test_a_whole_run_reads_as_its_agents_wrote_it(story):
    story.tell(types.RUN_START, {"verbosity": "INFO", "session": "c-17", "tags": ["beta"], "fields": {"team": "blue"}})
    story.tell(types.ITERATION_START, {"iteration_id": 1}, iteration=ITERATION)
    story.tell(types.INTERACTION_START, {"agent_name": "planner", "input_data": "why?"}, **IN_TURN, agent="planner")
    story.tell(
        types.ACTION_START,
        {"action_name": "search", "input_data": {"q": "why"}},
        **IN_TURN,
        action=ACT,
        agent="planner",
    )
    story.tell(
        types.ACTION_END,
        {"output_data": [1, 2], "duration_ms": 12.5, "tokens": 7, "cost": 0.5},
        **IN_TURN,
        action=ACT,
        agent="planner",
    )
    story.tell(types.ACTION, {"action_name": "answer", "output_data": "so"}, **IN_TURN, agent="planner")
    story.tell(types.LOG, {"level": "INFO", "message": "half way"}, **IN_TURN, agent="planner")
    story.tell(types.INTERACTION_END, {"output_data": "because", "status": "ok"}, **IN_TURN, agent="planner")
    story.tell(types.ITERATION_END, {"status": "success"}, iteration=ITERATION)
    story.tell(types.RESOURCE, {"resource_name": "s3://x"})
    story.tell(types.ERROR, {"error_msg": "boom", "exception": {"type": "E", "message": "boom"}})
    story.tell(types.RUN_END, {"final_status": "completed"})
    assert story.seen == {
        "workflow_name": "support-bot",
        "run_id": RUN,
        "state": "complete",
        "event": "p-0",
        "start_time": at(0),
        "verbosity": "INFO",
        "session": "c-17",
        "tags": ["beta"],
        "fields": {"team": "blue"},
        "end_event": "p-11",
        "end_time": at(11),
        "final_status": "completed",
        "iterations": [
            {
                "id": ITERATION,
                "event": "p-1",
                "started_at": at(1),
                "iteration_id": 1,
                "end_event": "p-8",
                "ended_at": at(8),
                "status": "success",
                "interactions": [
                    {
                        "id": TURN,
                        "event": "p-2",
                        "start_time": at(2),
                        "agent_name": "planner",
                        "input_data": "why?",
                        "end_event": "p-7",
                        "end_time": at(7),
                        "output_data": "because",
                        "status": "ok",
                        "actions": [
                            {
                                "id": ACT,
                                "event": "p-3",
                                "timestamp": at(3),
                                "action_name": "search",
                                "input_data": {"q": "why"},
                                "end_event": "p-4",
                                "end_time": at(4),
                                "output_data": [1, 2],
                                "duration_ms": 12.5,
                                "tokens": 7,
                                "cost": 0.5,
                            },
                            {"event": "p-5", "timestamp": at(5), "action_name": "answer", "output_data": "so"},
                        ],
                    }
                ],
            }
        ],
        "interactions": [],
        "actions": [],
        "resources": [{"event": "p-9", "timestamp": at(9), "resource_name": "s3://x"}],
        "errors": [
            {
                "event": "p-10",
                "timestamp": at(10),
                "error_msg": "boom",
                "exception": {"type": "E", "message": "boom"},
            }
        ],
        "logs": [
            {
                "event": "p-6",
                "timestamp": at(6),
                "iteration": ITERATION,
                "interaction": TURN,
                "agent": "planner",
                "level": "INFO",
                "message": "half way",
            }
        ],
        "other_events": [],
        "agents": ["planner"],
        "counts": {
            "iterations": 1,
            "interactions": 1,
            "actions": 2,
            "resources": 1,
            "errors": 1,
            "logs": 1,
            "events": 12,
        },
        "tokens": {"total": 7},
        "cost_usd": 0.5,
        "integrity": {
            "complete": True,
            "expected": 12,
            "received": 12,
            "dropped": {},
            "gaps": {},
            "producers": {"p": [[0, 11]]},
        },
        "sampling": {"rate": 1.0, "reason": "all", "weight": 1.0},
    }


def test_an_action_whose_iteration_and_turn_were_never_heard_of_still_has_its_place(story):
    [iteration] = story.tell(types.ACTION, {"action_name": "search"}, **IN_TURN).seen["iterations"]
    assert iteration == {
        "id": ITERATION,
        "status": "in_progress",
        "interactions": [
            {"id": TURN, "actions": [{"event": "p-0", "timestamp": at(0), "action_name": "search"}]},
        ],
    }


def test_a_turn_of_an_unknown_iteration_opens_a_place_for_it(story):
    seen = story.tell(types.INTERACTION_START, {"agent_name": "planner"}, **IN_TURN).seen
    assert [each["id"] for each in seen["iterations"]] == [ITERATION]
    assert "event" not in seen["iterations"][0]
    assert seen["interactions"] == []


def test_what_belongs_to_nothing_stands_beside_the_iterations(story):
    story.tell(types.INTERACTION_START, {"agent_name": "planner"}, interaction=TURN)
    story.tell(types.ACTION, {"action_name": "in the turn"}, interaction=TURN)
    story.tell(types.ACTION, {"action_name": "alone"})
    seen = story.seen
    assert seen["iterations"] == []
    assert [act["action_name"] for act in seen["interactions"][0]["actions"]] == ["in the turn"]
    assert [act["action_name"] for act in seen["actions"]] == ["alone"]


def test_an_action_of_an_iteration_without_a_turn_stands_in_the_iteration(story):
    [iteration] = story.tell(types.ACTION, {"action_name": "search"}, iteration=ITERATION).seen["iterations"]
    assert [act["action_name"] for act in iteration["actions"]] == ["search"]


def test_an_end_without_its_start_is_shown_with_what_it_says(story):
    story.tell(types.ITERATION_END, {"status": "success"}, iteration=ITERATION)
    story.tell(types.INTERACTION_END, {"output_data": "o"}, **IN_TURN, agent="planner")
    story.tell(types.ACTION_END, {"output_data": "a"}, **IN_TURN, action=ACT)
    story.tell(types.RUN_END, {"final_status": "completed"})
    seen = story.seen
    [iteration] = seen["iterations"]
    [turn] = iteration["interactions"]
    [act] = turn["actions"]
    assert (iteration["end_event"], iteration["ended_at"], iteration["status"]) == ("p-0", at(0), "success")
    assert (turn["end_event"], turn["end_time"], turn["output_data"], turn["agent"]) == ("p-1", at(1), "o", "planner")
    assert (act["end_event"], act["end_time"], act["output_data"]) == ("p-2", at(2), "a")
    assert not any("event" in each or "agent_name" in each for each in (iteration, turn, act))
    assert (seen["state"], seen["start_time"], seen["end_time"]) == ("complete", None, at(3))


def test_what_goes_on_is_shown_as_in_progress(story):
    story.tell(types.RUN_START).tell(types.ITERATION_START, {"iteration_id": 1}, iteration=ITERATION)
    story.tell(types.INTERACTION_START, {"agent_name": "planner"}, **IN_TURN)
    seen = story.seen
    assert (seen["state"], seen["final_status"], seen["end_time"]) == ("open", None, None)
    [iteration] = seen["iterations"]
    assert iteration["status"] == "in_progress"
    assert not {"ended_at", "end_event"} & iteration.keys()
    assert not {"end_time", "output_data"} & iteration["interactions"][0].keys()


def test_the_first_start_stands_and_the_second_is_kept_beside(story):
    story.tell(types.RUN_START, {"verbosity": "INFO"}).tell(types.RUN_START, {"verbosity": "DEBUG"}, pid="child")
    story.tell(types.ITERATION_START, {"iteration_id": 1}, iteration=ITERATION)
    story.tell(types.ITERATION_START, {"iteration_id": 2}, iteration=ITERATION)
    seen = story.seen
    assert (seen["verbosity"], seen["start_time"], seen["iterations"][0]["iteration_id"]) == ("INFO", at(0), 1)
    assert [(event["id"], event["type"]) for event in seen["other_events"]] == [
        ("child-0", types.RUN_START),
        ("p-2", types.ITERATION_START),
    ]


def test_the_last_end_stands_and_the_first_is_kept_beside(story):
    story.tell(types.RUN_START).tell(types.RUN_END, {"final_status": "failed"})
    story.tell(types.RUN_END, {"final_status": "completed"})
    seen = story.seen
    assert (seen["final_status"], seen["end_time"]) == ("completed", at(2))
    assert [event["data"] for event in seen["other_events"]] == [{"final_status": "failed"}]


def test_an_end_that_contradicts_its_start_is_kept_beside(story):
    story.tell(types.INTERACTION_START, {"agent_name": "planner"}, **IN_TURN)
    story.tell(types.INTERACTION_END, {"output_data": "o"}, iteration="9" * 16, interaction=TURN)
    seen = story.seen
    [turn] = seen["iterations"][0]["interactions"]
    assert "output_data" not in turn
    assert [event["id"] for event in seen["other_events"]] == ["p-1"]


@pytest.mark.parametrize(
    ("type_", "envelope"),
    [
        ("some.future.type", {}),
        (types.PRODUCER_LOST, {}),
        (types.DROPPED, {}),
        (types.ITERATION_START, {}),
        (types.LOG, {"workflow": "zz-other"}),
    ],
)
def test_an_event_without_a_place_is_kept_whole(story, type_, envelope):
    story.tell(types.RUN_START)
    story.tell(type_, {"b": 1, "a": [None]}, agent="planner", **envelope)
    [event] = story.seen["other_events"]
    assert event == {
        "id": "p-1",
        "seq": 1,
        "pid": "p",
        "run": RUN,
        "workflow": envelope.get("workflow", "support-bot"),
        "type": type_,
        "ts": at(1),
        "agent": "planner",
        "data": {"a": [None], "b": 1},
    }


def test_data_of_a_newer_version_is_kept_apart_from_what_this_one_knows(story):
    story.tell(types.RUN_START, {"verbosity": "INFO", "region": "eu"})
    story.tell(types.INTERACTION_START, {"agent_name": "planner", "mood": "good"}, interaction=TURN)
    story.tell(types.INTERACTION_END, {"output_data": "o", "mood": "bad", "start_time": 7}, interaction=TURN)
    story.tell(types.LOG, {"message": "m", "colour": "red", "event": "mine"})
    seen = story.seen
    assert seen["start_extra"] == {"region": "eu"}
    [turn] = seen["interactions"]
    assert turn["mood"] == "good"
    assert turn["end_extra"] == {"mood": "bad", "start_time": 7}
    assert turn["start_time"] == at(1)
    [log] = seen["logs"]
    assert (log["colour"], log["event"], log["start_extra"]) == ("red", "p-3", {"event": "mine"})


def test_envelope_fields_of_a_newer_version_are_kept(story):
    newer = {"z": msgspec.Raw(b"1"), "a": msgspec.Raw(b"[2]")}
    story.tell(types.RUN_START, extra=newer).tell(types.RUN_END, extra=newer).tell(types.LOG, extra=newer)
    seen = story.seen
    assert seen["envelope"] == seen["end_envelope"] == seen["logs"][0]["envelope"] == {"a": [2], "z": 1}


def test_the_agent_of_an_action_is_said_only_where_it_is_another(story):
    story.tell(types.INTERACTION_START, {"agent_name": "planner"}, interaction=TURN, agent="planner")
    for agent in ("planner", "critic", ""):
        story.tell(types.ACTION, {"action_name": "a"}, interaction=TURN, agent=agent)
    [turn] = story.seen["interactions"]
    assert [act.get("agent") for act in turn["actions"]] == [None, "critic", ""]


def test_everything_stands_in_the_order_of_its_time(story):
    for second in (3, 1, 2):
        story.tell(types.LOG, {"message": second}, second=second)
        story.tell(types.ACTION, {"action_name": str(second)}, second=second)
        story.tell(types.ITERATION_START, {"iteration_id": second}, second=second, iteration=f"{second:016x}")
    story.tell(types.ACTION_START, {"action_name": "2.5"}, action=ACT, second=2)
    seen = story.seen
    assert [log["message"] for log in seen["logs"]] == [1, 2, 3]
    assert [act["action_name"] for act in seen["actions"]] == ["1", "2", "2.5", "3"]
    assert [each["iteration_id"] for each in seen["iterations"]] == [1, 2, 3]


def test_an_iteration_stands_where_it_was_first_heard_of(story):
    story.tell(types.ITERATION_START, {"iteration_id": "second"}, iteration="b" * 16, second=5)
    story.tell(types.ACTION, {"action_name": "early"}, iteration="c" * 16, second=1)
    assert [each["id"] for each in story.seen["iterations"]] == ["c" * 16, "b" * 16]


def test_the_sampler_s_last_decision_stands_and_the_others_are_kept_beside(story):
    story.tell(types.RUN_SAMPLED, {"rate": 0.5, "reason": "rate", "weight": 2.0}, pid="s1")
    story.tell(types.RUN_SAMPLED, {"rate": 1.0, "reason": "errors", "weight": 1.0}, pid="s2")
    seen = story.seen
    decisions = seen["sampling"].pop("decisions")
    assert seen["sampling"] == {"event": "s2-0", "timestamp": at(1), "rate": 1.0, "reason": "errors", "weight": 1.0}
    assert [event["id"] for event in decisions] == ["s1-0"]
    assert (seen["other_events"], seen["counts"]["events"]) == ([], 0)


def test_payloads_are_passed_through_byte_by_byte(story):
    story.tell(types.LOG, b'{"message":{"z":1.50,"a":"\\u00e9"}}')
    assert b'"message":{"z":1.50,"a":"\\u00e9"}' in render(story.document)
