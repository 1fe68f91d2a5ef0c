"""Totals name by name."""

from __future__ import annotations

import msgspec
import pytest

from tailrace.document import columns
from tailrace.document.columns import added_up


@pytest.fixture(autouse=True)
def no_kinds(monkeypatch):
    monkeypatch.setattr(columns, "_kinds", columns._Kinds())


def raws(*values):
    return [msgspec.Raw(value.encode()) for value in values]


def test_what_names_the_same_whole_numbers_is_added_up_by_name():
    assert added_up(raws('{"in":1,"out":2}', '{"out": 30, "in": 20}')) == {"in": 21, "out": 32, "total": 53}


def test_a_total_that_all_state_is_believed():
    assert added_up(raws('{"in":1,"total":5}', '{"in":2,"total":5}')) == {"in": 3, "total": 10}


@pytest.mark.parametrize(
    "values",
    [
        [],
        ["7"],
        ["{}"],
        ["null"],
        ["1e400"],
        ['{"in":1}', '{"out":1}'],
        ['{"in":1}', '{"in":1,"out":1}'],
        ['{"in":1,"out":1}', '{"in":1}'],
        ['{"in":1}', '{"in":1.0}'],
        ['{"in":1}', '{"in":true}'],
        ['{"in":1}', '{"in":"1"}'],
        ['{"in":1}', '{"in":-1}'],
        ['{"in":1}', '{"in":1000000000000000}'],
        ['{"in":1}', '{"in":1e400}'],
        ['{"in":1}', "{}"],
        [f"{{{','.join(f'{chr(34)}{n}{chr(34)}:1' for n in range(17))}}}"],
        [r'{"a\nb":1}'],
    ],
)
def test_all_else_is_left_to_who_looks_at_each(values):
    assert added_up(raws(*values)) is None


def test_however_many_kinds_come_few_are_kept():
    for number in range(100):
        expected = {f"n{number}": 2, "total": 2} if number < 64 else None
        assert added_up(raws(f'{{"n{number}":2}}')) == expected
    assert len(columns._kinds) == 64
    assert added_up(raws('{"n1":2}')) == {"n1": 2, "total": 2}
