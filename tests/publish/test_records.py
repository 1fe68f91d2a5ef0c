"""What goes to the bus is what a single frame says, however many are put together at once."""

from hypothesis import given
from hypothesis import strategies as st

from tailrace.event import types
from tailrace.publish.records import bundles_of, record_of
from tailrace.spool.frame import WHOLE, Frame, Route

ROUTES = [
    Route("t.events.w", b"0190a1b2c3d47000800000000000abcd", bytes.fromhex("00f067aa0ba902b7"), b'{"pid":"p","id":"p-'),
    Route("t.events.w", b"0190a1b2c3d47000800000000000abce", text=b'{"pid":"q","id":"q-'),
    Route("t.events.other", b"k"),
]
rows = st.tuples(
    st.sampled_from(ROUTES),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    # Some in one millisecond, some at its first and last microsecond.
    st.integers(0, 4_000).map(lambda each: 1_764_324_000_000_000 + each) | st.integers(0, 4_102_444_800_000_000),
    st.sampled_from([WHOLE, *types.CODES.values()]),
    st.binary(max_size=20),
    st.just(0),
)


@given(st.lists(rows, max_size=40))
def test_the_records_of_many_frames_are_those_of_each_in_order(rows):
    made = [(bundle.topic, bundle.key, value, bundle.headers) for bundle in bundles_of(rows) for value in bundle.values]
    alone = [record_of(Frame(*row)) for row in rows]
    assert made == [(record.topic, record.key, record.value, record.headers) for record in alone]
