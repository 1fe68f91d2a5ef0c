"""A place as W3C headers: what is written is read back, and nothing else is believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.logger.headers import Place, RejectedError, fields_of, read, written

NOW = 1_790_000_000.0
RUN = "0190a1b2c3d47000800000001234abcd"
ITERATION, INTERACTION, ACTION = "1" * 16, "2" * 16, "3" * 16
PARENT = f"00-{RUN}-{ACTION}-01"
STATE = f"tailrace={RUN}-{ITERATION}-{INTERACTION}-{ACTION}"
BAGGAGE = "tailrace.workflow=support%20bot,tailrace.agent=planner"
PLACE = Place(PARENT, RUN, ITERATION, INTERACTION, ACTION, "support bot", "planner")
FOREIGN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def parsed(allowed=(), max_bytes=8192, **fields):
    return read({name: [value] for name, value in fields.items()}, max_bytes=max_bytes, allowed=allowed, now=NOW)


def rejected(**fields):
    with pytest.raises(RejectedError) as caught:
        parsed(**fields)
    return caught.value.reason


def test_a_place_reads_as_it_was_written():
    assert written(PLACE, {}) == {"traceparent": PARENT, "tracestate": STATE, "baggage": BAGGAGE}
    assert parsed(**written(PLACE, {})) == PLACE


names = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20).filter(str.isprintable)
nodes = st.sampled_from(["", "1" * 16, "f" * 16])


@given(
    nodes, nodes, nodes, names.filter(bool), names, st.dictionaries(st.sampled_from(["a", "b.c"]), names, max_size=2)
)
def test_any_place_reads_as_it_was_written(iteration, interaction, action, workflow, agent, baggage):
    span = action or interaction or iteration or RUN[16:]
    kept = {name: value for name, value in baggage.items() if value}
    place = Place(f"00-{RUN}-{span}-01", RUN, iteration, interaction, action, workflow, agent, kept)
    assert parsed(allowed={"a", "b.c"}, **written(place, {})) == place


@given(st.dictionaries(st.sampled_from(["traceparent", "tracestate", "baggage"]), st.text(max_size=80)), st.data())
def test_no_text_is_read_as_anything_but_a_place_nothing_or_a_rejection(fields, data):
    whole = {"traceparent": PARENT, "tracestate": STATE, "baggage": BAGGAGE}
    for name in data.draw(st.sets(st.sampled_from(sorted(whole)))):
        fields[name] = whole[name]
    try:
        place = read(fields_of(fields), max_bytes=8192, now=NOW)
    except RejectedError:
        return
    assert place is None or place.run in {"", RUN}


def test_without_a_traceparent_there_is_nothing():
    assert parsed() is None
    assert parsed(tracestate=STATE, baggage=BAGGAGE) is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        PARENT[:-1],
        PARENT.upper(),
        PARENT.replace("-", "_"),
        PARENT + "-00",
        "ff" + PARENT[2:],
        f"00-{'0' * 32}-{ACTION}-01",
        f"00-{RUN}-{'0' * 16}-01",
        f"00-{'g' * 32}-{ACTION}-01",
        PARENT + ",x",
    ],
)
def test_a_traceparent_that_is_none_is_rejected(value):
    assert rejected(traceparent=value, tracestate=STATE) == "traceparent"


def test_a_newer_version_of_traceparent_is_read_by_its_first_four_fields():
    place = parsed(traceparent=f"01-{RUN}-{ACTION}-01-more", tracestate=STATE)
    assert (place.run, place.traceparent) == (RUN, f"01-{RUN}-{ACTION}-01")


@pytest.mark.parametrize(
    "value",
    [
        "tailrace=",
        "tailrace=x",
        STATE[:-1],
        STATE.upper().replace("TAILRACE", "tailrace"),
        f"{STATE},{STATE}",
        STATE + "-1",
        STATE.replace("-", ";"),
    ],
)
def test_a_member_of_tracestate_that_tailrace_does_not_write_is_rejected(value):
    assert rejected(traceparent=PARENT, tracestate=value) == "tracestate"


@pytest.mark.parametrize("run", ["0" * 32, "f" * 32, "4bf92f3577b34da6a3ce929d0e0e4736", f"ffff{RUN[4:]}"])
def test_a_run_id_that_tailrace_does_not_make_or_from_the_future_is_rejected(run):
    assert rejected(traceparent=PARENT, tracestate=STATE.replace(RUN, run)) == "run"


@pytest.mark.parametrize(
    "value",
    [
        "tailrace.workflow=a%0ab",
        "tailrace.workflow=%ff",
        "tailrace.workflow=a,tailrace.workflow=b",
        "tailrace.agent=" + "a" * 1001,
        "tailrace.workflow=%1b%5b2J",
        "tailrace.agent=%e2%80%ae",
        ",".join(["a=b"] * 181),
    ],
)
def test_a_baggage_that_injects_repeats_or_overflows_is_rejected(value):
    assert rejected(traceparent=PARENT, tracestate=STATE, baggage=value) == "baggage"


def test_headers_over_the_limit_are_rejected_before_they_are_read():
    assert rejected(traceparent=PARENT, baggage="x" * 9000) == "oversize"
    assert parsed(max_bytes=400, traceparent=PARENT, tracestate=STATE, baggage=BAGGAGE) == PLACE


@pytest.mark.parametrize("value", ["00-\r\nSet-Cookie: a", "caf\u00e9", b"\xff", b"00\x00", 7, None, [b"\x1b"]])
def test_what_is_not_printable_ascii_is_rejected(value):
    with pytest.raises(RejectedError) as caught:
        fields_of({"traceparent": value})
    assert caught.value.reason == "malformed"


def test_two_traceparents_are_rejected():
    with pytest.raises(RejectedError, match="more than one"):
        read(fields_of([("traceparent", PARENT), ("Traceparent", PARENT)]), max_bytes=8192, now=NOW)


@pytest.mark.parametrize(
    "carrier",
    [
        {"Traceparent": PARENT, "TRACESTATE": STATE, "other": 7},
        {b"traceparent": PARENT.encode(), b"tracestate": STATE.encode()},
        [("traceparent", PARENT.encode()), ("tracestate", STATE.encode()), ("x", b"\xff")],
        [(b"traceparent", PARENT.encode()), (b"tracestate", STATE.encode())],
        (("traceparent", [PARENT]), ("tracestate", bytearray(STATE.encode()))),
    ],
)
def test_headers_are_found_in_mappings_and_lists_of_pairs_in_any_case(carrier):
    assert read(fields_of(carrier), max_bytes=8192, now=NOW).action == ACTION


def test_of_others_baggage_only_what_is_allowed_comes_in():
    baggage = f"{BAGGAGE},tenant=acme;prop=1,secret=x"
    assert parsed(allowed={"tenant"}, traceparent=PARENT, tracestate=STATE, baggage=baggage).baggage == {
        "tenant": "acme"
    }


def test_the_run_is_told_by_the_trace_where_the_tracestate_was_lost():
    place = parsed(traceparent=PARENT, baggage=BAGGAGE)
    assert (place.run, place.interaction, place.workflow) == (RUN, "", "support bot")


def test_a_trace_of_another_system_names_no_run():
    place = parsed(traceparent=FOREIGN, tracestate="congo=t61rcWkgMzE", baggage="tenant=acme")
    assert place == Place(FOREIGN)


def test_a_traceparent_that_another_system_wrote_stays_and_the_run_stands_beside_it():
    there = {"traceparent": [FOREIGN], "tracestate": ["congo=t61"], "baggage": ["tenant=acme,tailrace.agent=old"]}
    told = written(PLACE, there)
    assert told["traceparent"] == FOREIGN
    assert told["tracestate"] == f"{STATE},congo=t61"
    assert told["baggage"] == f"{BAGGAGE},tenant=acme"
    assert parsed(**told).run == RUN


def test_headers_that_tailrace_wrote_before_are_replaced():
    before = {name: [value] for name, value in written(PLACE, {}).items()}
    inner = Place(f"00-{RUN}-{INTERACTION}-01", RUN, "", INTERACTION, "", "support bot", "critic")
    assert written(inner, before) == written(inner, {})


def test_a_span_of_another_system_in_the_runs_own_trace_stays():
    there = {"traceparent": [f"00-{RUN}-{'9' * 16}-01"], "tracestate": [STATE]}
    assert written(PLACE, there)["traceparent"] == f"00-{RUN}-{'9' * 16}-01"
