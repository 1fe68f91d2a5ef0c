"""Old runs are deleted: which, only when told to, and counted."""

import msgspec
import pytest

from tests.cli.story import Story, finished

YOUNG = "0190a1b2c3d4700080000000aaaabbbb"


class Later(Story):
    """A run of 2099."""

    def add(self, type_, data=None, **ids):
        super().add(type_, data, **ids)
        self.events[-1] = msgspec.structs.replace(self.events[-1], ts=self.events[-1].ts.replace("2026-01", "2099-06"))
        return self


def story(number, *, ended=True, workflow="research"):
    made = Story(run=f"0190a1b2c3d4700080000000{number:08x}", workflow=workflow).add("run.start")
    return made.add("run.end", {"final_status": "completed"}) if ended else made


def listed(tailrace):
    return sorted(line.split('"run_id":"')[1][24:32] for line in tailrace("runs", "-o", "json").stdout.splitlines())


@pytest.fixture
def filled(quick):
    quick.store(story(1), story(2, workflow="support"), story(3, ended=False))
    quick.store(Later(YOUNG).add("run.start").add("run.end", {"final_status": "completed"}))
    return quick


def test_old_runs_are_deleted_and_counted_and_young_and_open_ones_stay(filled):
    result = filled("prune", "--older-than", "2026-02-01T00:00:00Z", "--yes")
    assert (result.returncode, result.stdout) == (0, "deleted 2 runs\n")
    assert listed(filled) == ["00000003", "aaaabbbb"]
    assert filled("prune", "--older-than", "2026-02-01T00:00:00Z", "--yes").stdout == "deleted 0 runs\n"


def test_open_runs_go_when_that_is_asked_for(filled):
    result = filled("prune", "--older-than", "2026-02-01T00:00:00Z", "--yes", "--open")
    assert result.stdout == "deleted 3 runs\n"
    assert listed(filled) == ["aaaabbbb"]


def test_a_query_narrows_what_is_deleted_and_the_earlier_of_two_bounds_counts(filled):
    assert filled("prune", "--older-than", "1h", "-y", "--query", "workflow:support").stdout == "deleted 1 run\n"
    nothing = ("--query", "until:2020-01-01T00:00:00Z")
    assert filled("prune", "--older-than", "1h", "-y", *nothing).stdout == "deleted 0 runs\n"
    assert listed(filled) == ["00000001", "00000003", "aaaabbbb"]


def test_a_dry_run_names_the_runs_and_deletes_none(filled):
    result = filled("prune", "--older-than", "1d", "--dry-run")
    assert result.returncode == 0
    assert sorted(line[24:] for line in result.stdout.splitlines()) == ["00000001", "00000002"]
    assert "2 runs would be deleted" in result.stderr
    assert len(listed(filled)) == 4


def test_without_yes_nothing_is_deleted_where_nobody_can_be_asked(filled):
    result = filled("prune", "--older-than", "1d")
    assert (result.returncode, result.stdout) == (1, "")
    assert "2 runs" in result.stderr
    assert "--yes" in result.stderr
    assert len(listed(filled)) == 4


@pytest.mark.parametrize(("answer", "left"), [("y\n", 2), ("\n", 4), ("no\n", 4)])
def test_on_a_terminal_it_asks_and_only_yes_deletes(filled, monkeypatch, answer, left):
    class Terminal:
        def isatty(self):
            return True

        def readline(self):
            return answer

    monkeypatch.setattr("sys.stdin", Terminal())
    result = filled("prune", "--older-than", "1d")
    assert "Delete 2 runs that began before" in result.stderr
    assert result.returncode == (0 if left == 2 else 1)
    assert len(listed(filled)) == left


def test_more_runs_than_are_deleted_together_all_go(quick, monkeypatch):
    monkeypatch.setattr("tailrace.cli.prune._AT_ONCE", 3)
    monkeypatch.setattr("tailrace.cli.export._PAGE", 4)
    quick.store(*(story(n) for n in range(11)), finished())
    assert quick("prune", "--older-than", "1d", "--yes").stdout == "deleted 12 runs\n"
    assert quick("runs").stdout == ""


@pytest.mark.parametrize("given", [(), ("--older-than", "soon"), ("--older-than", "1d", "--query", "agent:")])
def test_an_age_that_is_none_is_a_wrong_use(filled, given):
    assert filled("prune", "--yes", *given).returncode == 2
    assert len(listed(filled)) == 4
