import random
import re
import subprocess
import sys
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.event import ids
from tailrace.event.ids import (
    Clock,
    new_node_id,
    new_producer_id,
    new_run_id,
    parse_time,
    run_started_at,
    text_of,
    time_text,
)

MOMENT = 1_767_225_599_999_999_999  # the last nanosecond of 2025


@pytest.fixture
def at(monkeypatch):
    """Sets the wall clock, in nanoseconds since 1970."""

    def at(nanoseconds):
        monkeypatch.setattr(ids.time, "time_ns", lambda: nanoseconds)

    return at


def test_a_run_id_is_a_uuid_of_version_7_with_the_time_in_front(at):
    at(MOMENT)
    made = [new_run_id() for _ in range(200)]
    for run_id in made:
        assert re.fullmatch("[0-9a-f]{32}", run_id)
        assert UUID(run_id).version == 7
        assert UUID(run_id).variant == "specified in RFC 4122"
        assert int(run_id[:12], 16) == MOMENT // 1_000_000
        assert run_started_at(run_id) == datetime(2025, 12, 31, 23, 59, 59, 999_000, UTC)
    # Every other bit is random: over 200 ids each has been 0 and 1, but for a chance of 74 in 2**199.
    ones = zeros = 0
    for run_id in made:
        ones |= int(run_id, 16)
        zeros |= ~int(run_id, 16)
    random_bits = (0xFFF << 64) | (1 << 62) - 1
    assert ones & random_bits == random_bits
    assert zeros & random_bits == random_bits


def test_run_ids_sort_by_their_millisecond(at):
    made = []
    for milliseconds in (1, 2, 1 << 40):
        at(milliseconds * 1_000_000)
        made.append(new_run_id())
    assert made == sorted(made)


def test_a_producer_id_sorts_by_the_producer_s_start(at):
    at(MOMENT)
    first = new_producer_id()
    at(MOMENT + 1)
    assert re.fullmatch("[0-9a-f]{24}", first)
    assert first[:12] < new_producer_id()[:12]


def test_a_node_id_is_never_all_zero(monkeypatch):
    monkeypatch.setattr(ids, "_random", random.Random())
    monkeypatch.setattr(ids._random, "getrandbits", lambda bits: 0)
    assert new_node_id() == "0000000000000001"


@pytest.mark.parametrize(
    "given_",
    [
        *("", "run-1", "0" * 32, "g" * 32, "0190a1b2c3d4700080000000000000a", "0190a1b2c3d4700080000000000000abc"),
        *("0190A1B2C3D47000800000000000ABCD", "0190a1b2c3d44000800000000000abcd", "0190a1b2c3d47000800000000000abcd\n"),
    ],
)
def test_an_id_of_another_form_carries_no_time(given_):
    assert run_started_at(given_) is None


def test_a_time_beyond_the_calendar_is_none():
    assert run_started_at("ffffffffffff7000800000000000abcd") is None


def test_a_program_that_seeds_random_does_not_repeat_ids(at):
    at(MOMENT)
    random.seed(1)
    first = [new_run_id(), new_node_id(), new_producer_id()]
    random.seed(1)
    assert not {new_run_id(), new_node_id(), new_producer_id()} & set(first)


def test_two_processes_that_seed_random_make_different_ids():
    program = "import random; random.seed(1); from tailrace.event.ids import new_node_id; print(new_node_id())"
    made = {subprocess.check_output([sys.executable, "-c", program]) for _ in range(2)}
    assert len(made) == 2


def test_forked_children_make_other_ids_than_their_parent_and_each_other():
    # In a process of its own, because a fork of the test's process would copy its threads' locks.
    program = """
import os
from tailrace.event.ids import new_node_id
new_node_id()
reader, writer = os.pipe()
for _ in range(2):
    if os.fork() == 0:
        os.write(writer, b"".join(f"{new_node_id()}\\n".encode() for _ in range(50)))
        os._exit(0)
for _ in range(2):
    os.wait()
os.write(writer, b"".join(f"{new_node_id()}\\n".encode() for _ in range(50)))
os.close(writer)
print(open(reader).read(), end="")
"""
    made = subprocess.check_output([sys.executable, "-c", program], text=True).split()
    assert len(made) == 150
    assert len(set(made)) == 150


def test_the_clock_writes_microseconds_across_seconds(at):
    clock, written = Clock(), []
    for nanoseconds in (0, 999, 1_000, 999_999_999, 1_000_000_000, 1_000_900_000, MOMENT, MOMENT + 1):
        at(nanoseconds)
        written.append(text_of(clock.now()))
    assert written == [
        "1970-01-01T00:00:00.000000Z",
        "1970-01-01T00:00:00.000000Z",
        "1970-01-01T00:00:00.000001Z",
        "1970-01-01T00:00:00.999999Z",
        "1970-01-01T00:00:01.000000Z",
        "1970-01-01T00:00:01.000900Z",
        "2025-12-31T23:59:59.999999Z",
        "2026-01-01T00:00:00.000000Z",
    ]


@given(st.lists(st.integers(0, 4_000_000_000_000_000_000), min_size=1))
def test_the_clock_never_goes_back(times):
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        written = []
        for nanoseconds in times:
            patch.setattr(ids.time, "time_ns", lambda now=nanoseconds: now)
            written.append(clock.now())
    assert written == sorted(written)
    highest = max(times)
    assert written[times.index(highest) :] == [written[times.index(highest)]] * (len(times) - times.index(highest))
    assert parse_time(text_of(written[-1])) == pytest.approx(highest // 1_000 / 1e6, abs=1e-6)


def test_two_clocks_do_not_hold_each_other_back(at):
    early, late = Clock(), Clock()
    at(MOMENT)
    late.now()
    at(0)
    assert early.now() == 0


@given(st.integers(0, 250_000_000_000 * 1_000_000 - 1))
def test_a_time_written_is_the_time_read(microseconds):
    text = time_text(microseconds / 1e6)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text)
    assert time_text(parse_time(text)) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:01.500000Z", 1.5),
        ("1970-01-01T01:00:01.500000+01:00", 1.5),
        ("1970-01-01T00:00:00", None),
        ("1970-01-01", None),
        ("", None),
        ("yesterday", None),
        ("1970-13-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+23:00", -62135679600.0),
        ("9999-12-31T23:59:59Z", 253402300799.0),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_a_time_is_read_alike_in_every_zone_or_not_at_all(monkeypatch, text, seconds, zone):
    monkeypatch.setenv("TZ", zone)
    ids.time.tzset()
    try:
        assert parse_time(text) == seconds
    finally:
        monkeypatch.undo()
        ids.time.tzset()
