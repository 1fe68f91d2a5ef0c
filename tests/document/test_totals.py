import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.document import totals
from tailrace.document.view import view
from tailrace.event import types
from tests.document.making import ACT, ITERATION, TURN, Story


@pytest.fixture
def story():
    return Story()


def test_counts_are_of_all_places_in_the_tree(story):
    story.tell(types.ITERATION_START, {"iteration_id": 1}, iteration=ITERATION)
    story.tell(types.INTERACTION_START, {"agent_name": "a"}, iteration=ITERATION, interaction=TURN)
    story.tell(types.INTERACTION_START, {"agent_name": "b"}, interaction="9" * 16)
    story.tell(types.ACTION, {"action_name": "1"}, iteration=ITERATION, interaction=TURN)
    story.tell(types.ACTION, {"action_name": "2"}, iteration=ITERATION)
    story.tell(types.ACTION, {"action_name": "3"}, interaction="9" * 16)
    story.tell(types.ACTION, {"action_name": "4"})
    story.tell(types.ACTION_END, {}, action=ACT)
    story.tell(types.RESOURCE, {"resource_name": "r"}).tell(types.ERROR, {"error_msg": "e"})
    story.tell(types.LOG, {"message": "1"}).tell(types.LOG, {"message": "2"}).tell("some.future.type")
    assert story.seen["counts"] == {
        "iterations": 1,
        "interactions": 2,
        "actions": 5,
        "resources": 1,
        "errors": 1,
        "logs": 2,
        "events": 13,
    }


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], {}),
        ([5, 2.5], {"total": 7.5}),
        ([{"input": 3, "output": 4}], {"input": 3, "output": 4, "total": 7}),
        ([{"input": 3, "output": 4, "total": 9}, 1], {"input": 3, "output": 4, "total": 10}),
        ([{"input": 1}, {"input": 2, "cached": 1}], {"cached": 1, "input": 3, "total": 4}),
        ([None, "12", True, [], {}, {"input": "3", "output": None, "ok": True}], {}),
        ([1e300, -1e300, {"input": 1e300, "output": 2}], {"output": 2, "total": 2}),
        ([10**15, 10**15 - 1], {"total": 10**15 - 1}),
        ([0, {"input": 0}], {"input": 0, "total": 0}),
        ([-3], {"total": -3}),
        ([{"input": 10**15}, {"input": 1}], {"input": 1, "total": 1}),
        ([{"input": 1, "ok": True}, {"input": 2, "ok": True}], {"input": 3, "total": 3}),
    ],
)
def test_tokens_are_summed_by_name_and_odd_values_are_passed_over(story, values, expected):
    story.tell(types.RUN_START)
    for value in values:
        story.tell(types.ACTION, {"action_name": "x", "tokens": value})
    assert story.seen["tokens"] == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], 0),
        ([0.1] * 10, 1.0),
        ([1e300, 0.5, -1e15], 0.5),
        ([1, 0.5, None, "3", True, {"usd": 1}, 1e300], 1.5),
        ([10**400], 0),
    ],
)
def test_costs_are_summed_without_rounding_and_odd_values_are_passed_over(story, values, expected):
    story.tell(types.RUN_START)
    for value in values:
        body = b"1" + b"0" * 400 if value == 10**400 else msgspec.json.encode(value)
        story.tell(types.ACTION, b'{"action_name":"x","cost":%s}' % body)
    assert story.seen["cost_usd"] == expected


def test_a_number_that_no_float_holds_counts_as_none(story):
    story.tell(types.ACTION, b'{"action_name":"x","tokens":1e400,"cost":1e400}')
    story.tell(types.ACTION, {"action_name": "y", "tokens": 1, "cost": 2.0})
    seen = view(story.document)
    assert (seen["tokens"], seen["cost_usd"]) == ({"total": 1}, 2.0)


def test_agents_are_those_that_spoke_each_once_and_sorted(story):
    for agent in ("writer", "critic", "", "writer"):
        story.tell(types.LOG, {"message": "m"}, agent=agent)
    assert story.seen["agents"] == ["critic", "writer"]


def test_a_run_is_open_until_its_end_is_known(story):
    story.tell(types.RUN_START, {"verbosity": "INFO"})
    assert (story.seen["state"], story.seen["final_status"]) == ("open", None)
    story.tell(types.RUN_END, {"final_status": "failed"})
    assert (story.seen["state"], story.seen["final_status"]) == ("complete", "failed")


@pytest.mark.parametrize("absence", [types.PRODUCER_LOST, types.RUN_ABANDONED])
def test_a_run_is_abandoned_until_something_is_heard_of_it(story, absence):
    story.tell(types.RUN_START, {"verbosity": "INFO"}, second=1)
    story.tell(absence, {"reason": "died"}, pid="sweeper", second=5)
    assert (story.seen["state"], story.seen["final_status"]) == ("abandoned", "abandoned")
    story.tell(types.LOG, {"message": "from before"}, second=4)
    assert story.seen["state"] == "abandoned"
    story.tell(types.LOG, {"message": "at the same moment"}, second=5)
    assert story.seen["state"] == "abandoned"
    story.tell(types.LOG, {"message": "still here"}, second=6)
    assert (story.seen["state"], story.seen["final_status"]) == ("open", None)
    story.tell(absence, {"reason": "died"}, pid="sweeper", second=7)
    assert story.seen["state"] == "abandoned"
    story.tell(types.RUN_END, {"final_status": "completed"}, second=3)
    assert (story.seen["state"], story.seen["final_status"]) == ("complete", "completed")


def test_a_complete_run_from_which_nothing_is_missing_says_so(story):
    story.tell(types.RUN_START).tell(types.LOG, pid="child").tell(types.RUN_END)
    assert story.seen["integrity"] == {
        "complete": True,
        "expected": 3,
        "received": 3,
        "dropped": {},
        "gaps": {},
        "producers": {"p": [[0, 1]], "child": [[0, 0]]},
    }


def test_an_open_run_is_never_called_complete(story):
    assert story.tell(types.RUN_START).seen["integrity"]["complete"] is False


def test_what_a_producer_counted_and_nobody_received_is_a_gap(story):
    story.tell(types.RUN_START, n=0).tell(types.LOG, n=2).tell(types.RUN_END, n=6)
    story.tell(types.LOG, pid="child", n=1)
    integrity = story.seen["integrity"]
    assert integrity["complete"] is False
    assert (integrity["expected"], integrity["received"]) == (9, 4)
    assert integrity["gaps"] == {"child": [[0, 0]], "p": [[1, 1], [3, 5]]}


def test_an_event_outside_the_count_is_no_gap(story):
    story.tell(types.RUN_START, n=0).tell(types.RUN_END, n=1).tell(types.PRODUCER_LOST, pid="sweeper", n=-1)
    integrity = story.seen["integrity"]
    assert (integrity["complete"], integrity["expected"]) == (True, 2)
    assert "sweeper" not in integrity["producers"]


def test_drops_that_producers_confess_are_added_up_by_reason(story):
    story.tell(types.RUN_START)
    story.tell(types.DROPPED, {"reasons": {"spool full": 3}}).tell(
        types.DROPPED, {"reasons": {"spool full": 1, "x": 2}}
    )
    story.tell(types.DROPPED, {"reasons": "many"}).tell(types.DROPPED, {}).tell(types.RUN_END)
    integrity = story.seen["integrity"]
    assert integrity["dropped"] == {"spool full": 4, "x": 2}
    assert integrity["complete"] is False


def test_an_unsampled_run_stands_for_itself(story):
    assert story.tell(types.RUN_START).seen["sampling"] == {"rate": 1.0, "reason": "all", "weight": 1.0}


def test_the_sampler_s_decision_is_shown(story):
    story.tell(types.RUN_START).tell(types.RUN_SAMPLED, {"rate": 0.1, "reason": "rate", "weight": 10.0}, pid="sampler")
    sampling = story.seen["sampling"]
    assert (sampling["rate"], sampling["reason"], sampling["weight"]) == (0.1, "rate", 10.0)
    assert story.seen["state"] == "open"


@given(
    st.lists(st.sampled_from([b"7", b"1.5", b'{"input":3,"total":4}', b'{"a":2,"b":0.1}', b"1e400", b'"x"', b"true"]))
)
def test_what_one_action_adds_is_what_the_totals_of_all_are_made_of(raws):
    actions = [{"tokens": msgspec.Raw(raw), "cost": msgspec.Raw(raw)} for raw in raws]
    added = {}
    for raw in raws:
        for name, number in totals.tokens_of(msgspec.Raw(raw)).items():
            added[name] = added.get(name, 0) + number
    assert totals._tokens(actions) == pytest.approx(added)
    assert totals._cost(actions) == pytest.approx(sum(totals.cost_of(msgspec.Raw(raw)) for raw in raws))


@given(st.data())
def test_tokens_that_are_all_named_alike_come_to_what_each_adds(data):
    names = data.draw(st.lists(st.sampled_from(["input", "output", "total", "cached"]), unique=True))
    number = st.integers(-(10**15) - 1, 10**15 + 1) | st.booleans() | st.floats(-2e15, 2e15)
    alike = st.integers(-10, 10) if data.draw(st.booleans()) else number
    values = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(names, alike)), max_size=5))
    raws = [msgspec.Raw(msgspec.json.encode(value)) for value in values]
    added = {}
    for raw in raws:
        totals.add_tokens(added, msgspec.json.decode(raw))
    found = totals._tokens([{"tokens": raw} for raw in raws])
    assert found == added
    assert list(found) == sorted(found)
