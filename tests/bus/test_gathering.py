"""Who keeps up lets records gather; who is behind, or has waited, reads on at once."""

import pytest

from tailrace.bus import Batch, Received
from tailrace.bus.gathering import TURN_SECONDS, rest_after


def batch(count, size=10):
    return Batch([Received("t", 0, number, b"k", b"x" * size, (), 1.0) for number in range(count)])


def test_after_a_small_batch_the_turn_is_waited_out():
    assert rest_after(batch(10), 0.0) == TURN_SECONDS
    assert rest_after(batch(10), TURN_SECONDS / 2) == pytest.approx(TURN_SECONDS / 2)


def test_a_turn_that_took_long_enough_is_not_made_longer():
    assert rest_after(batch(10), 5.0) == 0.0


@pytest.mark.parametrize(("count", "size"), [(0, 0), (500, 10), (3, 100_000)])
def test_after_an_empty_or_a_large_batch_nothing_is_waited_for(count, size):
    assert rest_after(batch(count, size), 0.0) == 0.0
