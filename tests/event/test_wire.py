"""An event put together from its parts is the event as the encoder writes it."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tailrace.event import Event, decode, types, wire
from tailrace.event.ids import text_of

TEXT = st.text(max_size=60)
NODE = st.sampled_from(["", "00f067aa0ba902b7"])
PAYLOAD = st.dictionaries(TEXT, st.one_of(st.none(), st.booleans(), st.integers(-9, 9), TEXT), max_size=4)


@given(
    st.sampled_from(sorted(types.CODES)),
    st.integers(0, 2**63),
    st.integers(0, 2**31),
    st.integers(0, 250_000_000_000 * 1_000_000 - 1),
    st.tuples(TEXT, TEXT, NODE, NODE, NODE),
    PAYLOAD,
)
def test_what_is_composed_is_read_back_as_it_was_meant(type_, seq, n, microseconds, place, payload):
    workflow, agent, *nodes = place
    named = dict(zip(("iteration", "interaction", "action"), nodes, strict=True))
    shared = wire.share("01fe", "r" * 32, workflow, **named, agent=agent)
    data = msgspec.json.encode(payload)
    value = wire.compose(shared, seq, types.CODES[type_], microseconds, n, data)
    assert len(value) <= len(shared) + len(data) + wire.ENVELOPE_BYTES
    assert decode(value) == Event(
        id=f"01fe-{seq}",
        seq=seq,
        pid="01fe",
        run="r" * 32,
        workflow=workflow,
        type=type_,
        ts=text_of(microseconds),
        **named,
        agent=agent,
        n=n,
        data=msgspec.Raw(data),
    )


def test_the_numbers_of_types_stay_what_they_are():
    """They stand in spools that an older version left: a number is never used for another type."""
    assert types.CODES == {
        "run.start": 1,
        "run.end": 2,
        "iteration.start": 3,
        "iteration.end": 4,
        "interaction.start": 5,
        "interaction.end": 6,
        "action": 7,
        "action.start": 8,
        "action.end": 9,
        "resource": 10,
        "error": 11,
        "log": 12,
        "dropped": 13,
    }
