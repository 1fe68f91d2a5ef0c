"""The document of a dropped run, and what becomes of it when the run comes back."""

import msgspec

from tailrace.document import collect, join
from tailrace.document.restore import restore
from tailrace.document.summary import summarise
from tailrace.document.view import render
from tailrace.event import types
from tests.document.making import RUN, Story, at

STUB = {
    "rate": 0.01,
    "reason": "rate",
    "state": "complete",
    "final_status": "completed",
    "start_time": at(0),
    "end_time": at(9),
    "agents": ["planner"],
    "counts": {"actions": 2, "events": 7},
    "tokens": {"total": 48},
    "cost_usd": 0.25,
}


def stub(**changes):
    story = Story()
    story.tell(types.RUN_DROPPED, {**STUB, **changes}, pid="sampler", n=-1)
    return story.document


def run():
    story = Story()
    story.tell(types.RUN_START, {"verbosity": "INFO"})
    return story.tell(types.ERROR, {"error_msg": "late"}).tell(types.RUN_END, {"final_status": "completed"}).document


def seen(document):
    return msgspec.json.decode(render(document))


def test_a_stub_says_what_the_sampler_counted_and_that_it_is_one():
    shown = seen(stub())
    assert {name: shown[name] for name in STUB if name not in {"rate", "reason", "counts"}} == {
        name: value for name, value in STUB.items() if name not in {"rate", "reason", "counts"}
    }
    assert shown["counts"] == {
        **dict.fromkeys(("iterations", "interactions", "resources", "errors", "logs"), 0),
        **STUB["counts"],
    }
    sampling = shown["sampling"]
    assert (sampling["rate"], sampling["reason"], sampling["weight"], sampling["stub"]) == (0.01, "rate", 0.0, True)
    assert shown["integrity"]["complete"] is False


def test_a_stub_is_listed_like_the_run_that_it_stands_for():
    summary = summarise(stub())
    assert (summary.final_status, summary.tokens, summary.cost_usd) == ("completed", {"total": 48}, 0.25)
    assert (summary.weight, summary.stub) == (0.0, True)
    kept = summarise(run())
    assert (kept.weight, kept.stub) == (1.0, False)


def test_a_stub_joined_with_the_run_is_the_run_and_says_of_the_stub_only_that_it_was():
    whole = run()
    joined = seen(join(stub(), whole))
    (decision,) = joined["sampling"].pop("decisions")
    assert decision["type"] == types.RUN_DROPPED
    assert joined == seen(whole)


def test_a_stub_comes_back_from_its_json_and_joins_in_any_order():
    later = stub(counts={"events": 8}, cost_usd=0.5)
    assert render(restore(render(stub()))) == render(stub())
    both, other = join(stub(), later), join(later, stub())
    assert render(both) == render(other)
    assert render(restore(render(both))) == render(both)


def test_the_fullest_of_several_stubs_is_shown():
    many = [stub(counts={"events": events}, cost_usd=float(events)).events["sampler-0"] for events in (7, 9, 8)]
    renamed = [msgspec.structs.replace(event, id=f"sampler-{n}", seq=n) for n, event in enumerate(many)]
    assert seen(collect(renamed)[RUN])["cost_usd"] == 9.0


def test_a_stub_that_no_reader_understands_hides_nothing_and_raises_nothing():
    story = Story().tell(types.RUN_DROPPED, {"counts": "many"}, pid="sampler", n=-1)
    shown = seen(story.document)
    assert (shown["state"], shown["sampling"]["stub"], shown["sampling"]["weight"]) == ("open", True, 0.0)
    assert restore(render(story.document)) == story.document
