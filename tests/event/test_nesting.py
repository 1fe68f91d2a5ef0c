"""Depth is that of brackets outside strings, for any JSON; and other bytes are looked at without harm."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailrace.event.nesting import is_deeper

texts = st.text(alphabet='[]{}"\\ab\n', max_size=6)
values = st.recursive(
    st.none() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)


def depth_of(value):
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@given(values)
def test_json_is_as_deep_as_its_values(value):
    text = json.dumps(value).encode()
    depth = depth_of(value)
    assert not is_deeper(text, depth)
    assert depth == 0 or is_deeper(text, depth - 1)


@given(st.binary(max_size=60), st.integers(0, 5))
@example(b'["\\', 0)
@example(b"]]]]", 0)
def test_of_other_bytes_it_says_one_or_the_other(text, levels):
    assert is_deeper(text, levels) in (True, False)


@pytest.mark.parametrize("hostile", [b'[{"' + b'\\"' * 500_000, b'[{"' + b'\\"' * 500_000 + b"\\", b'"[{' * 300_001])
def test_a_megabyte_made_to_be_looked_at_again_and_again_is_looked_at_once(hostile):
    assert is_deeper(hostile, 1) in (True, False)  # what grew with the square of it would take an hour
