"""Shipping waits for a burst, and for nothing else."""

import pytest

from tailrace.config import SpoolSettings
from tailrace.publish import courtesy as module
from tailrace.publish.courtesy import Courtesy
from tailrace.spool.append import Spool
from tailrace.spool.frame import NO_SPAN, pack

MIB = 1 << 20


@pytest.fixture
def at(monkeypatch):
    """Sets the monotonic clock, in seconds."""

    def at(seconds):
        monkeypatch.setattr(module.time, "monotonic", lambda: seconds)

    at(100.0)
    return at


@pytest.fixture
def spool(tmp_path):
    spool = Spool(tmp_path / "spool", "p1", SpoolSettings(), "internal")
    yield spool
    spool.release()


def append(spool, mebibytes):
    frame = pack(0, "t", b"k", NO_SPAN, b"v" * (MIB // 4))
    for _ in range(4 * mebibytes):
        spool.append(frame)


def test_a_program_that_logs_now_and_then_is_not_waited_for(spool, at):
    courtesy = Courtesy(spool)
    append(spool, 1)
    at(101.0)
    assert not courtesy.is_due((0, 0))


def test_a_burst_is_waited_for_until_it_is_over(spool, at):
    courtesy = Courtesy(spool)
    append(spool, 2)
    at(100.05)
    assert courtesy.is_due((0, 0))
    append(spool, 2)
    at(100.1)
    assert courtesy.is_due((0, 0))
    at(100.15)
    assert not courtesy.is_due((0, 0))


def test_a_burst_is_not_waited_for_when_much_is_behind(spool, at):
    courtesy = Courtesy(spool)
    append(spool, 33)
    at(100.05)
    assert not courtesy.is_due((0, 0))


def test_what_is_shipped_is_not_behind(spool, at):
    courtesy = Courtesy(spool)
    append(spool, 20)
    shipped = spool.written()
    append(spool, 20)
    at(100.05)
    assert courtesy.is_due(shipped)


def test_who_flushes_is_not_kept_waiting_until_that_is_shipped(spool, at):
    courtesy = Courtesy(spool)
    append(spool, 2)
    courtesy.hurry()
    wanted = spool.written()
    at(100.05)
    assert not courtesy.is_due((0, 0))
    append(spool, 2)
    at(100.1)
    assert courtesy.is_due(wanted)


def test_shipping_takes_its_time_while_nobody_waits_and_little_is_behind(spool, at):
    courtesy = Courtesy(spool)
    append(spool, 1)
    assert courtesy.may_rest((0, 0))
    courtesy.hurry()
    assert not courtesy.may_rest((0, 0))
    assert courtesy.may_rest(spool.written())
    append(spool, 8)
    assert not courtesy.may_rest((0, 0))
