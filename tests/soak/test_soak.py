"""The short form of `make soak`, and that it would notice."""

import pytest

from tests.soak.check import Tally, Verdict
from tests.soak.kills import kill_batch


@pytest.mark.timeout(600)
def test_a_hundred_killed_agents_lose_and_double_nothing(kafka_url, tmp_path):
    verdict = kill_batch(kafka_url, tmp_path / "home", seed=20, rounds=100, longest=0.1)
    assert verdict.ok, verdict


def test_the_tally_tells_each_fault_from_what_may_be():
    tally = Tally({1: 3, 2: 1, 3: 1})
    seen = [("a", 1, 1), ("a", 1, 3), ("a", 1, 2), ("a", 1, 3), ("b", 1, 4), ("c", 2, 3), ("d", 3, 1)]
    assert tally.read(seen) == 1
    assert (tally.again(), tally.extra(), tally.strange(), tally.lost()) == (1, 1, 1, 1)


@pytest.mark.parametrize("fault", ["lost", "doubled", "disordered", "strange", "gaps", "unended", "left"])
def test_one_fault_fails_the_verdict(fault):
    assert Verdict(accepted=9, duplicates=3, extra=1).ok
    assert not Verdict(accepted=9, **{fault: ["a-spool"] if fault == "left" else 1}).ok
    assert not Verdict().ok
