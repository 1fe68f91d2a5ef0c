"""Policies: what they know of a run, when they know it, and what they make of it."""

import itertools
import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.document import collect
from tailrace.document.summary import summarise
from tailrace.document.totals import add_tokens
from tailrace.errors import ConfigError, DecodeError
from tailrace.event import decode, encode, types
from tailrace.sampling import Condition, Policy, SampleSettings
from tailrace_consumers.sample.adaptive import Adaptive, rates
from tailrace_consumers.sample.facts import NAMES, STATE, Facts, glance
from tailrace_consumers.sample.outcomes import Limit, share
from tailrace_consumers.sample.policies import Fate, Policies
from tests.consumers.making import end, event, failure, start

RUN = "r"


def facts_of(*events):
    run = Facts(events[0].run, events[0].workflow)
    for each in events:
        value = encode(each)
        run.hear(glance(value), len(value))
    return run


def matches(condition, *events):
    """Whether a policy with this condition is the one that decides."""
    policies = Policies(SampleSettings(policies=[Policy(condition, name="it")]))
    return policies.decide(facts_of(*events), 0.0).reason == "it"


def action(seq, **data):
    return event(RUN, seq, types.ACTION, **{"action_name": "search", **data})


@pytest.mark.parametrize(
    ("type_", "data", "expected"),
    [
        (types.ERROR, {"error_msg": "x"}, True),
        (types.LOG, {"level": "ERROR", "message": "x"}, True),
        (types.LOG, {"level": "CRITICAL", "message": "x"}, True),
        (types.LOG, {"level": "WARNING", "message": "error"}, False),
        (types.ACTION, {"action_name": "a", "status": "failed"}, True),
        (types.ACTION, {"action_name": "a", "error": {"type": "E", "message": "m"}}, True),
        (types.ACTION, {"action_name": "a", "status": "success", "error": None}, False),
        (types.ACTION_END, {"status": "error"}, True),
        (types.INTERACTION_END, {"status": 500}, False),
        (types.ITERATION_END, {"status": "Failed"}, True),
        (types.RUN_END, {"final_status": "completed"}, False),
        (types.RUN_END, {"final_status": "ok"}, False),
        (types.RUN_END, {"final_status": "timeout"}, True),
        (types.RUN_END, {"final_status": "completed", "error": {"type": "E", "message": "m"}}, True),
        (types.RUN_START, {"fields": {"error": 1}}, False),
        (types.PRODUCER_LOST, {"producer": "p", "reason": "died"}, True),
        ("some.future.type", {"status": "failed"}, False),
    ],
)
def test_failures_are_recognised(type_, data, expected):
    assert facts_of(event(RUN, 1, type_, **data)).failed is expected


@pytest.mark.parametrize(
    ("condition", "yes", "no"),
    [
        (Condition(workflow="w*"), [start(RUN)], None),
        (Condition(workflow=["x", "y"]), None, [start(RUN)]),
        (Condition(errors=True), [failure(RUN, 1)], [start(RUN)]),
        (Condition(errors=False), [start(RUN)], [failure(RUN, 1)]),
        (Condition(status="TIME*"), [end(RUN, 1, "timeout")], [end(RUN, 1)]),
        (Condition(status="none"), [start(RUN)], [end(RUN, 1)]),
        (Condition(slower_than=4.0), [start(RUN), event(RUN, 5)], [start(RUN), event(RUN, 4)]),
        (Condition(cost_over=0.3), [action(1, cost=0.2), action(2, cost=0.2)], [action(1, cost=0.2)]),
        (Condition(tokens_over=9), [action(1, tokens={"input": 5, "output": 5})], [action(1, tokens=9)]),
        (Condition(tag="be*"), [event(RUN, 0, types.RUN_START, tags=["beta"])], [start(RUN)]),
        (Condition(action="sea*"), [action(1)], [start(RUN)]),
        (Condition(any=[Condition(errors=True), Condition(action="search")]), [action(1)], [start(RUN)]),
        (
            Condition(all=[Condition(errors=True), Condition(action="search")]),
            [action(1), failure(RUN, 2)],
            [action(1)],
        ),
        (Condition(not_=Condition(workflow="v")), [start(RUN)], None),
        (Condition(errors=True, not_=Condition(action="search")), [failure(RUN, 1)], [failure(RUN, 1), action(2)]),
    ],
)
def test_a_condition_is_for_these_runs_and_not_for_those(condition, yes, no):
    assert yes is None or matches(condition, *yes)
    assert no is None or not matches(condition, *no)


def test_an_agent_is_seen_in_any_event():
    spoken = msgspec.structs.replace(event(RUN, 1), agent="planner")
    assert matches(Condition(agent="plan*"), start(RUN), spoken)
    assert not matches(Condition(agent="plan*"), start(RUN))


CONDITIONS = [
    *(Condition(errors=True), Condition(errors=False), Condition(workflow="w"), Condition(workflow="v")),
    *(Condition(status="completed"), Condition(action="search"), Condition(tag="beta"), Condition(slower_than=10)),
]
nested = st.recursive(
    st.sampled_from(CONDITIONS),
    lambda inner: st.builds(
        Condition, any=st.lists(inner, max_size=2), all=st.lists(inner, max_size=2), not_=st.none() | inner
    ),
    max_leaves=6,
)
listed = st.lists(st.builds(Policy, when=nested, rate=st.sampled_from([None, 0.0, 0.3, 1.0])), max_size=3)
stories = st.lists(st.sampled_from([start, event, failure, "act", "end"]), min_size=1, max_size=6)


def told(story):
    makers = {"act": lambda run, seq: action(seq), "end": end, start: lambda run, seq: start(run)}
    return [makers.get(each, each)(RUN, seq) for seq, each in enumerate(story)]


@given(listed, stories, st.integers(0, 6), st.sampled_from([0.0, 0.3, 1.0]))
def test_what_is_sure_of_a_run_before_its_end_is_so_at_its_end(policies, story, cut, rate):
    events = told(story)
    compiled = Policies(SampleSettings(policies=policies, rate=rate))
    early = compiled.outlook(facts_of(*(events[:cut] or events[:1])))
    late = compiled.decide(facts_of(*events), 0.0)
    if early.fate is not Fate.OPEN:
        assert late.keep is (early.fate is Fate.KEPT)
    if early.sure:
        assert early.decision == late
    elif early.fate is Fate.KEPT:
        assert early.decision.weight >= late.weight


@given(st.permutations(range(5)), st.lists(st.integers(0, 4), max_size=4))
def test_events_that_come_twice_or_in_another_order_are_counted_once(order, again):
    events = [start(RUN), action(1, tokens=5, cost=0.5), action(2, tokens={"input": 1}), failure(RUN, 3), end(RUN, 4)]
    run = facts_of(*(events[place] for place in [*order, *again]))
    assert (run.events, run.counts["actions"], run.tokens, run.cost) == (5, 2, {"total": 6, "input": 1}, 0.5)
    assert (run.status, run.failed, run.has_beginning) == ("completed", True, True)


def test_what_a_run_came_to_is_what_its_document_says():
    events = [
        start(RUN),
        event(RUN, 1, types.ITERATION_START, iteration_id=1),
        action(2, tokens={"input": 7, "output": 2, "total": 10}, cost=0.25),
        action(3, tokens=True, cost="free"),
        action(4, tokens=1e300, cost=0.5),
        event(RUN, 5),
        event(RUN, 6, types.RESOURCE, resource_name="x"),
        failure(RUN, 7),
        end(RUN, 8),
    ]
    events[1] = msgspec.structs.replace(events[1], iteration="1" * 16)
    run, summary = facts_of(*events), summarise(collect(events)[RUN])
    assert {**run.counts, "events": run.events} == summary.counts
    assert (run.tokens, run.cost, run.status) == (summary.tokens, summary.cost_usd, summary.final_status)


def test_a_number_that_no_float_holds_is_no_failure_and_no_cost():
    hostile = msgspec.structs.replace(
        action(1), data=msgspec.Raw(b'{"status": 1e999, "cost": 1e999, "action_name":"a"}')
    )
    run = facts_of(hostile)
    assert (run.failed, run.cost, run.actions) == (False, 0.0, {"a"})


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"\xff", b'{"run":1}', b"[" * 100_000, b'{"run":"r"}'])
def test_what_is_no_event_is_refused(value):
    with pytest.raises(DecodeError, match="not an event"):
        glance(value)


EVENT = msgspec.json.decode(encode(msgspec.structs.replace(failure(RUN, 1), iteration="1" * 16, agent="planner")))


@pytest.mark.parametrize("wrong", [None, 7.5, [], "\udcff", {"message": "\udcff"}])
@pytest.mark.parametrize("name", ["id", "seq", "pid", "run", "workflow", "type", "ts", "iteration", "agent", "data"])
def test_what_the_next_stages_cannot_read_is_refused_before_it_is_passed_on(name, wrong):
    without = {key: value for key, value in EVENT.items() if key != name}
    for fields in (EVENT | {name: wrong}, without):
        value = json.dumps(fields, ensure_ascii=False).encode(errors="surrogateescape")
        try:
            decode(value)
        except DecodeError:
            with pytest.raises(DecodeError, match="not an event"):
                glance(value)
        else:
            glance(value)


def test_a_limit_keeps_its_number_a_second_and_its_weights_sum_up_to_all():
    limit = Limit(2.0, lambda run: 1.0)
    outcomes = [limit(facts_of(start(RUN)), tenth / 10) for tenth in range(101)]
    kept = [outcome.weight for outcome in outcomes if outcome.keep]
    assert 20 <= len(kept) <= 23
    assert sum(kept) == 101 - sum(1 for _ in itertools.takewhile(lambda each: not each.keep, reversed(outcomes)))


def test_a_limit_of_bytes_lets_a_run_pass_that_is_larger_than_a_second_allows_and_then_waits():
    limit = Limit(100.0, lambda run: run.bytes)
    run = facts_of(start(RUN))
    assert run.bytes > 100
    assert [limit(run, now).keep for now in (0.0, 1.0, 2.0, 3.0)] == [True, False, True, False]


def test_rare_kinds_are_kept_more_often_and_about_the_share_of_all():
    found = rates({"often": 10_000.0, "now and then": 1_000.0, "once": 1.0}, 0.1)
    assert found["once"] == 1.0
    assert found["often"] < found["now and then"] < 1.0
    kept = found["often"] * 10_000 + found["now and then"] * 1_000 + 1
    assert math.isclose(kept, 0.1 * 11_001, rel_tol=0.01)


@given(st.dictionaries(st.text(max_size=3), st.floats(0.5, 1e6), max_size=20), st.floats(0.001, 1.0))
def test_the_rates_of_any_kinds_are_probabilities_that_keep_at_least_the_share(averages, share_):
    found = rates(averages, share_)
    assert found.keys() == averages.keys()
    assert all(0 < rate <= 1 for rate in found.values())
    counts = {key: max(1.0, average) for key, average in averages.items()}
    assert sum(found[key] * counts[key] for key in counts) >= share_ * sum(counts.values()) * (1 - 1e-9)


def test_adaptive_rates_follow_what_comes():
    adaptive = Adaptive(0.1, interval=10.0)
    assert {adaptive.rate("a", 0.0) for _ in range(1000)} == {0.1}
    adaptive.rate("b", 1.0)
    assert adaptive.rate("b", 10.0) == 1.0
    assert adaptive.rate("a", 10.0) < 0.2
    assert adaptive.rate("new", 11.0) == 1.0


def test_an_adaptive_policy_tells_the_rate_of_the_run_s_kind():
    policies = Policies(SampleSettings(policies=[Policy(rate=0.2, adaptive_by=["status", "error"])]))
    decisions = [policies.decide(facts_of(start(f"{n:x}"), end(f"{n:x}", 1)), 0.0) for n in range(50)]
    assert {each.rate for each in decisions} == {0.2}
    assert {each.keep for each in decisions} == {True, False}
    assert all(each.keep == (share(f"{n:x}") < 0.2) for n, each in enumerate(decisions))


def is_long(run):
    return run.events > 1


def broken(run):
    raise ValueError(run)


def test_a_function_of_one_s_own_decides_at_the_end():
    own = Condition(custom=f"{__name__}:is_long")
    assert matches(own, start(RUN), event(RUN, 1))
    assert not matches(own, start(RUN))


def test_a_function_that_raises_does_not_match_and_is_counted():
    policies = Policies(SampleSettings(policies=[Policy(Condition(custom=f"{__name__}:broken"))]))
    assert policies.decide(facts_of(start(RUN)), 0.0).reason == "rate"
    assert policies.failures == {f"{__name__}:broken": 1}


@pytest.mark.parametrize("name", ["nowhere", "no.such:function", f"{__name__}:missing", f"{__name__}:RUN", ":x"])
def test_a_function_that_is_not_there_is_a_setting_that_is_wrong(name):
    settings = SampleSettings(policies=[Policy(), Policy(Condition(any=[Condition(custom=name)]))])
    with pytest.raises(ConfigError, match=r"sample\.policies\[1\]\.when\.any\[0\]\.custom.*package\.module:function"):
        Policies(settings)


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (Policy(), "always"),
        (Policy(Condition(errors=True)), "errors"),
        (Policy(Condition(action=["a", "search"], cost_over=0.5), rate=1), "cost_over 0.5, action a|search, rate 1"),
        (Policy(Condition(not_=Condition(workflow="v")), runs_per_second=5), "not (workflow v), 5 runs/s"),
        (Policy(Condition(any=[Condition(tag="x"), Condition(errors=True)])), "any (tag x; errors)"),
        (Policy(Condition(errors=True), name="mine"), "mine"),
    ],
)
def test_a_policy_without_a_name_gives_its_own_words_as_the_reason(policy, reason):
    run = facts_of(action(0, cost=0.75), failure(RUN, 1))
    assert Policies(SampleSettings(policies=[policy])).decide(run, 0.0).reason == reason


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        (Condition(errors=True), False),
        (Condition(agent="a"), True),
        (Condition(action="search"), True),
        (Condition(all=[Condition(errors=True), Condition(any=[Condition(action="x")])]), True),
        (Condition(not_=Condition(agent="a")), True),
        (Condition(any=[Condition(tag="a"), Condition(cost_over=1.0)]), False),
    ],
)
def test_names_are_looked_at_only_where_a_condition_is_about_them(condition, names):
    policies = Policies(SampleSettings(policies=[Policy(condition)]))
    assert policies.looks_at == (NAMES | STATE if names else STATE)


def test_an_event_says_what_conditions_may_see_otherwise_now():
    run = Facts(RUN, "w")
    told = []
    for each in (start(RUN), action(1), action(2), action(3, action_name="plan"), failure(RUN, 4), failure(RUN, 5)):
        value = encode(each)
        told.append(run.hear(glance(value), len(value)))
    assert told == [STATE, NAMES, 0, NAMES, STATE, 0]


@given(
    st.lists(
        st.sampled_from(
            [{"in": 3, "out": 4}, {"in": 3, "total": 9}, {"in": 0.1}, {"in": 1, "out": 0.7}, 7, 0.3, None, {}]
        ),
        max_size=100,
    ),
    st.integers(0, 99),
)
def test_tokens_come_to_the_same_however_many_are_added_up_together_and_whoever_asks_in_between(stated, asked):
    run, expected = Facts(RUN, "w"), {}
    for number, tokens in enumerate(stated):
        value = encode(action(number, tokens=tokens))
        run.hear(glance(value), len(value))
        add_tokens(expected, tokens)
        if number == asked:
            assert run.tokens == expected
    assert run.tokens == expected


def test_tokens_in_fractions_come_to_the_same_in_any_groups():
    stated = [{"in": 0}] * 31 + [{"in": 0.123}] + [{"in": 1}] * 32
    run, expected = Facts(RUN, "w"), {}
    for number, tokens in enumerate(stated):
        value = encode(action(number, tokens=tokens))
        run.hear(glance(value), len(value))
        add_tokens(expected, tokens)
    assert run.tokens == expected
