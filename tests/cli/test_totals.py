"""The last line of `tailrace runs`: against a truth that is known, whatever was sampled."""

import json
import random

import pytest

from tailrace.cli import runs
from tailrace.cli.totals import Totals
from tailrace.document import Summary
from tests.cli.story import Story

KEPT = {"rate": 0.25, "reason": "rate", "weight": 4.0}


def story(number, *, sampled=None, cost=0.1):
    made = Story(run=f"0190a1b2c3d4700080000000{number:08x}")
    made.add("run.start").add("action", {"action_name": "chat", "tokens": {"total": 10}, "cost": cost})
    if sampled:
        made.add("run.sampled", sampled)
    return made.add("log", {"level": "INFO", "message": "findable"}).add("run.end", {"final_status": "completed"})


def stub(number, *, cost=0.1):
    dropped = {
        "rate": 0.25,
        "reason": "rate",
        "state": "complete",
        "final_status": "completed",
        "cost_usd": cost,
        "start_time": "2026-01-01T00:00:00.000000Z",
        "counts": {"actions": 1, "events": 4},
        "tokens": {"total": 10},
    }
    return Story(run=f"0190a1b2c3d4700080000000{number:08x}", pid="sampler").add("run.dropped", dropped)


def total(tailrace, *query, **environment):
    result = tailrace("runs", *query, **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()[-1]


def test_where_nothing_was_sampled_the_total_is_the_plain_sum(quick):
    quick.store(*(story(n) for n in range(3)))
    assert total(quick) == "total: 3 runs, 3 actions, 30 tokens, $0.3"


def test_with_stubs_each_run_counts_once_so_the_total_is_that_of_all_there_were(quick):
    quick.store(*(story(n, sampled=KEPT) for n in range(2)), *(stub(n) for n in range(2, 8)))
    assert total(quick) == "total: 8 runs (2 kept, 6 stubs), 8 actions, 80 tokens, $0.8"
    assert total(quick, "status:completed") == total(quick)


def test_without_stubs_a_kept_run_counts_as_often_as_its_weight_says(quick):
    quick.store(*(story(n, sampled=KEPT) for n in range(2)), story(2))
    expected = "total: about 9 runs (3 kept), 9 actions, 90 tokens, $0.9"
    assert total(quick, TAILRACE_SAMPLE__STUBS="false") == expected


def test_words_which_no_stub_holds_are_counted_by_weight_and_a_restored_run_then_adds_nothing(quick):
    restored = {"rate": 1.0, "reason": "restored", "weight": 0.0}
    quick.store(story(0, sampled=KEPT), story(1, sampled=restored), stub(2), stub(3), stub(4))
    assert total(quick, "findable") == "total: about 4 runs (2 kept), 4 actions, 40 tokens, $0.4"
    assert total(quick) == "total: 5 runs (2 kept, 3 stubs), 5 actions, 50 tokens, $0.5"


def test_json_has_no_line_of_totals(quick):
    quick.store(story(0), stub(1))
    lines = quick("runs", "-o", "json").stdout.splitlines()
    assert {json.loads(line)["run_id"][-1] for line in lines} == {"0", "1"}


def test_a_search_has_no_line_of_totals(quick):
    quick.store(story(0))
    assert "total" not in quick("search", "findable").stdout


def test_the_total_is_of_all_that_match_and_not_only_of_those_listed(quick, monkeypatch):
    monkeypatch.setattr(runs, "MAX_PAGE", 3)
    quick.store(*(story(n) for n in range(8)))
    assert total(quick, "-n", "2") == "total: 8 runs, 8 actions, 80 tokens, $0.8"


def test_of_very_many_runs_the_newest_are_added_up_and_that_is_said(quick, monkeypatch):
    monkeypatch.setattr(runs, "MAX_PAGE", 3)
    monkeypatch.setattr(runs, "_MOST_IN_TOTAL", 6)
    quick.store(*(story(n) for n in range(8)))
    assert total(quick, "-n", "2") == ("total: 6 runs, 6 actions, 60 tokens, $0.6 (of the newest 6 runs that match)")


@pytest.mark.parametrize("by_weight", [False, True])
def test_no_order_of_the_runs_gives_another_sum(by_weight):
    draw = random.Random(3)
    found = [
        Summary(str(n), "w", "complete", None, None, None, cost_usd=draw.uniform(0, 1e9) ** draw.choice((1, -1)))
        for n in range(200)
    ]
    costs = set()
    for _ in range(5):
        draw.shuffle(found)
        sums = Totals(by_weight=by_weight)
        sums.add(found)
        costs.add(sums.cost)
    assert len(costs) == 1
