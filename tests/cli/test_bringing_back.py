"""Commands that move whole runs: rebuild, restore, export."""

import json

import msgspec
import pytest

from tailrace.bus import Record
from tailrace.bus.topics import Topics
from tailrace.document.view import render
from tests.cli.story import RUN, finished

OTHER = "c" * 32


@pytest.fixture
def with_runs(quick):
    quick.publish(finished(), finished(OTHER, "other"))
    return quick


def test_a_rebuilt_store_shows_the_same(with_runs, tmp_path):
    before = with_runs("show", RUN, "-o", "json").stdout
    anew = f"sqlite:///{tmp_path / 'anew.db'}"
    result = with_runs("rebuild", "--store", anew)
    assert (result.returncode, result.stdout) == (0, "joined 2 documents into the store\n"), result.stderr
    assert with_runs("show", RUN, "-o", "json", TAILRACE_STORE=anew).stdout == before
    assert with_runs("rebuild", "--store", anew, "--since", "2999-01-01").stdout == (
        "joined 0 documents into the store\n"
    )


def test_a_rebuild_that_had_to_leave_something_out_fails(with_runs):
    with_runs.publish_records(Record(Topics("tailrace").documents, b"k", b"nonsense"))
    result = with_runs("rebuild")
    assert result.returncode == 1
    assert "1 document could not be read or stored" in result.stderr


def test_export_gives_the_document_of_every_run_or_of_those_that_match(with_runs):
    lines = with_runs("export").stdout.splitlines()
    assert sorted(json.loads(line)["run_id"] for line in lines) == sorted([RUN, OTHER])
    (line,) = with_runs("export", "workflow:other").stdout.splitlines()
    assert f"{line}\n" == with_runs("show", OTHER, "-o", "json").stdout
    assert with_runs("export", "workflow:none").stdout == ""


def test_export_turns_every_page(with_runs, monkeypatch):
    monkeypatch.setattr("tailrace.cli.export._PAGE", 1)
    assert len(with_runs("export").stdout.splitlines()) == 2


class Report(msgspec.Struct):
    restored: dict[str, int]
    missing: list[str] = []
    incomplete: list[str] = []


asked: list[list[str]] = []
answers: list[Report] = []


async def stand_in(config, bus, run_ids):
    """Of the sampler's own: it says what the test wants."""
    asked.append(list(run_ids))
    return answers.pop()


@pytest.fixture
def restoring(with_runs, monkeypatch):
    monkeypatch.setattr("tailrace.cli.restore.find_restore", lambda: stand_in)
    asked.clear()
    answers.clear()
    return with_runs


def test_restore_takes_whole_ids_short_ones_and_queries_each_run_once(restoring):
    unknown = "d" * 32
    answers.append(Report({RUN: 14, OTHER: 14, unknown: 3}))
    result = restoring("restore", RUN[-8:], unknown, "--query", "agent:planner")
    assert (result.returncode, result.stdout) == (0, "restored 3 runs of 31 events\n"), result.stderr
    assert [sorted(each) for each in asked] == [sorted([RUN, unknown, OTHER])]


def test_restore_fails_and_says_what_is_gone(restoring):
    answers.append(Report({RUN: 2}, missing=[OTHER], incomplete=[RUN]))
    result = restoring("restore", RUN, OTHER)
    assert result.returncode == 1
    assert f"{OTHER}: no event of it is on the bus" in result.stderr
    assert f"{RUN}: restored without its beginning" in result.stderr


def test_a_dry_run_names_the_runs_and_restores_none(restoring):
    result = restoring("restore", "--query", "workflow:other", "--dry-run")
    assert (result.returncode, result.stdout, asked) == (0, f"{OTHER}\n", [])


@pytest.mark.parametrize(("arguments", "code", "told"), [((), 2, "--query"), (("beef",), 1, "give the whole id")])
def test_restore_asks_for_runs_that_it_can_find(restoring, arguments, code, told):
    result = restoring("restore", *arguments)
    assert result.returncode == code
    assert told in result.stderr
    assert asked == []


@pytest.fixture
def dropping(quick):
    """The sampler drops every run."""
    quick.environment |= {f"TAILRACE_SAMPLE__{name}": "0" for name in ("RATE", "GRACE", "DECISION_WAIT")}
    return quick


def test_a_run_that_the_sampler_dropped_is_shown_whole_after_its_restore(dropping):
    dropping.publish(finished(), finished(OTHER, "other"))
    assert "the sampler dropped this run (rate)" in dropping("show", RUN).stdout
    result = dropping("restore", RUN[-8:])
    assert (result.returncode, result.stdout) == (0, "restored 1 run of 14 events\n"), result.stderr
    assert "south is missing" in dropping("show", RUN).stdout
    shown = json.loads(dropping("show", RUN, "-o", "json").stdout)
    whole = msgspec.json.decode(render(finished().document))
    assert shown.pop("sampling")["reason"] == "restored"
    assert shown == {name: value for name, value in whole.items() if name != "sampling"}
    assert "the sampler dropped this run" in dropping("show", OTHER).stdout


def test_what_retention_has_removed_of_a_dropped_run_is_said_when_it_is_restored(dropping):
    story = finished()
    del story.events[0]
    dropping.publish(story)
    result = dropping("restore", RUN, OTHER)
    assert (result.returncode, result.stdout) == (1, "restored 1 run of 13 events\n")
    assert f"{OTHER}: no event of it is on the bus" in result.stderr
    assert f"{RUN}: restored without its beginning" in result.stderr
