"""Liveness and readiness, and the metrics that say the same, as HTTP gives them."""

import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tailrace.bus import Partition
from tailrace.config import load
from tailrace.consumer import Address, Progress
from tailrace.errors import ConfigError
from tailrace_consumers.health import status_of
from tailrace_consumers.metrics import serving
from tailrace_consumers.runner import Pulse

HERE = Address("127.0.0.1", 0)
PART, OTHER = Partition("t.events.w", 0), Partition("t.events.w", 1)


def status(progress=None, pulse=None, lags=None, *, into_store=False, heard=0.0):
    """Of a stage that turned `pulse`, whose event loop was at work so many seconds ago."""
    now = time.monotonic()
    pulse = pulse or Pulse(now, turned=True, active=True)
    progress = progress or Progress("sample", lag=0)
    return status_of(progress, pulse, lags or {}, into_store=into_store, heard_at=now - heard)


def turned(seconds_ago, **facts):
    return Pulse(time.monotonic() - seconds_ago, turned=True, active=True, **facts)


def test_a_stage_that_reads_is_live_and_ready():
    reading = status()
    assert (reading.is_live, reading.is_ready, str(reading)) == (True, True, "sample: reading, 0 behind")


def test_one_that_stands_by_is_ready_too():
    waiting = status(pulse=Pulse(time.monotonic(), turned=True, active=False))
    assert (waiting.is_ready, str(waiting)) == (True, "sample: standing by, 0 behind")


def test_one_that_has_not_reached_the_bus_is_live_and_not_ready():
    starting = status(pulse=Pulse(time.monotonic()))
    assert (starting.is_live, starting.is_ready, str(starting)) == (True, False, "sample: starting")


def test_one_that_waits_for_a_server_is_live_however_long_and_not_ready():
    waiting = status(Progress("index", note="writing: store down"), turned(3600))
    assert (waiting.is_live, waiting.is_ready) == (True, False)
    assert str(waiting) == "index: waits: writing: store down"


def test_one_whose_loop_does_not_come_round_is_not_live():
    stuck = status(pulse=turned(95))
    assert (stuck.is_live, stuck.is_ready, str(stuck)) == (False, False, "sample: stuck for 95 s")


def test_nor_is_one_whose_event_loop_is_blocked_though_it_waits():
    assert not status(Progress("index", note="writing: store down"), heard=95).is_live


def test_lag_has_the_age_of_what_was_read_last_where_something_is_behind():
    now = time.time()
    pulse = turned(0, read_upto={PART: now - 50, OTHER: now - 5000})
    assert status(pulse=pulse, lags={PART: 3, OTHER: 0}).lag_seconds == pytest.approx(50, abs=2)
    assert status(pulse=pulse, lags={PART: 0, OTHER: 0}).lag_seconds == 0
    assert status(pulse=pulse, lags={Partition("of another member", 0): 9}).lag_seconds == 0


def test_what_is_not_committed_has_an_age():
    assert status(pulse=turned(0, uncommitted_since=time.time() - 7)).commit_seconds == pytest.approx(7, abs=2)
    assert status().commit_seconds == 0


def get(address, path):
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@contextmanager
def served(*statuses):
    with serving(HERE, lambda: statuses) as address:
        yield lambda path: get(address, path)


def samples(text):
    """Every sample by name, stage and other labels, without the process's own."""
    return {
        (sample.name, sample.labels["stage"], *(text for name, text in sample.labels.items() if name != "stage")): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("tailrace_")
    }


def test_metrics_tell_counters_gauges_and_decisions_of_each_stage():
    counts = {"kept_by_error": 2, "kept_by_rate": 5, "dropped": 30, "undecided": 4, "held_bytes": 900, "spilled": 1}
    sampler = Progress("sample", received=100, written=70, dead=3, retries=2, rebalances=1, lag=8, counts=counts)
    with served(status(sampler, lags={PART: 8}), status(Progress("index", written=6), into_store=True)) as ask:
        code, text = ask("/metrics")
    found = samples(text)
    assert code == 200
    assert "process_resident_memory_bytes" in text
    expected = {
        ("records_received_total", "sample"): 100,
        ("records_written_total", "sample"): 70,
        ("documents_stored_total", "index"): 6,
        ("dead_letters_total", "sample"): 3,
        ("retries_total", "sample"): 2,
        ("rebalances_total", "sample"): 1,
        ("lag_records", "sample"): 8,
        ("lag_age_seconds", "sample"): 0,
        ("commit_age_seconds", "index"): 0,
        ("ready", "sample"): 1,
        ("active", "sample"): 1,
        ("open_runs", "sample"): 4,
        ("held_bytes", "sample"): 900,
        ("decisions_total", "sample", "kept", "error"): 2,
        ("decisions_total", "sample", "kept", "rate"): 5,
        ("decisions_total", "sample", "dropped", ""): 30,
        ("stage_count", "sample", "spilled"): 1,
    }
    assert {key: found[(f"tailrace_{key[0]}", *key[1:])] for key in expected} == expected
    assert ("tailrace_lag_records", "index") not in found  # not known
    assert ("tailrace_records_written_total", "index") not in found


def test_livez_and_readyz_answer_503_and_say_which_stage_and_why():
    waiting = status(Progress("index", note="writing: store down"))
    with served(status(), waiting) as ask:
        assert ask("/livez")[0] == 200
        assert ask("/readyz") == (503, "sample: reading, 0 behind\nindex: waits: writing: store down\n")
        assert ask("/nothing")[0] == 404
    with served(status(pulse=turned(100))) as ask:
        assert ask("/livez") == (503, "sample: stuck for 100 s\n")


def test_a_port_that_is_taken_is_an_error_that_names_the_setting():
    with (
        serving(HERE, tuple) as address,
        pytest.raises(ConfigError, match=r"consume\.metrics"),
        serving(address, tuple),
    ):
        pytest.fail("two listen at one address")


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("9464", Address("127.0.0.1", 9464)),
        (9464, Address("127.0.0.1", 9464)),
        ("0.0.0.0:9464", Address("0.0.0.0", 9464)),
        ("[::1]:9464", Address("::1", 9464)),
        (None, None),
    ],
)
def test_a_port_alone_is_one_of_this_host(given, address):
    read = Address.of(load({"consume": {"metrics": given}}))
    assert read == address
    assert address is None or Address.of(load({"consume": {"metrics": str(read)}})) == address


@pytest.mark.parametrize("given", ["99999", 65536, -1, "host", "a b:1", "host:", ":1"])
def test_what_is_no_address_is_a_wrong_setting(given):
    with pytest.raises(ConfigError, match=r"consume\.metrics"):
        Address.of(load({"consume": {"metrics": given}}))


def test_workers_count_their_ports_up_but_for_any_free_one():
    assert Address("h", 9464).plus(3) == Address("h", 9467)
    assert Address("h", 0).plus(3) == Address("h", 0)
    with pytest.raises(ConfigError, match="65536"):
        Address("h", 65535).plus(1)
