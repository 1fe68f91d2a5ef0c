"""`tailrace doctor` and `tailrace ship` say of each spool what waits there, and of each fault what to do."""

import re

import pytest

from tailrace.cli import doctor
from tailrace.config import SpoolSettings, load
from tailrace.spool.append import Spool
from tailrace.spool.cursor import write_cursor
from tailrace.spool.frame import NO_SPAN, pack

PRODUCER = "0" * 23 + "7"


def filled(tailrace, count, *, body=b"v" * 100, **settings):
    """The spool of a producer that is alive as long as this process does not release it."""
    spool = Spool(tailrace.home / "spool", PRODUCER, SpoolSettings(**settings), "external")
    for seq in range(count):
        spool.append(pack(seq, "tailrace.events.w", b"k" * 32, NO_SPAN, body))
    return spool


def finding(result, wanted):
    """(verdict, line, fix) of the one finding that says so."""
    lines = result.stdout.splitlines()
    (at,) = [number for number, line in enumerate(lines) if wanted in line and not line.startswith(" ")]
    fix = lines[at + 1] if at + 1 < len(lines) and lines[at + 1].startswith(" ") else ""
    return lines[at].split()[0], lines[at], fix.strip()


def test_records_bytes_age_and_owner_of_a_live_spool_are_shown(tailrace):
    spool = filled(tailrace, 1234)
    try:
        verdict, line, fix = finding(tailrace("doctor"), PRODUCER)
    finally:
        spool.release()
    assert (verdict, fix) == ("ok", "")
    assert re.search(r"process \d+ alive, 1,234 records \(\d+\.\d KiB\) not shipped, oldest from [\d.]+ m?s ago", line)


def test_only_what_the_bus_has_not_acknowledged_is_counted(tailrace):
    spool = filled(tailrace, 10)
    end = spool.written()[1]
    spool.append(pack(11, "tailrace.events.w", b"k" * 32, NO_SPAN, b"v"))
    spool.append(pack(12, "tailrace.events.w", b"k" * 32, NO_SPAN, b"v" * (2 << 20)))
    write_cursor(spool.directory, 1, end)
    try:
        assert re.search(r"alive, 2 records \(2\.\d MiB\) not shipped", tailrace("doctor").stdout)
    finally:
        spool.release()


def test_ship_names_each_spool_before_it_ships_it(tailrace):
    filled(tailrace, 12).release()
    result = tailrace("ship")
    first, last = result.stdout.splitlines()
    assert re.fullmatch(rf"{PRODUCER}: process \d+ dead, 12 records \(.* KiB\) not shipped, oldest from .* ago", first)
    assert last == "shipped 12 records of 1 spool"
    assert tailrace("ship").stdout == "shipped 0 records of 0 spools\n"


@pytest.mark.parametrize(("room", "verdict"), [(100_000, "FAIL"), (700_000, "warn"), (4_000_000, "ok")])
def test_a_spool_near_its_budget_is_a_warning_and_a_full_one_a_failure(tailrace, room, verdict):
    spool = filled(tailrace, 2000, body=b"v" * 2000)
    try:
        result = tailrace("doctor", TAILRACE_SPOOL__MAX_BYTES=str(spool.bytes_used() + room))
    finally:
        spool.release()
    told, line, fix = finding(result, PRODUCER)
    assert told == verdict, line
    assert ("full, so that its process drops" in line) == (verdict == "FAIL")
    assert ("TAILRACE_SPOOL__MAX_BYTES" in fix) == (verdict != "ok")
    assert result.returncode == (verdict == "FAIL")


def test_spools_that_cannot_be_looked_at_are_a_failure_and_no_traceback(tmp_path, monkeypatch):
    """As for another user's; the tests may be run by root, who may look at everything."""

    def refused(_):
        raise PermissionError(13, "Permission denied", "segment")

    monkeypatch.setattr(doctor, "inspect", refused)
    found = list(doctor._spool(load({"home": str(tmp_path)})))
    assert [finding.verdict for finding in found] == ["ok", "FAIL"]
    assert "Permission denied" in found[1].text
    assert found[1].fix == "make it readable for this user"
