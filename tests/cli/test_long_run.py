import json
from functools import reduce

import pytest

from tailrace.document import join
from tailrace.document.pages import contents
from tailrace.document.restore import restore
from tailrace.document.view import render
from tests.cli.story import RUN, Story, finished


@pytest.fixture
def long_run(tailrace):
    story = Story().add("run.start", {"tags": ["beta"]})
    for number in range(30):
        story.add("log", {"level": "INFO", "message": f"{number} " + "x" * 100_000}, agent="planner")
    story.add("run.end", {"final_status": "completed"})
    tailrace.store(story)
    return story


def test_a_long_run_is_shown_as_its_totals_and_its_pages(tailrace, long_run):
    result = tailrace("show", RUN[-8:])
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert lines[0].split()[:2] == ["research", "completed"]
    assert "1 agent" in lines[0]
    table = [line.split() for line in lines[-3:]]
    assert table[0] == ["page", "events", "from", "took"]
    assert [row[0] for row in table[1:]] == ["1", "2"]
    assert sum(int(row[1]) for row in table[1:]) == 30
    assert f"`tailrace show {RUN[-8:]} --page 1` to 2" in result.stderr
    assert "page" not in tailrace("runs").stdout


def test_a_page_is_shown_as_a_tree_of_what_it_holds(tailrace, long_run):
    first, second = (tailrace("show", RUN, "--page", number).stdout for number in "12")
    assert "INFO  0 xxx" in first
    assert "INFO  29 xxx" not in first
    assert "INFO  29 xxx" in second
    assert "note:" not in first + second


def test_json_of_a_long_run_is_its_header_and_then_each_page(tailrace, long_run):
    header, *pages = (line.encode() for line in tailrace("show", RUN, "-o", "json").stdout.splitlines())
    assert len(contents(header)) == len(pages) == 2
    assert render(reduce(join, map(restore, [header, *pages]))) == render(long_run.document)
    assert tailrace("show", RUN, "-o", "json", "-p", "2").stdout.encode() == pages[1] + b"\n"
    (listed,) = tailrace("runs", "-o", "json").stdout.splitlines()
    counts = json.loads(render(long_run.document))["counts"]
    assert json.loads(listed)["counts"] == json.loads(header)["counts"] == counts


def test_a_long_run_is_exported_as_its_header_and_its_pages(tailrace, long_run):
    result = tailrace("export")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == tailrace("show", RUN, "-o", "json").stdout


@pytest.mark.parametrize(("number", "pages"), [("0", "2 pages"), ("3", "2 pages")])
def test_a_page_that_a_long_run_does_not_have_is_named(tailrace, long_run, number, pages):
    result = tailrace("show", RUN, "--page", number)
    assert (result.returncode, result.stdout) == (1, "")
    assert f"the run has no page {number}; it has {pages}" in result.stderr


def test_a_short_run_has_one_page(tailrace):
    tailrace.store(finished())
    assert tailrace("show", RUN, "--page", "1").stdout == tailrace("show", RUN).stdout
    assert "it has 1 page\n" in tailrace("show", RUN, "--page", "2").stderr
