"""What every server relies on: the guard that ends it, and the lease of its port."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.servers import process
from tests.servers.ports import PortLease

GUARD = [sys.executable, "-I", str(process._GUARD)]
# Says that it is up, then lasts longer than any test waits.
COMMAND = ["sh", "-c", "echo up; exec sleep 100"]


def test_a_guarded_command_dies_when_its_starter_is_killed():
    starter_code = f"import subprocess; subprocess.Popen({[*GUARD, *COMMAND]!r}, stdin=subprocess.PIPE).wait()"
    starter = subprocess.Popen([sys.executable, "-c", starter_code], stdout=subprocess.PIPE)
    assert starter.stdout.readline() == b"up\n"
    starter.kill()
    # The command holds the other end of this pipe: it ends when the last of them is gone.
    assert starter.communicate(timeout=20) == (b"", None)


@pytest.mark.parametrize(("order", "received"), [(b"t", signal.SIGTERM), (b"k", signal.SIGKILL)])
def test_the_guard_passes_an_order_on_and_ends_with_the_commands_code(order, received):
    guard = subprocess.Popen([*GUARD, *COMMAND], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert guard.stdout.readline() == b"up\n"
    guard.stdin.write(order)
    guard.stdin.flush()
    assert guard.wait(20) == 128 + received
    guard.communicate()


def test_a_port_is_leased_once():
    first = PortLease(range(20_000, 30_000))
    with pytest.raises(OSError, match="no port is free"):
        PortLease([first.port])
    first.release()
    second = PortLease([first.port])
    assert second.port == first.port
    second.release()
