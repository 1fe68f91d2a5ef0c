from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.document.intervals import Intervals

numbers = st.lists(st.integers(0, 40))


def built(added):
    intervals = Intervals()
    for number in added:
        intervals.add(number)
    return intervals


def members(spans):
    return {number for low, high in spans for number in range(low, high + 1)}


@given(numbers)
def test_it_holds_what_a_set_holds(added):
    intervals = built(added)
    assert members(intervals.spans()) == set(added)
    assert intervals.count() == len(set(added))
    assert intervals.expected() == max(added, default=-1) + 1
    assert members(intervals.gaps()) == set(range(intervals.expected())) - set(added)


@given(numbers)
def test_spans_and_gaps_are_sorted_and_never_touch(added):
    intervals = built(added)
    for spans in (intervals.spans(), intervals.gaps()):
        assert all(low <= high for low, high in spans)
        assert all(before[1] + 1 < after[0] for before, after in pairwise(spans))


@given(numbers, numbers)
def test_union_is_the_union_of_sets_and_changes_neither(a, b):
    first, second = built(a), built(b)
    assert first.union(second) == second.union(first) == built(a + b)
    assert (first, second) == (built(a), built(b))


@given(numbers)
def test_spans_give_the_same_set_back_in_any_order_and_overlapping(added):
    intervals = built(added)
    assert Intervals(intervals.spans()) == intervals
    assert Intervals([[number, number] for number in added]) == intervals
    assert Intervals([*reversed(intervals.spans()), *intervals.spans()]) == intervals


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted)))
def test_spans_that_overlap_are_merged(spans):
    assert members(Intervals(spans).spans()) == members(spans)
    assert Intervals(spans) == built(sorted(members(spans)))


@given(numbers, numbers)
def test_equal_means_the_same_numbers(a, b):
    assert (built(a) == built(b)) == (set(a) == set(b))


def test_what_it_gave_out_is_not_its_own():
    intervals = Intervals([[0, 1]])
    intervals.spans()[0][1] = 7
    assert intervals == Intervals([[0, 1]])
    union = intervals.union(Intervals())
    union.add(2)
    assert intervals.spans() == [[0, 1]]


def test_ascending_numbers_stay_one_span():
    intervals = built(range(1_000))
    assert intervals.spans() == [[0, 999]]
    assert repr(intervals) == "Intervals([[0, 999]])"


def test_it_is_no_key_of_a_dict():
    with pytest.raises(TypeError, match="unhashable"):
        hash(Intervals())
