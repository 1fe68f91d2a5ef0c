import json

import pytest

from tailrace.document.view import render
from tests.cli.story import RUN, Story, finished, hostile

OTHER = "0190a1b2c3d4700080000000aaaabbbb"
SAME_END = "0190ffffc3d47000800000001234abcd"


def test_runs_lists_the_newest_first_in_a_table(tailrace):
    later = Story(OTHER, "support").add("log").add("run.start").add("log", {"level": "INFO", "message": "hi"})
    tailrace.store(finished(), later)
    result = tailrace("runs")
    assert result.returncode == 0, result.stderr
    header, first, second, total = result.stdout.splitlines()
    assert header.split() == [
        "run",
        "workflow",
        "status",
        "started",
        "duration",
        "agents",
        "actions",
        "errors",
        "tokens",
        "cost",
    ]
    assert first.split()[:3] == ["aaaabbbb", "support", "open"]
    assert second.split()[:3] == ["1234abcd", "research", "completed"]
    assert "2026-01-01 00:00:00" in second
    assert second.split()[-8:] == ["ago", "13.0", "s", "2", "2", "1", "212", "$0.0131"]
    assert total == "total: 2 runs, 2 actions, 1 error, 212 tokens, $0.0131"


def test_the_columns_of_tokens_and_cost_are_left_out_where_there_are_none(tailrace):
    tailrace.store(Story().add("run.start"))
    assert "tokens" not in tailrace("runs").stdout


def test_json_is_one_object_a_line_with_the_names_of_the_document(tailrace):
    tailrace.store(finished(), Story(OTHER, "support").add("run.start"))
    lines = tailrace("runs", "-o", "json").stdout.splitlines()
    summaries = {summary["run_id"]: summary for summary in map(json.loads, lines)}
    assert summaries.keys() == {RUN, OTHER}
    document = json.loads(render(finished().document))
    document |= {"weight": document["sampling"]["weight"], "stub": False}
    assert all(document[name] == value for name, value in summaries[RUN].items())


def test_a_query_narrows_the_list_and_limit_cuts_it(tailrace):
    tailrace.store(finished(), Story(OTHER, "support").add("run.start"))
    assert [
        json.loads(line)["run_id"] for line in tailrace("runs", "workflow:support", "-o", "json").stdout.splitlines()
    ] == [OTHER]
    cut = tailrace("runs", "--limit", "1")
    assert len(cut.stdout.splitlines()) == 3
    assert "more runs match" in cut.stderr


def test_no_match_is_said_on_stderr_and_is_no_failure(tailrace):
    tailrace.store(finished())
    result = tailrace("runs", "status:failed")
    assert (result.returncode, result.stdout) == (0, "")
    assert "no run matches" in result.stderr


def test_search_takes_its_text_literally(tailrace):
    tailrace.store(finished(), Story(OTHER).add("log", {"level": "INFO", "message": "prices compare status:x"}))
    found = {
        text: tailrace("search", *text, "-o", "json").stdout.count("\n")
        for text in [("compare prices",), ("compare", "prices")]
    }
    assert found == {("compare prices",): 1, ("compare", "prices"): 2}
    assert OTHER in tailrace("search", "status:x", "-o", "json").stdout


@pytest.mark.parametrize("given", [RUN, RUN[-8:], RUN[-4:], "0190a1b2c3d47000800000001"])
def test_show_takes_a_full_id_or_a_short_one(tailrace, given):
    tailrace.store(finished(), Story(OTHER).add("run.start"))
    result = tailrace("show", given)
    assert result.returncode == 0, result.stderr
    assert f"run {RUN}" in result.stdout


def test_show_json_is_the_document_byte_for_byte_in_one_line(tailrace):
    tailrace.store(finished())
    assert tailrace("show", RUN, "-o", "json").stdout.encode() == render(finished().document) + b"\n"


def test_an_ambiguous_id_lists_the_candidates(tailrace):
    tailrace.store(finished(), finished(SAME_END))
    result = tailrace("show", "1234abcd")
    assert (result.returncode, result.stdout) == (2, "")
    assert RUN in result.stderr
    assert SAME_END in result.stderr


@pytest.mark.parametrize("given", ["ffff0000ffff", "abc"])
def test_an_unknown_run_says_what_to_try(tailrace, given):
    tailrace.store(finished())
    result = tailrace("show", given)
    assert (result.returncode, result.stdout) == (1, "")
    assert "`tailrace runs` lists them" in result.stderr


def test_reading_where_nothing_is_recorded_says_so_and_leaves_no_file(tailrace):
    for command in (["runs"], ["show", "1234"], ["search", "x"], ["tail"]):
        result = tailrace(*command)
        assert (result.returncode, result.stdout) == (1, "")
        assert "nothing is recorded in" in result.stderr
        assert "tailrace demo" in result.stderr
    assert list(tailrace.directory.iterdir()) == []


def test_hostile_runs_are_listed_and_shown_without_control_characters(tailrace):
    tailrace.store(hostile())
    for command in (["runs"], ["show", "55556666"]):
        shown = tailrace(*command, FORCE_COLOR="1", TERM="xterm-256color").stdout
        colours_only = shown.replace("\x1b[", "<").split("<")
        assert all(part.split("m", 1)[0].replace(";", "").isdigit() for part in colours_only[1:])
        assert all(char in "\n\x1b" or char.isprintable() for char in shown)


def test_output_to_a_pipe_has_no_colour_and_no_cut_lines(tailrace):
    tailrace.store(finished(workflow="research" * 4))
    result = tailrace("runs", COLUMNS="40")
    assert "\x1b" not in result.stdout
    assert "research" * 4 in result.stdout
